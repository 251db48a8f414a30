# SPDX-License-Identifier: MIT
"""usearch: exact search by inner product over a NumPy matrix, one thread."""

from harness import compare_found, data, main

import numpy as np
import usearch
from usearch.index import MetricKind, search


def make_search(queries):
    def make():
        vectors, query, ours = data("search.vectors"), data("search.queries"), data("search.found")
        k, asked = ours.shape[1], query[:queries] if queries > 1 else query[0]
        run = lambda: search(vectors, asked, k, MetricKind.IP, exact=True, threads=1)
        compare_found(query[:queries], vectors, ours, np.atleast_2d(run().keys))
        return run

    return make


main(f"usearch {usearch.__version__}",
     {f"top_k/1000000x64/k:500/queries:{q}": make_search(q) for q in (1, 32)})
