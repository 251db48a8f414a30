# SPDX-License-Identifier: MIT
"""pyversity: MMR and DPP of the same items. Its DPP has no window: it runs without one."""

from importlib.metadata import version

from harness import differs, main

import numpy as np
import pyversity


def make_slate(name, kind, n, k):
    def make(data):
        vectors = data(f"slate.{n}.vectors")
        relevance = data(f"slate.{n}.relevance")[0]
        if kind == "mmr":
            run = lambda: pyversity.mmr(vectors, relevance, k, diversity=0.3)
        else:
            # exp(2 beta z) with z the standardized relevance, and beta half the scale: this scale
            # trades relevance for volume as a weight of 0.5 does for funnel.
            scale = float(relevance.std())
            run = lambda: pyversity.dpp(vectors, relevance, k, diversity=0.5, scale=scale)
        if kind != "dpp_window":
            ours, theirs = data(f"slate.{n}.{kind}")[0], run().indices
            same = len(np.intersect1d(ours, theirs))
            if same < 0.9 * k:  # products that are rounded otherwise lead to another pick now and then
                differs(name, f"{same} of {k} picks are the same")
        return run

    return make


cases = {}
for items in (1250, 2500, 5000, 10000):
    for kind, picks, tail in (("mmr", 500, ""), ("dpp_window", 500, "/window:10"), ("dpp", 60, "")):
        case = f"{kind[:3]}/{items}x64/k:{picks}{tail}"
        cases[case] = make_slate(case, kind, items, picks)
main(f"pyversity {version('pyversity')}", cases)
