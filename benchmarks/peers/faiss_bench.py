# SPDX-License-Identifier: MIT
"""Faiss: IndexFlatIP, results into arrays made once; by its own loop or through its BLAS in larger
blocks than its default, whichever was faster before the measurement."""

from harness import compare_found, data, fastest, main

import faiss
import numpy as np


def make_search(queries, threads):
    def make():
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

            run()
            compare_found(query, vectors, ours, ids)
            return run

        return fastest([way(10**9, 1024), way(0, 1024), way(0, 16384)])

    return make


def make_index():
    vectors = data("search.vectors")

    def run():
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)

    return run


cases = {f"top_k/1000000x64/k:500/queries:{q}": make_search(q, 1) for q in (1, 32)}
cases["top_k/1000000x64/k:500/queries:32/threads:2"] = make_search(32, 2)
cases["flat_index/1000000x64"] = make_index
main(f"Faiss {faiss.__version__} ({faiss.get_compile_options().strip()})", cases)
