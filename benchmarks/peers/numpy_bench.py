# SPDX-License-Identifier: MIT
"""NumPy: the greedy algorithms as their papers give them, which look at every item at every pick; on
the kernel matrix of all pairs, which is part of the time, or computing only the rows of it that are
needed, whichever was faster before the measurement. Filters and inverted indexes as one writes them,
the latter also by SciPy. One thread, float32."""

from harness import Mismatch, data, fastest, main
from slates import DPP_WEIGHT, MMR_WEIGHT, compare_picks, inputs, slates

import numpy as np
import scipy.sparse


def similarities(vectors, rows):
    """A function of a pick that gives its similarities with all items."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if rows:
        return lambda j: unit @ unit[j]
    kernel = unit @ unit.T
    return lambda j: kernel[j]


def mmr(vectors, relevance, k, window, rows):
    weight = np.float32(MMR_WEIGHT)
    similarity = similarities(vectors, rows)
    score = weight * relevance
    nearest = np.full(len(relevance), -np.inf, np.float32)
    shown = np.full((window, len(relevance)), -np.inf, np.float32)  # rows of the last picks
    picks = np.empty(k, np.int64)
    left, scaled = score.copy(), np.empty_like(score)
    for step in range(k):
        best = int(left.argmax())
        picks[step] = best
        if window:
            shown[step % window] = similarity(best)
            shown[:step + 1].max(0, out=nearest)
        else:
            np.maximum(nearest, similarity(best), out=nearest)
        score[best] = -np.inf
        np.multiply(nearest, weight - 1, out=scaled)
        np.add(score, scaled, out=left)
    return picks


def dpp(vectors, relevance, k, rows):
    """Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1, with kernel q_i S_ij q_j and
    q = exp(relevance * weight / (2 (1 - weight)))."""
    similarity = similarities(vectors, rows)
    n = len(relevance)
    quality = np.exp(relevance * np.float32(DPP_WEIGHT / (2 * (1 - DPP_WEIGHT))))
    factor = np.zeros((k, n), np.float32)
    volume = quality * quality
    picks = np.empty(k, np.int64)
    for step in range(k):
        best = int(volume.argmax())
        picks[step] = best
        row = factor[step]
        np.multiply(similarity(best), quality * quality[best], out=row)
        row -= factor[:step, best] @ factor[:step]
        row /= np.sqrt(volume[best])
        volume -= row * row
        volume[best] = -np.inf
    return picks


def dpp_window(vectors, relevance, k, window, rows):
    """The same held against the last `window` picks: when the oldest leaves, rotations take it out
    of the factor of the window and of every item's row, as in section 4 of the paper."""
    similarity = similarities(vectors, rows)
    n = len(relevance)
    gain = relevance * np.float32(DPP_WEIGHT / (1 - DPP_WEIGHT))
    factor = np.zeros((window, n), np.float32)  # of all items, one row a pick in the window
    volume = np.ones(n, np.float32)
    left = np.ones(n, bool)
    shown = []
    picks = np.empty(k, np.int64)
    score = np.empty(n, np.float32)
    for step in range(k):
        np.log(np.maximum(volume, 1e-10), out=score)
        score += gain
        score[~left] = -np.inf
        best = int(score.argmax())
        picks[step] = best
        left[best] = False
        if len(shown) == window:
            gone = factor[0].copy()
            inner = factor[:, shown].copy()  # column s: the factor's row of pick s
            column = inner[0].copy()  # of the pick that leaves, and what remains of it
            for t in range(1, window):
                diagonal, beside = inner[t, t], column[t]
                length = np.sqrt(diagonal * diagonal + beside * beside)
                c, s = diagonal / length, beside / length
                inner[t], column = c * inner[t] + s * column, c * column - s * inner[t]
                factor[t - 1] = c * factor[t] + s * gone
                gone = c * gone - s * factor[t]
            volume += gone * gone
            shown.pop(0)
        size = len(shown)
        row = similarity(best) - factor[:size, best] @ factor[:size]
        row /= np.sqrt(max(volume[best], 1e-10))
        factor[size] = row
        volume -= row * row
        shown.append(best)
    return picks


def make_slate(slate):
    def make():
        vectors, relevance = inputs(slate)

        def way(rows):
            if slate.kind == "mmr":
                run = lambda: mmr(vectors, relevance, slate.k, slate.window, rows)
            elif slate.window:
                run = lambda: dpp_window(vectors, relevance, slate.k, slate.window, rows)
            else:
                run = lambda: dpp(vectors, relevance, slate.k, rows)
            compare_picks(slate, run())
            return run

        # All pairs of more items than this take longer than the picks.
        return fastest([way(True), way(False)] if slate.n <= 2500 else [way(True)])

    return make


def next_row(rows):
    """Calls of the result give one row after another."""
    at = [0]

    def take():
        at[0] = (at[0] + 1) % len(rows)
        return at[0]

    return take


def make_filter(union):
    def make():
        categories, clusters = data("history.categories"), data("history.clusters")
        take = next_row(categories)

        def search(i):
            if union:
                return np.flatnonzero((categories[i] == 7) | (clusters[i] == 8))
            return np.flatnonzero(categories[i] == 7)

        ours = data("history.union" if union else "history.category")[0]
        if not np.array_equal(search(0), ours):
            raise Mismatch("results differ: other positions were found")
        return lambda: search(take())

    return make


def by_sort(ids):
    """Positions ordered by id, and where each id's begin: a stable sort of 16 bits is by radix."""
    narrow = ids.astype(np.uint16)
    return np.argsort(narrow, kind="stable"), np.r_[0, np.bincount(ids).cumsum()]


def by_matrix(ids):
    """The same as the rows of a sparse matrix [ids, positions] of bits."""
    n = len(ids)
    made = scipy.sparse.csr_array(
        (np.ones(n, np.bool_), (ids.view(np.int32), np.arange(n, dtype=np.int32))),
        shape=(int(ids.max()) + 1, n))
    return made.indices, made.indptr


def make_index(name):
    def make():
        histories = data(name)

        def way(build):
            order, begin = build(histories[0])
            ids = histories[0][order].astype(np.int64)
            if not (np.all(np.diff(ids * len(ids) + order) > 0)
                    and np.array_equal(np.searchsorted(ids, np.arange(len(begin))), begin)):
                raise Mismatch("results differ: not every category's positions in order")
            take = next_row(histories)
            return lambda: build(histories[take()])

        return fastest([way(by_sort), way(by_matrix)])

    return make


cases = {
    "filter/1000000/category": make_filter(False),
    "filter/1000000/union": make_filter(True),
    "category_index/1000000/categories:21": make_index("history.categories"),
    "category_index/1000000/categories:5000": make_index("history.uniform"),
}
for slate in slates():
    cases[slate.name] = make_slate(slate)
blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
main(f"NumPy {np.__version__} ({blas['name']} {blas['version']}), SciPy {scipy.__version__}", cases)
