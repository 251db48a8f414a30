# SPDX-License-Identifier: MIT
"""pyversity: DPP of the same items. It has no window: cases with one are left out. So is MMR, as it
counts a negative cosine as 0 and therefore picks other items."""

from importlib.metadata import version

from harness import main
from slates import compare_picks, inputs, slates

import pyversity


def make(slate):
    def made():
        vectors, relevance = inputs(slate)
        # exp(2 beta z) with z the standardized relevance, and beta half the scale: this scale trades
        # relevance for volume as a weight of 0.5 does for funnel.
        scale = float(relevance.std())
        run = lambda: pyversity.dpp(vectors, relevance, slate.k, diversity=0.5, scale=scale)
        compare_picks(slate, run().indices)
        return run

    return made


main(f"pyversity {version('pyversity')}", {s.name: make(s) for s in slates() if s.kind == "dpp" and s.window == 0})
