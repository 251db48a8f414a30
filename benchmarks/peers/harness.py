# SPDX-License-Identifier: MIT
"""Runs the cases of a peer in Python as Google Benchmark runs those in C++: same options, same JSON."""

import argparse
import json
import os
import re
import sys
import time

# Before any library reads them. A case of several threads would say so itself.
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np


class Data:
    """The arrays that export_workloads wrote, by name."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        return np.load(os.path.join(self.folder, name + ".npy"))


def seconds_per_call(run, least_seconds):
    """Means over as many calls as take that long, after one that isn't counted: seconds of the wall,
    of the processor, and the number of calls."""
    run()
    calls = 1
    while True:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            run()
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        if seconds >= least_seconds or calls >= 10**8:
            return seconds / calls, cpu / calls, calls
        grow = 1.4 * least_seconds / max(seconds, 1e-7)
        calls = max(calls + 1, int(calls * min(grow, 10)))


def fastest(ways):
    """The fastest of several ways to do a case: what is then measured."""
    return min(ways, key=lambda run: min(seconds_per_call(run, 0.02)[0] for _ in range(2)))


def differs(name, what):
    print(f"{name}: results differ: {what}", file=sys.stderr)


def compare(name, ours, theirs, tolerance=1e-3):
    """Tells on stderr where a peer's results are not ours."""
    distance = float(np.max(np.abs(ours - np.reshape(theirs, ours.shape))))
    if not distance <= tolerance * float(np.max(np.abs(ours))):
        differs(name, f"by {distance:g} where the largest is {np.max(np.abs(ours)):g}")


def main(peer, cases, overhead=None):
    """`cases` is {name: make}; make(data) gives what is to be called. `overhead(data)` gives a call
    whose time is taken off that of every case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark_filter", default=".")
    parser.add_argument("--benchmark_min_time", type=float, default=0.1)
    parser.add_argument("--benchmark_list_tests", action="store_true")
    parser.add_argument("--benchmark_format", default="json")
    parser.add_argument("--data", default="build/benchmarks/data")
    arguments = parser.parse_args()
    names = [name for name in cases if re.search(arguments.benchmark_filter, name)]
    if arguments.benchmark_list_tests:
        print("\n".join(names))
        return
    data = Data(arguments.data)
    results = []
    for name in names:
        run = cases[name](data)
        seconds, cpu, calls = seconds_per_call(run, arguments.benchmark_min_time)
        if overhead:
            nothing, nothing_cpu, _ = seconds_per_call(overhead(data), 0.02)
            seconds, cpu = seconds - nothing, cpu - nothing_cpu
        results.append(dict(name=name, run_name=name, run_type="iteration", iterations=calls,
                            real_time=seconds * 1e6, cpu_time=cpu * 1e6, time_unit="us"))
    json.dump(dict(context=dict(peer=peer), benchmarks=results), sys.stdout, indent=1)
    print()
