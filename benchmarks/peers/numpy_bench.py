# SPDX-License-Identifier: MIT
"""NumPy: the greedy algorithms as their papers give them, on the kernel matrix of all pairs, which is
part of the time; `@rows` computes only the rows of that matrix that are needed. Filters as one
writes them. One thread, float32."""

from harness import differs, main

import numpy as np


def similarities(vectors, rows):
    """A function of a pick that gives its similarities with all items."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if rows:
        return lambda j: unit @ unit[j]
    kernel = unit @ unit.T
    return lambda j: kernel[j]


def mmr(vectors, relevance, k, weight, rows):
    similarity = similarities(vectors, rows)
    score = weight * relevance
    nearest = np.full(len(relevance), -np.inf, np.float32)
    picks = np.empty(k, np.int64)
    left, scaled = score.copy(), np.empty_like(score)
    for step in range(k):
        best = int(left.argmax())
        picks[step] = best
        np.maximum(nearest, similarity(best), out=nearest)
        score[best] = -np.inf
        np.multiply(nearest, weight - 1, out=scaled)
        np.add(score, scaled, out=left)
    return picks


def dpp(vectors, relevance, k, weight, rows):
    """Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1, with kernel q_i S_ij q_j and
    q = exp(relevance * weight / (2 (1 - weight)))."""
    similarity = similarities(vectors, rows)
    n = len(relevance)
    quality = np.exp(relevance * np.float32(weight / (2 * (1 - weight))))
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


def dpp_window(vectors, relevance, k, weight, window, rows):
    """The same held against the last `window` picks: when the oldest leaves, rotations take it out
    of the factor of the window and of every item's row, as in section 4 of the paper."""
    similarity = similarities(vectors, rows)
    n = len(relevance)
    gain = relevance * np.float32(weight / (1 - weight))
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


def make_slate(name, kind, n, k, rows):
    def make(data):
        vectors = data(f"slate.{n}.vectors")
        relevance = data(f"slate.{n}.relevance")[0]
        run = {"mmr": lambda: mmr(vectors, relevance, k, 0.7, rows),
               "dpp": lambda: dpp(vectors, relevance, k, 0.5, rows),
               "dpp_window": lambda: dpp_window(vectors, relevance, k, 0.5, 10, rows)}[kind]
        same = len(np.intersect1d(data(f"slate.{n}.{kind}")[0], run()))
        if same < 0.9 * k:
            differs(name, f"{same} of {k} picks are the same")
        return run

    return make


def make_filter(union):
    def make(data):
        categories, clusters = data("history.categories"), data("history.clusters")
        at = [0]

        def run():
            i = at[0] = (at[0] + 1) % len(categories)
            if union:
                return np.flatnonzero((categories[i] == 7) | (clusters[i] == 8))
            return np.flatnonzero(categories[i] == 7)

        return run

    return make


cases = {"filter/1000000/category": make_filter(False), "filter/1000000/union": make_filter(True)}
for items in (1250, 2500, 5000, 10000):
    for kind, picks, tail in (("mmr", 500, ""), ("dpp_window", 500, "/window:10"), ("dpp", 60, "")):
        for way in ("", "@rows"):
            case = f"{kind[:3]}/{items}x64/k:{picks}{tail}{way}"
            cases[case] = make_slate(case, kind, items, picks, way != "")
blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
main(f"NumPy {np.__version__} ({blas['name']} {blas['version']})", cases)
