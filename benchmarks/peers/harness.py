# SPDX-License-Identifier: MIT
"""Runs the cases of a peer in Python as Google Benchmark runs those in C++: same options, same JSON."""

import argparse
import functools
import json
import os
import pathlib
import re
import sys
import time

# Before any library reads them. A case of several threads would say so itself.
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np


class Mismatch(Exception):
    """Results of a peer are not ours."""


@functools.cache
def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark_filter", default=".")
    parser.add_argument("--benchmark_min_time", type=float, default=0.1)
    parser.add_argument("--benchmark_list_tests", action="store_true")
    parser.add_argument("--benchmark_format", default="json")
    parser.add_argument("--data", type=pathlib.Path, default="build/benchmarks/data")
    return parser.parse_args()


def exported(prefix):
    """The names of cases that export_workloads wrote and that begin so."""
    return [c for c in (options().data / "cases.txt").read_text().split() if c.startswith(prefix)]


def data(name):
    """An array that export_workloads wrote."""
    return np.load(options().data / (name.replace("/", ".").replace(":", "-") + ".npy"))


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
    if len(ways) == 1:
        return ways[0]
    return min(ways, key=lambda run: min(seconds_per_call(run, 0.01)[0] for _ in range(2)))


def compare(ours, theirs, tolerance=1e-4):
    """Raises where a peer's results are further from ours than that much of the largest of ours."""
    if np.size(theirs) != np.size(ours):
        raise Mismatch(f"results differ: {np.size(theirs)} values where ours are {np.size(ours)}")
    distance = float(np.max(np.abs(ours - np.reshape(theirs, ours.shape))))
    if not distance <= tolerance * float(np.max(np.abs(ours))):
        raise Mismatch(f"results differ by {distance:g} where the largest is {np.max(np.abs(ours)):g}")


def compare_found(queries, vectors, ours, theirs, tolerance=1e-5):
    """Raises unless both found the same items in the same order but for scores that are equal within
    the tolerance, relative to the best one."""
    for query, a, b in zip(queries.astype(np.float64), ours, np.asarray(theirs, np.int64)):
        if len(np.unique(b)) != len(a):
            raise Mismatch(f"results differ: {len(np.unique(b))} distinct items of {len(a)}")
        scores_a, scores_b = vectors[a] @ query, vectors[b] @ query
        if not np.all(np.abs(scores_a - scores_b) <= tolerance * abs(scores_a[0])):
            raise Mismatch("results differ: other items were found, or in another order")


def main(peer, cases, overhead=None):
    """`cases` is {name: make}; make() gives what is to be called. `overhead()` gives a call whose time
    is taken off that of every case."""
    names = [name for name in cases if re.search(options().benchmark_filter, name)]
    if options().benchmark_list_tests:
        print("\n".join(names))
        return
    results = []
    for name in names:
        result = dict(name=name, run_name=name, run_type="iteration", time_unit="us")
        results.append(result)
        try:
            run = cases[name]()
        except Mismatch as error:
            result.update(error_occurred=True, error_message=str(error))
            continue
        seconds, cpu, calls = seconds_per_call(run, options().benchmark_min_time)
        if overhead:
            nothing, nothing_cpu, _ = seconds_per_call(overhead(), 0.02)
            seconds, cpu = seconds - nothing, cpu - nothing_cpu
        result.update(iterations=calls, real_time=seconds * 1e6, cpu_time=cpu * 1e6)
    json.dump(dict(context=dict(peer=peer), benchmarks=results), sys.stdout, indent=1)
    print()
