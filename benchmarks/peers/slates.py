# SPDX-License-Identifier: MIT
"""The cases of MMR and DPP, and what greedy picks must be."""

from harness import Mismatch, data, exported

import collections
import re

import numpy as np

MMR_WEIGHT, DPP_WEIGHT = 0.7, 0.5

Slate = collections.namedtuple("Slate", "name kind n k window")


def slates():
    pattern = r"(mmr|dpp)/(\d+)x64/k:(\d+)(?:/window:(\d+))?(?:/\w+)?"
    names = exported("mmr/") + exported("dpp/")
    return [Slate(name, m[1], int(m[2]), int(m[3]), int(m[4] or 0))
            for name in names for m in [re.fullmatch(pattern, name)]]


def inputs(slate):
    return data(f"slate.{slate.name}.vectors"), data(f"slate.{slate.name}.relevance")[0]


def scores_after(slate, shown, unit, relevance):
    """What every item scores after these picks, in double. MMR: relevance against the largest cosine;
    DPP: relevance against ln d^2, or against nothing where d^2 is none."""
    seen = shown[-slate.window:] if slate.window else shown
    if slate.kind == "mmr":
        nearest = (unit @ unit[seen].T).max(1) if len(seen) else 0
        score = MMR_WEIGHT * relevance - (1 - MMR_WEIGHT) * nearest
    else:
        volume = np.ones(len(unit))
        if len(seen):
            half = np.linalg.cholesky(unit[seen] @ unit[seen].T)
            volume -= (np.linalg.solve(half, unit[seen] @ unit.T) ** 2).sum(0)
        score = DPP_WEIGHT * relevance + (1 - DPP_WEIGHT) * np.log(np.maximum(volume, 1e-10))
    score[shown] = -np.inf
    return score


def compare_picks(slate, theirs, tolerance=2e-5):
    """Raises unless both picked the same items in the same order but for scores that are equal within
    the tolerance. From the first pick that differs the pages go on differently: each pick of either
    must then be within the tolerance of the best one behind those before it."""
    ours = data(f"slate.{slate.name}.picks")[0].astype(np.int64)
    theirs = np.asarray(theirs, np.int64)
    if len(np.unique(theirs)) != len(ours):
        raise Mismatch(f"results differ: {len(np.unique(theirs))} distinct picks of {len(ours)}")
    different = np.flatnonzero(ours != theirs)
    if not len(different):
        return
    vectors, relevance = inputs(slate)
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for who, picks in (("ours", ours), ("theirs", theirs)):
        for step in range(different[0], len(picks)):
            score = scores_after(slate, picks[:step], unit, relevance.astype(np.float64))
            lost = float(score.max() - score[picks[step]])
            if not lost <= tolerance:
                raise Mismatch(f"results differ from pick {different[0]} on, and {who} at pick {step} "
                               f"scores {lost:g} less than the best")
