# SPDX-License-Identifier: MIT
"""Runs the benchmarks of funnel and its peers interleaved and writes docs/performance.md.

benchmarks/run.sh builds what this needs and calls it. Peers are the programs in
BUILD/benchmarks/peers and the *_bench.py of benchmarks/peers; those that aren't there are left out.
"""

import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import random
import re
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What a section of the page is about: which cases, and what they and their peers do.
Group = collections.namedtuple("Group", "pattern title text")
GROUPS = [
    Group(r"dense/", "Dense layer",
          "`dense/INxOUT/n:N` is y = relu(x W + b) on N rows, weights packed or reordered once."),
    Group(r"mmoe/", "MMoE",
          "256 inputs, 4 experts (128, 64), 4 gates, 4 towers (32, 1), N rows."),
    Group(r"mmoe_request/", "MMoE for one request",
          "The same model; 160 of the 256 inputs are the user's, one row for all N candidates. Peers "
          "are given the user's row and the items' rows and put them side by side in their graph."),
    Group(r"target_attention/", "Target attention",
          "Scaled dot product of 500 candidates with the 200 events of one user, 64 values each."),
    Group(r"three_tower/", "Three towers",
          "5,000 candidates of one user: user 256 -> (256, 128, 64), item vectors of 64 from a warm "
          "cache, cross 32 -> 16, top 144 -> (128, 64, 4). Peers are given the item vectors; "
          "`whole` is the network with the item tower 128 -> (128, 64) in it."),
    Group(r"top_k/", "Search by inner product",
          "The 500 best of 1,000,000 vectors of 64, exactly, for one query and for 32 at once."),
    Group(r"mmr/", "MMR",
          "500 of N items with vectors of 64 about 50 topics, relevance uniform."),
    Group(r"dpp/", "DPP",
          "The same data. pyversity has no window: beside a case with one it runs without."),
    Group(r"filter/", "Filters of a history",
          "A history of 1,000,000 events read from memory: the positions of one category (0.8 %), and "
          "of a category or a cluster (0.4 %); the index of categories, and looking one up in it."),
    Group(r"embedding_bag/", "Embedding bags",
          "The mean of 50 rows of a table of 1,000,000 x 64, for 512 bags; another batch each time."),
    Group(r"train_step/", "Training step, MMoE",
          "The model above: forward, four cross-entropies, backward, Adam. With two threads funnel "
          "runs half of the batch on each and adds the gradients; LibTorch threads its operations."),
    Group(r"train_step_embeddings/", "Training step, embeddings",
          "20 ids a row into a table of 1,000,000 x 16, side by side into one logit, cross-entropy, "
          "row-wise Adagrad, 1,024 rows; another batch each time. LibTorch has no row-wise Adagrad: "
          "it is written with sparse gradients and in-place operations."),
    Group(r"elementwise/", "Elementwise", "4,096 floats in the cache."),
]

# What docs/performance/*.svg show: file, title, names of the cases with the number to plot in (...).
PLOTS = [
    ("dense_256x128", "dense/256x128", r"dense/256x128/n:(\d+)", "rows"),
    ("mmoe", "mmoe", r"mmoe/n:(\d+)", "rows"),
    ("mmoe_request", "mmoe_request", r"mmoe_request/n:(\d+)", "candidates"),
    ("mmr", "mmr, k = 500", r"mmr/(\d+)x64/k:500", "candidates"),
    ("dpp", "dpp, k = 60", r"dpp/(\d+)x64/k:60", "candidates"),
    ("dpp_window", "dpp, k = 500, window = 10", r"dpp/(\d+)x64/k:500/window:10", "candidates"),
]

# The cases that are also run with funnel built for AVX2.
AVX2 = r"^(dense|mmoe|mmoe_request|target_attention|top_k|mmr|dpp|embedding_bag)/"


class Program:
    def __init__(self, peer, command):
        self.peer = peer  # the name of its column
        self.command = command
        self.cases = []

    def run(self, *arguments, threads=1, timeout=1800):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(threads)
        cpus = sorted(os.sched_getaffinity(0))
        done = subprocess.run([*self.command, *arguments], env=environment, text=True,
                              capture_output=True, timeout=timeout, cwd=ROOT,
                              preexec_fn=lambda: os.sched_setaffinity(0, cpus[:threads]))
        for line in done.stderr.splitlines():
            if "differ" in line:
                print(f"{self.peer}: {line}", file=sys.stderr)
        if done.returncode:
            raise RuntimeError(f"{self.peer}: ended with {done.returncode}\n{done.stderr[-2000:]}")
        return done.stdout

    def list_cases(self):
        self.cases = self.run("--benchmark_list_tests").split()


def find_programs(options):
    """Every program that is there, with its cases; a peer that cannot start is left out by name."""
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
            print(f"report: {program.peer} is left out: {str(error).splitlines()[-1]}",
                  file=sys.stderr)
            continue
        if program.peer == "funnel_avx2":
            program.cases = [c for c in program.cases if re.search(AVX2, c)]
        program.cases = [c for c in program.cases if re.search(options.filter, c.partition("@")[0])]
        found.append(program)
    return found


def unit_of(case):
    """Cases of one unit run in one start of a program, right before or after those of its peers."""
    return re.sub(r"/(n|batch|found|queries):\d+|@\w+", "", case)


def run_all(programs, options):
    """{case: {column: [one result a round]}}, in the order in which the programs list them."""
    units = {}
    for program in programs:
        for case in program.cases:
            units.setdefault(unit_of(case), {}).setdefault(program, []).append(case)
    results, contexts = {}, {}
    for round_number in range(options.rounds):
        for number, (unit, members) in enumerate(units.items()):
            if sys.stderr.isatty():
                print(f"\rround {round_number + 1}/{options.rounds}, {number + 1}/{len(units)} "
                      f"{unit:<40}", end="", file=sys.stderr)
            threads = 2 if "threads:2" in unit else 1
            order = list(members)
            random.shuffle(order)
            for program in order:
                names = "|".join(re.escape(c).replace(r"\-", "-") for c in members[program])
                try:
                    output = json.loads(program.run(f"--benchmark_filter=^({names})$",
                                                    f"--benchmark_min_time={options.min_time}",
                                                    "--benchmark_format=json", threads=threads))
                except (RuntimeError, ValueError) as error:
                    print(f"report: {unit}: {error}", file=sys.stderr)
                    continue
                contexts[program.peer] = output["context"]
                for result in output["benchmarks"]:
                    if options.cpu_time:  # preemption counts in neither the time nor the fraction
                        if "roofline" in result:
                            result["roofline"] *= result["real_time"] / result["cpu_time"]
                        result["real_time"] = result["cpu_time"]
                    case, _, way = result["name"].partition("@")
                    column = program.peer + ("_" + way if way else "")
                    results.setdefault(case, {}).setdefault(column, []).append(result)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    ordered = [c.partition("@")[0] for p in programs for c in p.cases]
    return {c: results[c] for c in dict.fromkeys(ordered) if c in results}, contexts


def median_of(results, field="real_time"):
    return statistics.median(r[field] for r in results)


def spread_of(results):
    """Distance of the quartiles over the median."""
    times = [r["real_time"] for r in results]
    if len(times) < 2:
        return None
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return (high - low) / statistics.median(times)


def ratio_of(peer, funnel):
    """How many times as long the peer takes: the median over the rounds."""
    return statistics.median(p["real_time"] / f["real_time"] for p, f in zip(peer, funnel))


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def column_title(column):
    return column.replace("_", " ")


def table(cases):
    peers = sorted({c for columns in cases.values() for c in columns} - {"funnel", "funnel_avx2"})
    avx2 = any("funnel_avx2" in columns for columns in cases.values())
    head = ["workload", "funnel, µs", "spread", "roofline", "of"]
    head += ["AVX2, µs", "roofline"] if avx2 else []
    lines = ["| " + " | ".join(head + [column_title(p) for p in peers]) + " |",
             "|---|--:|--:|--:|---" + "|--:" * (len(head) - 5 + len(peers)) + "|"]
    for case, columns in cases.items():
        funnel = columns.get("funnel")
        cells = [f"`{case}`"]
        if funnel:
            spread = spread_of(funnel)
            cells += [number(median_of(funnel)), "-" if spread is None else f"{spread:.1%}"]
            limited = "roofline" in funnel[0]
            cells += [f"{median_of(funnel, 'roofline'):.0%}" if limited else "-",
                      funnel[0].get("label", "-")]
        else:
            cells += ["-"] * 4
        if avx2:
            other = columns.get("funnel_avx2")
            cells += [number(median_of(other)), f"{median_of(other, 'roofline'):.0%}"] if other \
                else ["-", "-"]
        for peer in peers:
            theirs = columns.get(peer)
            if theirs and funnel:
                cells.append(f"{ratio_of(theirs, funnel):.2f}x")
            else:
                cells.append(f"{number(median_of(theirs))} µs" if theirs else "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return ""
    return (done.stdout.splitlines() or [""])[0].strip()


def machine():
    """Processor, cores and caches, as the system tells them."""
    info = {}
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            info.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    flags = set(info.get("flags", "").split())
    sets = [s for s, flag in (("AVX2", "avx2"), ("FMA", "fma"), ("AVX-512", "avx512f")) if flag in flags]
    return (f"{info.get('model name', platform.machine())} (family {info.get('cpu family', '?')}, "
            f"model {info.get('model', '?')}), {os.cpu_count()} cores, {', '.join(sets)}")


def build_of(options):
    """Compiler and flags, from the build's own cache."""
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


def command_of(options):
    """The command that makes this page, without the files it writes."""
    words = ["benchmarks/run.sh"]
    words += ["--filter", shlex.quote(options.filter)] if options.filter != "." else []
    words += ["--quick"] if options.quick else ["--rounds", str(options.rounds)]
    return " ".join(words + (["--avx2"] if options.avx2_build else []))


INTRODUCTION = """# Performance

Written by `benchmarks/run.sh`; every number is from one run of it on the machine below.

    {command}

| | |
|---|---|
| date | {date} |
| commit | {commit} |
| machine | {machine} |
| system | {system} |
| compiler | {compiler} |
| flags | `{flags}` |
| rounds | {rounds}, at least {min_time} s a case in each |
{peers}

**How it is measured.** In every round each workload runs on funnel and on all of its peers right
after one another, in random order, each in a process of its own, on one thread pinned to one core
unless the name says `threads:2`. OPENBLAS_* variables are unset. Inputs are the same; results are
compared before anything is timed. A time is the median over the rounds, *spread* the distance of
their quartiles over it. A peer's column says how many times as long as funnel it takes, the median of
the rounds' ratios: above 1 funnel is faster.

**Roofline.** The fraction of a limit of one core that binds the workload: float operations (a
multiply-add is two) against the peak of fused multiply-adds in registers; bytes that no cache can hold
against reading 256 MB with SIMD loads in several runs side by side, prefetched; or bytes through the
L2 cache against reading 512 KB again and again. Work is counted as the least that the result needs
(for MMR and DPP: every vector read once a pick, so a lazy method may pass 100 %). Limits are measured
in the same process and with the same instruction set, some milliseconds right before the case and
right after it, and the better one counts: a slow moment of a noisy machine lowers the fraction, it
doesn't raise it.

**Peers** are set up as their documentation says is fastest; where there are several ways, the fastest
one, found before the measurement, counts.

- oneDNN: one matmul primitive with bias and relu in it, weights in the layout it asks for.
- OpenBLAS and Eigen: one product into the result, then bias and relu in a pass over it.
- LibTorch: scripted and frozen, with and without optimize_for_inference, experts one by one or joined
  into batched products; training in C++ with joined experts. `layers` has them one by one, as such a
  model is usually written.
- ONNX Runtime: all graph optimizations, fixed shapes, bound inputs and outputs, experts one by one or
  joined. The time of a graph that does nothing is taken off: most of it is Python's.
- NumPy: the greedy algorithms of the papers on the similarity matrix, which is part of the time; `rows`
  computes only those of its rows that are needed.
- Faiss, usearch and pyversity: as they come, on arrays of NumPy.

What isn't installed is left out.
"""


def write_page(results, contexts, options):
    compiler, flags = build_of(options)
    commit = first_line(["git", "rev-parse", "--short=12", "HEAD"])
    if first_line(["git", "status", "--porcelain", "--", "include", "benchmarks", "CMakeLists.txt"]):
        commit += ", with changes"
    peers = [f"| {column_title(name)} | {context['peer']} |"
             for name, context in sorted(contexts.items()) if "peer" in context]
    page = [INTRODUCTION.format(
        command=command_of(options), date=datetime.date.today().isoformat(), commit=commit,
        machine=machine(), system=platform.system() + " " + platform.release(), compiler=compiler,
        flags=flags, rounds=options.rounds, min_time=options.min_time, peers="\n".join(peers))]
    drawn = draw(results, options)
    for group in GROUPS:
        cases = {c: r for c, r in results.items() if re.match(group.pattern, c)}
        if not cases:
            continue
        page += [f"## {group.title}\n", group.text + "\n", table(cases) + "\n"]
        page += [f"![{title}](performance/{name}.svg)\n" for name, title, pattern, _ in PLOTS
                 if name in drawn and any(re.fullmatch(pattern, c) for c in cases)]
    options.out.write_text("\n".join(page))


def draw(results, options):
    """Writes the plots there is data for; their names."""
    try:
        import matplotlib
        matplotlib.use("svg")
        import matplotlib.pyplot as plot
        import matplotlib.ticker
    except ImportError:
        print("report: no plots, matplotlib isn't installed", file=sys.stderr)
        return []
    matplotlib.rcParams.update({"svg.hashsalt": "funnel", "svg.fonttype": "none", "font.size": 9})
    folder = options.out.parent / "performance"
    drawn = []
    for name, title, pattern, unit in PLOTS:
        lines = {}
        for case, columns in results.items():
            match = re.fullmatch(pattern, case)
            for column, runs in columns.items() if match else ():
                lines.setdefault(column, []).append((int(match[1]), median_of(runs)))
        if not lines or max(map(len, lines.values())) < 2:
            continue
        figure, axes = plot.subplots(figsize=(5, 3.2), layout="constrained")
        for column, points in sorted(lines.items(), key=lambda line: (line[0][:6] != "funnel", line)):
            x, y = zip(*sorted(points))
            ours = column.startswith("funnel")
            axes.plot(x, y, "o-", label=column_title(column), linewidth=2.2 if ours else 1.2,
                      markersize=4, zorder=3 if ours else 2)
        axes.set(xscale="log", yscale="log", title=title, xlabel=unit, ylabel="µs")
        axes.set_xticks(sorted({x for points in lines.values() for x, _ in points}))
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.grid(True, which="major", alpha=.3)
        axes.legend(fontsize=8)
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plot.close(figure)
        drawn.append(name)
    return drawn


def write_json(results, path):
    out = {}
    for case, columns in results.items():
        row = out[case] = {}
        for column, runs in columns.items():
            row[f"{column}_us"] = median_of(runs)
            if "roofline" in runs[0]:
                row["roofline" if column == "funnel" else f"{column}_roofline"] = \
                    median_of(runs, "roofline")
    path.write_text(json.dumps(out, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--avx2-build", type=pathlib.Path, help="a build for x86-64-v3")
    parser.add_argument("--data", type=pathlib.Path, help="what export_workloads wrote")
    parser.add_argument("--python-peers", action="store_true", help="run those in Python too")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "performance.md")
    parser.add_argument("--json", type=pathlib.Path, help="write the medians there")
    parser.add_argument("--filter", default=".", help="only workloads that match")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--min-time", type=float, default=.1, help="seconds a case and round")
    parser.add_argument("--cpu-time", action="store_true",
                        help="of one thread, not of the wall: for a look on a busy machine")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    for of_run_sh in ("--avx2", "--no-install"):
        parser.add_argument(of_run_sh, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.min_time = 1, .01
    results, contexts = run_all(find_programs(options), options)
    if not results:
        sys.exit("report: no workload matches the filter")
    write_page(results, contexts, options)
    if options.json:
        write_json(results, options.json)


if __name__ == "__main__":
    main()
