# SPDX-License-Identifier: MIT
"""usearch: exact search by inner product over a NumPy matrix, one thread."""

from harness import differs, main

import numpy as np
import usearch
from usearch.index import MetricKind, search


def make_search(queries):
    def make(data):
        vectors, query, ours = data("search.vectors"), data("search.queries"), data("search.found")
        query, k = query[:queries] if queries > 1 else query[0], ours.shape[1]
        run = lambda: search(vectors, query, k, MetricKind.IP, exact=True, threads=1)
        found = np.atleast_2d(run().keys)
        for q in range(queries):
            if len(np.intersect1d(found[q], ours[q])) < k - 2:
                differs(f"top_k, query {q}", "other items were found")
        return run

    return make


main(f"usearch {usearch.__version__}",
     {f"top_k/1000000x64/k:500/queries:{q}": make_search(q) for q in (1, 32)})
