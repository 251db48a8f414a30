# SPDX-License-Identifier: MIT
"""implicit: its exact search for recommendations, one thread."""

from harness import compare_found, data, main

import implicit
from implicit.cpu.topk import topk


def make_search(queries):
    def make():
        vectors, query, ours = data("search.vectors"), data("search.queries"), data("search.found")
        query, k = query[:queries], ours.shape[1]
        run = lambda: topk(vectors, query, k, num_threads=1)
        compare_found(query, vectors, ours, run()[0])
        return run

    return make


main(f"implicit {implicit.__version__}",
     {f"top_k/1000000x64/k:500/queries:{q}": make_search(q) for q in (1, 32)})
