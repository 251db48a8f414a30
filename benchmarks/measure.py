# SPDX-License-Identifier: MIT
"""Runs the benchmarks of funnel and its peers, interleaved, and writes the times for page.py.

benchmarks/run.sh builds what this needs and calls it. Peers are the programs in
BUILD/benchmarks/peers and the *_bench.py of benchmarks/peers; missing ones are left out. Exits with
1 if the results of a peer differ from those of funnel or a program fails: such a case has no ratio.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The cases that also run with funnel built for AVX2.
AVX2 = r"^(dense|mmoe|mmoe_request|target_attention|top_k|mmr|dpp|embedding_bag)/"


def processor():
    info = {}
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            info.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    return info


def switches():
    """The environment variables that are set for every program, of funnel and of peers."""
    made = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # huge pages, as for funnel's arrays
    needed = {"avx512f", "avx512vl", "avx512bw", "avx512dq"}
    if needed <= set(processor().get("flags", "").split()):
        made["ATEN_CPU_CAPABILITY"] = "avx512"  # otherwise Debian's LibTorch uses AVX2
    return made


class Program:
    def __init__(self, peer, command):
        self.peer = peer  # the name of its column
        self.command = command
        self.cases = []

    def run(self, *arguments, threads=1, timeout=1800):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        environment |= switches()
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(threads)
        cpus = sorted(os.sched_getaffinity(0))
        done = subprocess.run([*self.command, *arguments], env=environment, text=True,
                              capture_output=True, timeout=timeout, cwd=ROOT,
                              preexec_fn=lambda: os.sched_setaffinity(0, cpus[-threads:]))
        if done.returncode:
            raise RuntimeError(f"{self.peer}: ended with {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout

    def list_cases(self):
        self.cases = self.run("--benchmark_list_tests").split()


def find_programs(options):
    """All programs with their cases; a peer that cannot start is reported and left out."""
    programs = [Program("funnel", [str(p)]) for p in sorted(options.build.glob("benchmarks/*_bench"))]
    programs += [Program(p.stem[:-6], [str(p)])
                 for p in sorted(options.build.glob("benchmarks/peers/*_bench"))]
    if options.avx2_build:
        programs += [Program("funnel_avx2", [str(p)])
                     for p in sorted(options.avx2_build.glob("benchmarks/*_bench"))]
    if options.python_peers:
        programs += [Program(p.stem[:-6], [sys.executable, str(p), "--data", str(options.data)])
                     for p in sorted((ROOT / "benchmarks" / "peers").glob("*_bench.py"))]
    found = []
    for program in programs:
        try:
            program.list_cases()
        except (RuntimeError, OSError) as error:
            if program.peer == "funnel":
                raise
            print(f"measure: {program.peer} is left out: {str(error).splitlines()[-1]}",
                  file=sys.stderr)
            continue
        if program.peer == "funnel_avx2":
            program.cases = [c for c in program.cases if re.search(AVX2, c)]
        program.cases = [c for c in program.cases if re.search(options.filter, c.partition("@")[0])]
        found.append(program)
    return found


def unit_of(case):
    """Unit of a case. Cases of a unit run in one process, right before or after those of its peers."""
    case = re.sub(r"^(mmr|dpp)/(\d+x64)/.*", r"\1/\2", case)
    return re.sub(r"/(n|batch|found|queries|categories):\d+|@\w+", "", case)


class Run:
    def __init__(self, options):
        self.options = options
        self.cases = {}  # {case: {column: [one result per round, or None]}}
        self.peers = {}  # {peer: version}
        self.failures = []
        self.seconds = {}  # {unit: {column: seconds in total}}

    def fail(self, case, column, text):
        self.failures.append(f"{case}, {column}: {text}")
        print(f"measure: {self.failures[-1]}", file=sys.stderr)

    def results_of(self, program, cases, threads):
        """{case: result}, with a result or an error for every case."""
        names = "|".join(re.escape(c).replace(r"\-", "-") for c in cases)
        try:
            output = json.loads(program.run(f"--benchmark_filter=^({names})$",
                                            f"--benchmark_min_time={self.options.min_time}",
                                            "--benchmark_format=json", threads=threads))
        except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            return {c: {"error": str(error)} for c in cases}
        if "peer" in output["context"]:
            self.peers[program.peer] = output["context"]["peer"]
        results = {c: {"error": "not among what the program measured"} for c in cases}
        for result in output["benchmarks"]:
            if result.get("error_occurred"):
                results[result["name"]] = {"error": result["error_message"]}
                continue
            taken = {"us": result["real_time"]}
            if "roofline" in result:
                taken["roofline"], taken["limit"] = result["roofline"], result["label"]
            if self.options.cpu_time:  # without preemption, in the time and in the fraction
                if "roofline" in taken:
                    taken["roofline"] *= result["real_time"] / result["cpu_time"]
                taken["us"] = result["cpu_time"]
            results[result["name"]] = taken
        return results

    def round(self, number, units):
        for done, (unit, members) in enumerate(units.items()):
            if sys.stderr.isatty():
                print(f"\rround {number + 1}/{self.options.rounds}, {done + 1}/{len(units)} "
                      f"{unit:<40}", end="", file=sys.stderr)
            order = list(members)
            random.shuffle(order)
            for program in order:
                began = time.monotonic()
                threads = 2 if "threads:2" in unit else 1
                for name, result in self.results_of(program, members[program], threads).items():
                    case, _, way = name.partition("@")
                    column = program.peer + ("_" + way if way else "")
                    if "error" in result:
                        self.fail(case, column, result["error"])
                    runs = self.cases[case].setdefault(column, [None] * self.options.rounds)
                    runs[number] = result
                of_unit = self.seconds.setdefault(unit, {})
                of_unit[program.peer] = of_unit.get(program.peer, 0) + time.monotonic() - began

    def all(self, programs):
        units = {}
        for program in programs:
            for case in program.cases:
                self.cases.setdefault(case.partition("@")[0], {})
                units.setdefault(unit_of(case), {}).setdefault(program, []).append(case)
        for number in range(self.options.rounds):
            self.round(number, units)
        if sys.stderr.isatty():
            print(file=sys.stderr)


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0].strip()


def machine():
    """Processor, cores, caches and huge pages, as reported by the system."""
    info = processor()
    flags = set(info.get("flags", "").split())
    sets = [s for s, flag in (("AVX2", "avx2"), ("FMA", "fma"), ("AVX-512", "avx512f"),
                              ("BF16", "avx512_bf16")) if flag in flags]
    caches = []
    for path in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        read = lambda name: (path / name).read_text().strip()
        try:
            if read("type") != "Instruction":
                caches.append(f"L{read('level')} {read('size')}")
        except OSError:
            pass
    try:
        pages = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
        pages = "huge pages " + re.search(r"\[(\w+)\]", pages)[1]
    except (OSError, TypeError):
        pages = "huge pages unknown"
    return (f"{info.get('model name', platform.machine())} (family {info.get('cpu family', '?')}, "
            f"model {info.get('model', '?')}), {os.cpu_count()} cores, "
            + ", ".join([*sets, *caches, pages]))


def build_of(options):
    """Compiler and flags, from the cache of the build."""
    cache = {}
    for line in (options.build / "CMakeCache.txt").read_text().splitlines():
        name, _, value = line.partition("=")
        cache[name.partition(":")[0]] = value
    kind = cache.get("CMAKE_BUILD_TYPE", "")
    flags = f"{cache.get(f'CMAKE_CXX_FLAGS_{kind.upper()}', '')} {cache.get('CMAKE_CXX_FLAGS', '')}"
    flags = " ".join(f for f in flags.split() if not f.startswith("-W"))
    for path in options.build.glob("CMakeFiles/*/CMakeCXXCompiler.cmake"):
        known = dict(re.findall(r"set\(CMAKE_CXX_COMPILER_(ID|VERSION) \"(.*?)\"\)", path.read_text()))
    return f"{known['ID']} {known['VERSION']}", flags


def digests():
    """{folder: digest} of the measured sources."""
    printed = subprocess.run(["cmake", "-D", f"root={ROOT}", "-P", ROOT / "benchmarks/digest.cmake"],
                             capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in printed.splitlines() if line)


def command_of(options):
    """The command that reproduces this run, without the options for files."""
    words = ["benchmarks/run.sh"]
    words += ["--filter", shlex.quote(options.filter)] if options.filter != "." else []
    words += ["--quick"] if options.quick else ["--rounds", str(options.rounds)]
    words += ["--min-time", str(options.min_time)] if options.min_time != MIN_TIME else []
    words += ["--cpu-time"] if options.cpu_time else []
    return " ".join(words + (["--avx2"] if options.avx2_build else []))


MIN_TIME = .03


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--avx2-build", type=pathlib.Path, help="a build for x86-64-v3")
    parser.add_argument("--data", type=pathlib.Path, help="output of export_workloads")
    parser.add_argument("--python-peers", action="store_true", help="also run the Python peers")
    parser.add_argument("--results", type=pathlib.Path, required=True, help="output file")
    parser.add_argument("--filter", default=".", help="regular expression for workloads")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--min-time", type=float, default=MIN_TIME, help="seconds per case and round")
    parser.add_argument("--cpu-time", action="store_true",
                        help="measure CPU time instead of wall time, for a busy machine")
    parser.add_argument("--quick", action="store_true", help="one short round, to check that it works")
    options = parser.parse_args()
    settings = {"command": command_of(options), "date": datetime.date.today().isoformat()}
    if options.quick:
        options.rounds, options.min_time = 1, .005
    commit = first_line(["git", "rev-parse", "--short=12", "HEAD"])
    if first_line(["git", "status", "--porcelain", "--", "include", "benchmarks", "CMakeLists.txt"]):
        commit += ", with changes"
    compiler, flags = build_of(options)
    settings |= {"commit": commit, "digests": digests(), "machine": machine(),
                 "system": platform.system() + " " + platform.release(), "compiler": compiler,
                 "flags": flags, "switches": switches(), "rounds": options.rounds,
                 "min_time": options.min_time}
    began = time.monotonic()
    run = Run(options)
    run.all(find_programs(options))
    if not run.cases:
        sys.exit("measure: no workload matches the filter")
    settings["minutes"] = (time.monotonic() - began) / 60
    results = {"settings": settings, "peers": run.peers, "failures": run.failures,
               "seconds": run.seconds, "cases": run.cases}
    options.results.write_text(json.dumps(results, indent=1) + "\n")
    if run.failures:
        sys.exit(f"measure: {len(run.failures)} results differ or are missing")


if __name__ == "__main__":
    main()
