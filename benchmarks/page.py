# SPDX-License-Identifier: MIT
"""Writes docs/performance.md and its plots from what measure.py measured:

    python3 benchmarks/page.py build/benchmarks/results.json [--out docs/performance.md]
"""

import argparse
import collections
import json
import pathlib
import re
import statistics
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
          "make the user's product once too: it is the bias of the items' product, `Gemm(items, "
          "W_items, Gemm(user, W_user, b))`. Where repeating the user's row is faster, that counts."),
    Group(r"target_attention/", "Target attention",
          "Scaled dot product of 500 candidates with the 200 events of one user, 64 values each."),
    Group(r"three_tower/", "Three towers",
          "5,000 candidates of one user: user 256 -> (256, 128, 64), item vectors of 64 from a warm "
          "cache, cross 32 -> 16, top 144 -> (128, 64, 4). Peers are given the item vectors, and make "
          "the user's part of the top's first product once, as above."),
    Group(r"top_k/", "Search by inner product",
          "The 500 best of 1,000,000 vectors of 64, exactly, for one query and for 32 at once."),
    Group(r"flat_index/|category_index/", "Building an index",
          "`flat_index`: 1,000,000 vectors of 64 made ready for the search above. funnel rearranges "
          "them; Faiss copies them. `category_index`: the positions of each category in a history of "
          "1,000,000 events read from memory, of 21 categories where each is half as frequent as the "
          "one before, or of 5,000 equally frequent ones."),
    Group(r"mmr/", "MMR",
          "k of N items with vectors of 64 about 50 topics. Relevance is uniform and independent of "
          "the vectors, the easiest case for funnel, which looks only at items that could still win; "
          "or `bunched` (the N best of 10 N estimates of clicks), `tied` (all equal), of `copies` (100 "
          "distinct vectors), or mostly of an item's topic (`topics`). With `window:10` an item is "
          "held against the last 10 picks. No roofline: what must be read depends on the data. NumPy "
          "looks at every item at every pick. pyversity counts a negative cosine as 0, picks other "
          "items and has no ratio."),
    Group(r"dpp/", "DPP",
          "The same inputs. With `window:10` NumPy does the same windowed work, section 4 of the paper; "
          "pyversity has no window and no ratio there."),
    Group(r"filter/", "Filters of a history",
          "A history of 1,000,000 events read from memory: the positions of one category (0.8 %), and "
          "of a category or a cluster (0.4 %); and looking a category up in an index of the history."),
    Group(r"embedding_bag/", "Embedding bags",
          "The mean of 50 rows of a table of 1,000,000 x 64, for 512 bags; another batch each time. "
          "Rows are read at random; the roofline is what reading in order would take for the share of "
          "the table that the last cache cannot hold. Rows of 256 bytes (float32) reach less of it than "
          "rows of 128, whatever they hold: lines in flight bind, not bytes."),
    Group(r"train_step/", "Training step, MMoE",
          "The model above: forward, four cross-entropies, backward, Adam. With two threads funnel "
          "runs half of the batch on each and adds the gradients. LibTorch has no case with two: "
          "Debian's mixes OpenMP with OpenBLAS's own threads, and is slower with two than with one."),
    Group(r"train_step_embeddings/", "Training step, embeddings",
          "20 ids a row into a table of 1,000,000 x 16, side by side into one logit, cross-entropy, "
          "row-wise Adagrad, 1,024 rows; another batch each time. LibTorch has no row-wise Adagrad: "
          "we wrote it with its operations, in two ways, and the faster counts. FBGEMM has one, but its "
          "package (fbgemm-gpu-cpu) does not import without PyPI's torch and its gigabytes: no ratio."),
    Group(r"elementwise/", "Elementwise",
          "4,096 floats in the cache. No roofline: how few operations a function needs isn't known."),
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

# How each peer is set up: its switches, and the ways it is tried in.
PEERS = {
    "eigen": "same compiler and flags as funnel; one product into the result, then bias and relu in a "
             "pass over it",
    "faiss": "IndexFlatIP, `omp_set_num_threads`; its own loop, or its BLAS in blocks of 1,024 or 16,384",
    "implicit": "`topk`, num_threads=1",
    "libtorch": "Debian's; ATEN_CPU_CAPABILITY=avx512 where there is AVX-512, `set_num_threads(1)`, "
                "InferenceMode; scripted and frozen, with and without optimize_for_inference; experts "
                "one by one or joined into batched products (`layers`: one by one only, as such a model "
                "is usually written); training eager. PyPI's newer torch does not import without "
                "CUDA's packages",
    "libxsmm": "Debian's; a kernel of `libxsmm_smmdispatch` where it makes one, else `libxsmm_sgemm`; "
               "bias before, relu after",
    "numpy": "float32; MMR and DPP on the matrix of all pairs or on the rows needed; an index by a "
             "stable sort of 16 bits or by SciPy's sparse matrix",
    "onednn": "one matmul primitive with bias and relu in it, weights in the layout it asks for. The "
              "newest of PyPI with OpenMP: the 2026.1 there runs through SYCL only, which costs some "
              "microseconds a call on one core",
    "onnxruntime": "ORT_ENABLE_ALL, ORT_SEQUENTIAL, 1 thread, fixed shapes, bound inputs and outputs; "
                   "experts one by one or joined, mixture by products or by a batched product",
    "openblas": "`openblas_set_num_threads(1)`; the result starts as the bias, sgemm or sgemv adds to "
                "it, then relu in a pass over it",
    "openvino": "PERFORMANCE_HINT=LATENCY, NUM_STREAMS=1, INFERENCE_NUM_THREADS=1, "
                "INFERENCE_PRECISION_HINT=f32 (`bf16` in the column of that name); the graphs of ONNX "
                "Runtime",
    "pyversity": "as it comes",
    "usearch": "`search`, exact=True, threads=1",
}

# What the page of version 0.1 said, and why it says something else now: case, column (None: the
# roofline), then, why.
USER_ONCE = "its user's product is made once and added to the items', as its users would write it"
CHANGES = [
    ("mmoe_request/n:512", "onnxruntime", "2.29x", USER_ONCE),
    ("mmoe_request/n:512", "libtorch", "2.78x", USER_ONCE + "; AVX-512 kernels"),
    ("three_tower/5000", "onnxruntime", "1.62x", USER_ONCE),
    ("three_tower/5000", "libtorch", "1.70x", USER_ONCE + "; AVX-512 kernels"),
    ("train_step/batch:256", "libtorch", "1.75x", "AVX-512 kernels, huge pages"),
    ("train_step/batch:256/threads:2", "libtorch", "8.21x",
     "its OpenMP and OpenBLAS's threads are in each other's way: no ratio against a broken set-up"),
    ("dense/256x128/n:512", "openblas", "1.15x", "OpenBLAS of PyPI for Debian's 0.3.21"),
    ("embedding_bag/1000000x64/bags:512/len:50", "libtorch", "1.79x", "huge pages for all"),
    ("train_step_embeddings/batch:1024", "libtorch", "7.48x",
     "huge pages for all; gradients of rows in the faster of two ways"),
    ("mmr/10000x64/k:500", "numpy", "181.83x", "the faster of its two forms, as for any peer"),
    ("mmr/10000x64/k:500", "pyversity", "21.98x",
     "picks are compared in order, and it picks others: it counts a negative cosine as 0"),
    ("dpp/10000x64/k:500/window:10", "pyversity", "131.88x", "it has no window: other work"),
    ("dense/64x64/n:1", None, "120%", "weights in the first cache are not charged to the second"),
    ("filter/1000000/lookup/found:3906", None, "113%", "the same"),
    ("mmr/10000x64/k:500", None, "775%", "a lazy method is not charged a full scan"),
]

OTHER_NUMBERS = "openvino_bf16"  # columns that begin so compute in another precision


def good(runs):
    """The rounds that gave a result."""
    return [r for r in runs if r and "error" not in r]


def failed(runs):
    return next((r["error"] for r in runs if r and "error" in r), None)


def median_of(runs, field="us"):
    return statistics.median(r[field] for r in good(runs))


def quartiles(values):
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def spread_of(runs):
    """Distance of the quartiles over the median."""
    low, middle, high = quartiles([r["us"] for r in good(runs)])
    return (high - low) / middle


class Ratio:
    """How many times as long the peer takes: quartiles of the ratios of the rounds."""

    def __init__(self, peer, funnel):
        self.low, self.median, self.high = quartiles(
            [p["us"] / f["us"] for p, f in zip(peer, funnel)
             if p and f and "us" in p and "us" in f])

    @property
    def verdict(self):
        if self.low <= 1 <= self.high:
            return "equal"
        return "faster" if self.median > 1 else "slower"  # funnel is

    def __str__(self):
        spread = f"({self.low:.2f}-{self.high:.2f})"
        return f"equal {spread}" if self.verdict == "equal" else f"{self.median:.2f}x {spread}"


def ratio_of(columns, peer):
    """None where there is no ratio: nothing to compare, or results that differ."""
    funnel, theirs = columns.get("funnel"), columns.get(peer)
    if not funnel or not theirs or failed(funnel) or failed(theirs):
        return None
    return Ratio(theirs, funnel)


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def column_title(column):
    return column.replace("_", " ") + (" †" if column.startswith(OTHER_NUMBERS) else "")


def peers_of(cases):
    return sorted({c for columns in cases.values() for c in columns} - {"funnel", "funnel_avx2"})


def own_cells(columns, name, detailed):
    runs = columns.get(name)
    if not runs or failed(runs):
        return ["failed" if runs else "-"] + ["-"] * (3 if detailed else 1)
    limited = all("roofline" in r for r in good(runs))
    roof = f"{median_of(runs, 'roofline'):.0%}" if limited else "-"
    if not detailed:
        return [number(median_of(runs)), roof]
    return [number(median_of(runs)), f"{spread_of(runs):.1%}", roof,
            good(runs)[0].get("limit", "-") if limited else "-"]


def table(cases):
    peers = peers_of(cases)
    avx2 = any("funnel_avx2" in columns for columns in cases.values())
    head = ["workload", "funnel, µs", "spread", "roofline", "of"]
    head += ["AVX2, µs", "roofline"] if avx2 else []
    lines = ["| " + " | ".join(head + [column_title(p) for p in peers]) + " |",
             "|---|--:|--:|--:|---" + "|--:" * (len(head) - 5 + len(peers)) + "|"]
    for case, columns in cases.items():
        cells = [f"`{case}`", *own_cells(columns, "funnel", True)]
        cells += own_cells(columns, "funnel_avx2", False) if avx2 else []
        for peer in peers:
            theirs = columns.get(peer)
            if not theirs:
                cells.append("-")
            elif failed(theirs):
                cells.append("differs" if "differ" in failed(theirs) else "failed")
            else:
                ratio = ratio_of(columns, peer)
                cells.append(str(ratio) if ratio else f"{number(median_of(theirs))} µs")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def losses(cases):
    """The table of what takes funnel longer than a peer, the greatest difference first."""
    rows = []
    for case, columns in cases.items():
        ratios = [(ratio_of(columns, peer), peer) for peer in peers_of({case: columns})]
        faster = sorted(((r.median, p, r) for r, p in ratios if r and r.verdict == "slower"),
                        key=lambda row: row[:2])
        if faster:
            rows.append((faster[0][0], f"| `{case}` | {number(median_of(columns['funnel']))} | "
                         + ", ".join(f"{column_title(p)} {r}" for _, p, r in faster) + " |"))
    if not rows:
        return "No peer was faster than funnel in any of these cases."
    return "\n".join(["| workload | funnel, µs | time of the peers that are faster |", "|---|--:|---|",
                      *(line for _, line in sorted(rows))])


def summary(cases):
    """A row a section: how funnel compares with the fastest peer of each case."""
    lines = ["| | cases | funnel faster | equal | slower | fastest peer's time |",
             "|---|--:|--:|--:|--:|--:|"]
    for group in GROUPS:
        best = []
        for case, columns in in_group(cases, group).items():
            ratios = [ratio_of(columns, p) for p in peers_of({case: columns})
                      if not p.startswith(OTHER_NUMBERS)]
            if any(ratios):
                best.append(min(filter(None, ratios), key=lambda r: r.median))
        if not best:
            continue
        count = collections.Counter(r.verdict for r in best)
        medians = sorted(r.median for r in best)
        between = f"{medians[0]:.2f}x" + (f" to {medians[-1]:.2f}x" if len(best) > 1 else "")
        lines.append(f"| {group.title} | {len(best)} | {count['faster']} | {count['equal']} | "
                     f"{count['slower']} | {between} |")
    return "\n".join(lines)


def changes(cases):
    """The table of what is another number than on the page of version 0.1."""
    lines = ["| workload | peer | 0.1 | now | why |", "|---|---|--:|--:|---|"]
    for case, column, then, why in CHANGES:
        columns = cases.get(case, {})
        if column:
            now = ratio_of(columns, column) or "no ratio"
        else:
            now = own_cells(columns, "funnel", False)[1]
            now = "none" if now == "-" else now
        lines.append(f"| `{case}` | {column_title(column) if column else 'roofline'} | {then} | {now} "
                     f"| {why} |")
    return "\n".join(lines)


def in_group(cases, group):
    return {c: columns for c, columns in cases.items() if re.match(group.pattern, c)}


INTRODUCTION = """# Performance

Written by `benchmarks/run.sh` in one run on the machine below. A peer's time is given as a multiple of
funnel's: above 1 funnel is faster. In parentheses stand the quartiles of that ratio over the rounds;
where they have 1 between them, the two are *equal*.

## Where funnel is slower

{losses}

† computes in bfloat16: other numbers than the float32 of all others, compared within what that
precision gives.

## Against the fastest peer

Of each case with a peer, the fastest one in float32.

{summary}

## How it is measured

    {command}

| | |
|---|---|
| date | {date} |
| commit | {commit} |
| machine | {machine} |
| system | {system} |
| compiler | {compiler} |
| flags | `{flags}` |
| environment | {environment} |
| rounds | {rounds}, at least {min_time} s a case in each; {minutes:.0f} minutes in all |
{warning}
{digests}

In every round each workload runs on funnel and on all of its peers right after one another, in random
order, each in a process of its own, on one thread pinned to one core unless the name says `threads:2`.
The environment is the same for all: OPENBLAS_* is unset, and glibc asks for huge pages for every
process, as funnel's arrays and NumPy's do by themselves. Inputs are the same. Results are compared
before anything is timed: numbers within 1e-4 of the largest one, what is picked or found item by item
and in order, but for scores that are equal within 2e-5. A peer whose results differ has no ratio, and
the run ends with an error. A time is the median over the rounds, *spread* the distance of their
quartiles over it. Work that isn't the same (a window that the peer doesn't have, threads that its
libraries get in each other's way with) has no ratio.

**Roofline.** The fraction of a limit of one core that binds the workload: float operations (a
multiply-add is two) against the peak of fused multiply-adds in registers; bytes that no cache can hold
against reading 256 MB with SIMD loads in several runs side by side, prefetched; or *cached bytes*
against reading as many bytes again and again from whichever cache holds them. Work is counted as the
least that the result needs; where that depends on the data or isn't known, there is no roofline.
Limits are measured in the same process and with the same instruction set, some milliseconds right
before the case and right after it, and the better one counts: a slow moment of a noisy machine lowers
the fraction, it doesn't raise it.

**Peers** are set up as their documentation says is fastest; where there are several ways, the fastest
one, found before the measurement, counts. What isn't installed is left out. Of ONNX Runtime and
OpenVINO the time of a graph that does nothing is taken off: most of it is Python's.

| peer | version | how it is set up |
|---|---|---|
{peers}

## What changed against version 0.1

The page of version 0.1 was too kind to funnel. Some peers were not in the form that their own users
would choose, some ratios were of other work or against a broken set-up, results were compared as sets,
limits were charged that do not bind, and of MMR and DPP only the easiest input was measured. OpenVINO
and LIBXSMM are new among the peers; requests of 20, 50 and 100 rows, bunched, tied, copied and
topic-correlated items, and building an index are new among the workloads. Ratios have their spread
now, and what is slower comes first. Numbers also moved because the library and the peers' versions did.

{changes}
"""


def write_page(results, out):
    settings, cases = results["settings"], results["cases"]
    digests = "\n".join(f"measured {folder} {digest}" for folder, digest in
                        sorted(settings["digests"].items()))
    warning = ""
    if settings["rounds"] < 8:
        warning += "\nFewer than 8 rounds: for a look only.\n"
    if results["failures"]:
        warning += f"\n{len(results['failures'])} results differ or are missing.\n"
    page = [INTRODUCTION.format(
        losses=losses(cases), summary=summary(cases), changes=changes(cases), warning=warning,
        command=settings["command"], date=settings["date"], commit=settings["commit"] or "unknown",
        machine=settings["machine"], system=settings["system"], compiler=settings["compiler"],
        flags=settings["flags"], rounds=settings["rounds"], min_time=settings["min_time"],
        minutes=settings["minutes"],
        environment=", ".join(f"`{k}={v}`" for k, v in settings["switches"].items()),
        digests=f"<!-- tests/docs/performance.cmake tells by these when the page is stale.\n{digests}\n-->",
        peers="\n".join(f"| {column_title(name)} | {version} | {PEERS.get(name, '-')} |"
                        for name, version in sorted(results["peers"].items())))]
    drawn = draw(cases, out)
    for group in GROUPS:
        members = in_group(cases, group)
        if not members:
            continue
        page += [f"## {group.title}\n", group.text + "\n", table(members) + "\n"]
        page += [f"![{title}](performance/{name}.svg)\n" for name, title, pattern, _ in PLOTS
                 if name in drawn and any(re.fullmatch(pattern, c) for c in members)]
    out.write_text("\n".join(page))


def draw(cases, out):
    """Writes the plots there is data for; their names."""
    try:
        import matplotlib
        matplotlib.use("svg")
        import matplotlib.pyplot as plot
        import matplotlib.ticker
    except ImportError:
        print("page: no plots, matplotlib isn't installed", file=sys.stderr)
        return []
    matplotlib.rcParams.update({"svg.hashsalt": "funnel", "svg.fonttype": "none", "font.size": 9})
    folder = out.parent / "performance"
    drawn = []
    for name, title, pattern, unit in PLOTS:
        lines = {}
        for case, columns in cases.items():
            match = re.fullmatch(pattern, case)
            for column, runs in columns.items() if match else ():
                if not failed(runs):
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
        ticks = []
        for x in sorted({x for points in lines.values() for x, _ in points}):
            if not ticks or x > 1.5 * ticks[-1]:  # else their numbers overlap
                ticks.append(x)
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        axes.grid(True, which="major", alpha=.3)
        axes.legend(fontsize=8)
        folder.mkdir(exist_ok=True)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        plot.close(figure)
        drawn.append(name)
    return drawn


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "performance.md")
    options = parser.parse_args()
    write_page(json.loads(options.results.read_text()), options.out)


if __name__ == "__main__":
    main()
