# SPDX-License-Identifier: MIT
"""Faiss: IndexFlatIP, results into arrays made once; by its own loop or through its BLAS in larger
blocks than its default, whichever was faster before the measurement."""

from harness import differs, fastest, main

import faiss
import numpy as np


def make_search(queries, threads):
    def make(data):
        faiss.omp_set_num_threads(threads)
        vectors, query, ours = data("search.vectors"), data("search.queries"), data("search.found")
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        query, k = query[:queries], ours.shape[1]
        scores, ids = np.empty((queries, k), np.float32), np.empty((queries, k), np.int64)

        def way(queries_times_dim_for_blas, block):
            def run():
                faiss.cvar.distance_compute_blas_threshold = queries_times_dim_for_blas
                faiss.cvar.distance_compute_blas_database_bs = block
                index.search(query, k, D=scores, I=ids)

            return run

        run = fastest([way(10**9, 1024), way(0, 1024), way(0, 16384)])
        run()
        for q in range(queries):  # scores that differ in the last bit may swap two neighbours
            if len(np.intersect1d(ids[q], ours[q])) < k - 2:
                differs(f"top_k, query {q}", "other items were found")
        return run

    return make


cases = {f"top_k/1000000x64/k:500/queries:{q}": make_search(q, 1) for q in (1, 32)}
cases["top_k/1000000x64/k:500/queries:32/threads:2"] = make_search(32, 2)
main(f"Faiss {faiss.__version__} ({faiss.get_compile_options().strip()})", cases)
