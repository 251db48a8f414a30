# SPDX-License-Identifier: MIT
"""implicit: its exact search for recommendations, one thread."""

from harness import differs, main

import implicit
import numpy as np
from implicit.cpu.topk import topk


def make_search(queries):
    def make(data):
        vectors, query, ours = data("search.vectors"), data("search.queries"), data("search.found")
        query, k = query[:queries], ours.shape[1]
        run = lambda: topk(vectors, query, k, num_threads=1)
        found = run()[0]
        for q in range(queries):
            if len(np.intersect1d(found[q], ours[q])) < k - 2:
                differs(f"top_k, query {q}", "other items were found")
        return run

    return make


main(f"implicit {implicit.__version__}",
     {f"top_k/1000000x64/k:500/queries:{q}": make_search(q) for q in (1, 32)})
