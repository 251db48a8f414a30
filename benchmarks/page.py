# SPDX-License-Identifier: MIT
"""Writes docs/performance.md and its plots from the results of measure.py:

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

# The sections of the page: pattern of the cases, title, and what the cases and their peers compute.
Group = collections.namedtuple("Group", "pattern title text")
GROUPS = [
    Group(r"dense/", "Dense layer",
          "`dense/INxOUT/n:N` computes y = relu(x W + b) for N rows. The weights are packed or reordered "
          "once, before the measurement."),
    Group(r"mmoe/", "MMoE",
          "A multi-gate mixture of experts with 256 inputs, 4 experts (128, 64), 4 gates and 4 towers "
          "(32, 1), for N rows."),
    Group(r"mmoe_request/", "MMoE for one request",
          "The same model for one user and N candidates: 160 of the 256 inputs belong to the user and "
          "are one row for all candidates. Peers compute the user's product once too, as the bias of "
          "the items' product: `Gemm(items, W_items, Gemm(user, W_user, b))`. If repeating the user's "
          "row is faster, that time counts."),
    Group(r"ranker_request/", "A whole ranker for one request",
          "N candidates of one user: DIN with 32 hidden values and a softmax over 100 events of 32 values, "
          "two full layers of DCN v2 on 160 inputs of the user, 96 of the item and the 32 of DIN, and PLE "
          "on these and the crosses: two levels, (128, 64) and (64), with an expert for each of 4 tasks "
          "and a shared one; 4 towers (32, 1). Peers run the graph in all forms that we know: DIN's pairs "
          "as in the paper, with its first layer split, or with weights of its own for each candidate; the "
          "user's products once or the row repeated; experts one by one or joined; two forms of mixture. "
          "The fastest of the 24 counts."),
    Group(r"cross_network|bilinear|senet/|ppnet/", "Feature crossing for one request",
          "One user and N candidates: 160 of the 256 inputs belong to the user and are one row. "
          "`cross_network`: 3 layers with full matrices, or of rank 64. `bilinear` and `senet` see 16 "
          "fields of 16 values; `bilinear` has all pairs, with a matrix each. `ppnet`: (128, 64, 1), "
          "with gates from the user's inputs."),
    Group(r"target_attention/", "Target attention",
          "Scaled dot-product attention of 500 candidates over the 200 events of one user, 64 values "
          "each."),
    Group(r"sim_attention/", "SIM",
          "500 candidates of one user against a history of 1,000,000 events in a `history_store`: the "
          "100 newest events of the category or the cluster of each candidate, then attention with 4 "
          "heads of 16, or DIN with one hidden layer of 16."),
    Group(r"model_file_", "Model files",
          "A file of 256 MB in the page cache: opened with the checksums of all bytes, and loaded into a "
          "model. The roofline counts one reading for the checksums, and for the copy one more and one writing."),
    Group(r"three_tower/", "Three towers",
          "5,000 candidates of one user: user tower 256 -> (256, 128, 64), item vectors of 64 values "
          "from a warm cache, cross tower 32 -> 16, top 144 -> (128, 64, 4). Peers get the item vectors "
          "as input, and compute the user's part of the first product of the top once, as above."),
    Group(r"multi_vector_tower/", "Multi-vector two towers",
          "N candidates of one user, picked by id from a table of 1,000,000 vectors of 64: user tower 256 -> "
          "(256, 128, 4 * 64), and 4 heads on cosines. Each repetition picks other candidates."),
    Group(r"top_k/", "Search by inner product",
          "Exact search for the 500 best of 1,000,000 vectors of 64 values, for one query and for 32 "
          "queries at once; vectors stored as float unless the name says otherwise. `filtered`: half of "
          "the items, at random, are excluded by a bitmap."),
    Group(r"score_items/|flat_index_scores/", "Scores of given items",
          "Inner products of one query, or of 4, with N items picked at random of 200,000 or 5,000,000; "
          "each repetition picks others. `score_items` reads rows; `flat_index_scores` reads the packed "
          "vectors of a `flat_index`. The roofline is the time for a sequential read of the part of the "
          "picked rows that does not fit into the last-level cache."),
    Group(r"flat_index/|category_index/", "Building an index",
          "`flat_index`: prepares 1,000,000 vectors of 64 values for the search above. funnel rearranges "
          "them; Faiss copies them. `category_index`: finds the positions of each category in a history "
          "of 1,000,000 events, which is read from memory; either of 21 categories, each half as "
          "frequent as the one before, or of 5,000 equally frequent ones."),
    Group(r"mmr/", "MMR",
          "Picks k of N items, whose vectors have 64 values and belong to about 50 topics. By default, "
          "relevance is uniform and independent of the vectors. That is the easiest case for funnel, "
          "which scores only items that could still win. The other cases: `bunched`, relevance is the N "
          "best of 10 N estimated click rates; `tied`, all relevance is equal; `copies`, only 100 "
          "distinct vectors; `topics`, relevance depends mostly on the topic. With `window:10`, an item "
          "is compared with the last 10 picks. There is no roofline, because the data decides how much "
          "must be read. NumPy scores every item at every pick. pyversity counts a negative cosine as "
          "0, so it picks other items and has no ratio."),
    Group(r"dpp/", "DPP",
          "The same inputs as for MMR. With `window:10`, NumPy does the same work, by section 4 of the "
          "paper; pyversity has no window, so there is no ratio."),
    Group(r"filter/", "Filters of a history",
          "In a history of 1,000,000 events, which is read from memory: finds the positions of one "
          "category (0.8 %), or of a category or a cluster (0.4 %); and looks up a category in an index "
          "of the history (`lookup`)."),
    Group(r"embedding_bag/", "Embedding bags",
          "The mean of 50 rows of a table of 1,000,000 x 64, for 512 bags; each repetition uses another "
          "batch. Rows are read at random. The roofline is the time for a sequential read of the part "
          "of the table that does not fit into the last-level cache. Rows of 256 bytes (float32) reach a "
          "smaller fraction of it than rows of 128 bytes, because the number of cache lines in flight "
          "is the limit, not the number of bytes."),
    Group(r"train_step/", "Training step, MMoE",
          "The MMoE above: forward, four cross-entropies, backward, Adam. With two threads, funnel runs "
          "half of the batch on each and adds the gradients. There is no case of LibTorch with two "
          "threads: Debian's package mixes OpenMP with the threads of OpenBLAS, and is slower with two "
          "threads than with one."),
    Group(r"training_step/", "Training step in leaves, MMoE",
          "The same training by `training_step`: leaves of 128 rows, whose sums do not depend on the "
          "number of threads; two threads of a `thread_pool`."),
    Group(r"train_feed/", "Training step, the ranker of a feed",
          "The ranker of examples/short_video_feed on batches of 512 simulated rows, with the gathering of "
          "the rows: the whole batch on one context (`loop`), or by `training_step` in leaves of 256 rows "
          "(`leaves`). There is no roofline: most of the work outside of the dense layers moves rows."),
    Group(r"train_requests/", "Training step, requests",
          "The MMoE above on 100 requests of 10 candidates. The user's 160 inputs are numbers (`raw`), or "
          "7 embeddings of 16 values and the mean of 50 vectors of 48 (`embedded`). They have one row per "
          "candidate (`repeated`) or one row per request (`grouped`). The roofline counts the operations "
          "that each needs: with `raw` inputs, grouped rows need 62% of those of repeated rows."),
    Group(r"train_ranker/", "Training step, a whole ranker",
          "The ranker of `ranker_request` on 100 requests of 10 candidates, each request with 100 events, "
          "with four cross-entropies and Adam: 1,000 rows, as many as in `train_requests/raw/grouped`, "
          "the MMoE alone."),
    Group(r"train_step_embeddings/", "Training step, embeddings",
          "1,024 rows with 20 ids each: the embeddings, from a table of 1,000,000 x 16, are concatenated "
          "and give one logit; cross-entropy, row-wise Adagrad; each repetition uses another batch. "
          "LibTorch has no row-wise Adagrad: we wrote it with its operations, in two ways, and the "
          "faster one counts. FBGEMM has row-wise Adagrad, but its package (fbgemm-gpu-cpu) cannot be "
          "imported without PyPI's torch, which needs gigabytes: no ratio."),
    Group(r"training_step_embeddings/", "Training step in leaves, embeddings",
          "The same training by `training_step`: 8 leaves of 128 rows, whose sums do not depend on the "
          "number of threads; two threads of a `thread_pool`."),
    Group(r"online_item_cf/|online_swing/", "Similar items of a stream",
          "1,000 events of 5,000 users with 100,000 items, drawn by Zipf's law, once the users have about 50 "
          "items (`growing`), or 50 items of which one leaves for each new one (`full`); `exact` and "
          "`additions` are updates of Swing. The time of drawing the events is part of it. There is no "
          "roofline, because the events decide what is read."),
    Group(r"elementwise/", "Elementwise",
          "4,096 floats in the cache. There is no roofline, because the smallest number of operations "
          "that a function needs is not known."),
]

# The plots docs/performance/*.svg: file, title, pattern of the cases with the number to plot in
# (...), unit.
PLOTS = [
    ("dense_256x128", "dense/256x128", r"dense/256x128/n:(\d+)", "rows"),
    ("mmoe", "mmoe", r"mmoe/n:(\d+)", "rows"),
    ("mmoe_request", "mmoe_request", r"mmoe_request/n:(\d+)", "candidates"),
    ("mmr", "mmr, k = 500", r"mmr/(\d+)x64/k:500", "candidates"),
    ("dpp", "dpp, k = 60", r"dpp/(\d+)x64/k:60", "candidates"),
    ("dpp_window", "dpp, k = 500, window = 10", r"dpp/(\d+)x64/k:500/window:10", "candidates"),
]

# How each peer is set up: its settings, and the variants that were tried.
PEERS = {
    "eigen": "same compiler and flags as funnel; one product into the result, then bias and relu in one "
             "pass over it; scores of given items by a dot product per score, or by a copy of the rows and "
             "one product",
    "faiss": "IndexFlatIP, `omp_set_num_threads`; its own loop, or its BLAS in blocks of 1,024 or 16,384",
    "implicit": "`topk`, num_threads=1",
    "libtorch": "Debian's package; ATEN_CPU_CAPABILITY=avx512 if the processor has AVX-512, "
                "`set_num_threads(1)`, InferenceMode; scripted and frozen, with and without "
                "optimize_for_inference; experts one by one or joined into batched products (`layers`: "
                "only one by one, as such a model is usually written); training in eager mode. PyPI's "
                "newer torch cannot be imported without the packages of CUDA",
    "libxsmm": "Debian's package; a kernel of `libxsmm_smmdispatch` if there is one, otherwise "
               "`libxsmm_sgemm`; bias before, relu after",
    "numpy": "float32; MMR and DPP with the matrix of all pairs or with the needed rows only; an index "
             "by a stable sort of 16-bit numbers or by a sparse matrix of SciPy",
    "onednn": "one matmul primitive that includes bias and relu, weights in the layout it prefers. It is "
              "the newest version on PyPI with OpenMP: version 2026.1 runs only through SYCL, which "
              "costs some microseconds per call on one core",
    "onnxruntime": "ORT_ENABLE_ALL, ORT_SEQUENTIAL, 1 thread, fixed shapes, bound inputs and outputs; "
                   "experts one by one or joined, mixture by products or by a batched product",
    "openblas": "`openblas_set_num_threads(1)`; the result is initialized with the bias, sgemm or sgemv "
                "adds to it, then relu in one pass over it",
    "openvino": "PERFORMANCE_HINT=LATENCY, NUM_STREAMS=1, INFERENCE_NUM_THREADS=1, "
                "INFERENCE_PRECISION_HINT=f32 (`bf16` in the column of that name); the same graphs as "
                "for ONNX Runtime",
    "pyversity": "default settings",
    "usearch": "`search`, exact=True, threads=1",
}

# Numbers on the page of version 0.1 that are different now: case, column (None: the roofline), number
# then, reason.
USER_ONCE = "it computes the user's product once now and adds it to the items', as its users would"
CHANGES = [
    ("mmoe_request/n:512", "onnxruntime", "2.29x", USER_ONCE),
    ("mmoe_request/n:512", "libtorch", "2.78x", USER_ONCE + "; AVX-512 kernels"),
    ("three_tower/5000", "onnxruntime", "1.62x", USER_ONCE),
    ("three_tower/5000", "libtorch", "1.70x", USER_ONCE + "; AVX-512 kernels"),
    ("train_step/batch:256", "libtorch", "1.75x", "AVX-512 kernels, huge pages"),
    ("train_step/batch:256/threads:2", "libtorch", "8.21x",
     "its OpenMP threads conflict with those of OpenBLAS: no ratio against a broken setup"),
    ("dense/256x128/n:512", "openblas", "1.15x", "OpenBLAS from PyPI instead of Debian's 0.3.21"),
    ("embedding_bag/1000000x64/bags:512/len:50", "libtorch", "1.79x", "huge pages for all programs"),
    ("train_step_embeddings/batch:1024", "libtorch", "7.48x",
     "huge pages for all programs; row gradients by the faster of two methods"),
    ("mmr/10000x64/k:500", "numpy", "181.83x", "the faster of its two variants counts, as for any peer"),
    ("mmr/10000x64/k:500", "pyversity", "21.98x",
     "it picks other items (it counts a negative cosine as 0); picks are compared in order now"),
    ("dpp/10000x64/k:500/window:10", "pyversity", "131.88x", "it has no window, so it does other work"),
    ("dense/64x64/n:1", None, "120%", "weights that are in the L1 cache no longer count as read from L2"),
    ("filter/1000000/lookup/found:3906", None, "113%", "same reason"),
    ("mmr/10000x64/k:500", None, "775%", "a lazy method does not do the work of a full scan"),
]

OTHER_NUMBERS = "openvino_bf16"  # columns with this prefix compute in another precision


def good(runs):
    """The rounds with a result."""
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
    """Interquartile range divided by the median."""
    low, middle, high = quartiles([r["us"] for r in good(runs)])
    return (high - low) / middle


class Ratio:
    """Time of the peer divided by that of funnel: quartiles over the rounds."""

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
    """None if there is no ratio: nothing to compare, or results that differ."""
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
    """Table of the cases in which a peer is faster than funnel, the largest difference first."""
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
    return "\n".join(["| workload | funnel, µs | faster peers and their time |", "|---|--:|---|",
                      *(line for _, line in sorted(rows))])


def summary(cases):
    """One row per section: how funnel compares with the fastest peer of each case."""
    lines = ["| | cases | funnel faster | equal | slower | time of the fastest peer |",
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
    """Table of the numbers that differ from those on the page of version 0.1."""
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

Measured times of funnel and of other libraries that do the same work (peers), one section per
workload. `benchmarks/run.sh` wrote this page in one run on the machine below. The time of a peer is
given as a multiple of funnel's time: above 1, funnel is faster. The numbers in parentheses are the
quartiles of this ratio over the rounds; if 1 is between them, the two are *equal*.

## Where funnel is slower

{losses}

† computes in bfloat16, all others in float32; its results are compared with the tolerance of that
precision.

## Against the fastest peer

For each case that has a peer, compared with the fastest peer in float32.

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
| rounds | {rounds}, at least {min_time} s per case in each; {minutes:.0f} minutes in total |
{warning}
{digests}

In every round, each workload runs on funnel and on all of its peers one right after another, in
random order. Each run is a process of its own, with one thread pinned to one core, unless the name
says `threads:2`. All processes have the same environment: OPENBLAS_* is unset, and glibc requests
huge pages for every process, as the arrays of funnel and NumPy do by themselves. All get the same
inputs. Results are compared before the time is measured: numbers must agree within 1e-4 of the
largest one, and picked or found items must be the same, in the same order, except for scores that
are equal within 2e-5. A peer whose results differ has no ratio, and the run ends with an error. Nor
is there a ratio if the work is not the same (for instance if a peer has no window), or if the
threads of a peer's libraries conflict. A time is the median over the rounds; *spread* is the
interquartile range divided by the median.

**Roofline.** The fraction of the hardware limit of one core that bounds the workload. There are three
limits: float operations (a multiply-add counts as two), compared with the peak rate of fused
multiply-adds in registers; bytes that do not fit into any cache, compared with the rate of reading
256 MB with SIMD loads in several parallel streams with prefetching; and *cached bytes*, compared with
the rate of reading the same number of bytes repeatedly from the cache that holds them. The work is
the least that is needed for the result; if that depends on the data or is not known, there is no
roofline. Limits are measured in the same process with the same instruction set, for some
milliseconds right before and right after the case, and the better value counts. So a slow moment of
a noisy machine lowers the fraction and does not raise it.

**Peers** are set up as their documentation recommends for speed. If there are several ways, the
fastest one counts, which was found before the measurement. Peers that are not installed are left
out. For ONNX Runtime and OpenVINO, the time of an empty graph is subtracted: most of it is spent in
Python.

| peer | version | setup |
|---|---|---|
{peers}

## What changed against version 0.1

The page of version 0.1 favored funnel. Some peers were not used in the way their own users would
use them; some ratios compared different work or a broken setup; results were compared without
order; some rooflines used limits that do not apply; and MMR and DPP were measured only on the
easiest input. New peers are OpenVINO and LIBXSMM. New workloads are requests of 20, 50 and 100 rows,
items with bunched, tied, copied and topic-dependent relevance or vectors, and building an index.
Ratios now have their spread, and the cases in which funnel is slower come first. Numbers also changed
because the library and the versions of the peers changed.

{changes}
"""


def write_page(results, out):
    settings, cases = results["settings"], results["cases"]
    digests = "\n".join(f"measured {folder} {digest}" for folder, digest in
                        sorted(settings["digests"].items()))
    warning = ""
    if settings["rounds"] < 8:
        warning += "\nFewer than 8 rounds: for a look only, not reliable.\n"
    if results["failures"]:
        warning += f"\n{len(results['failures'])} results differ or are missing.\n"
    page = [INTRODUCTION.format(
        losses=losses(cases), summary=summary(cases), changes=changes(cases), warning=warning,
        command=settings["command"], date=settings["date"], commit=settings["commit"] or "unknown",
        machine=settings["machine"], system=settings["system"], compiler=settings["compiler"],
        flags=settings["flags"], rounds=settings["rounds"], min_time=settings["min_time"],
        minutes=settings["minutes"],
        environment=", ".join(f"`{k}={v}`" for k, v in settings["switches"].items()),
        digests="<!-- tests/docs/performance.cmake uses these to see whether the page is stale.\n"
                f"{digests}\n-->",
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
    """Writes the plots for which there is data; returns their names."""
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
            if not ticks or x > 1.5 * ticks[-1]:  # otherwise the numbers overlap
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
