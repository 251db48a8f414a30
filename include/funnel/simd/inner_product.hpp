// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/reduce.hpp>

#include <cstddef>

namespace funnel {

/// scores[i] = <query, vectors row i>. A row gives the same bits wherever it stands.
///
/// Cost        reads every vector once: bound by memory for large tables.
template <class Arch, class T>
void inner_products_kernel(Arch arch, const T* query, matrix_view<const T> vectors,
                           T* scores) noexcept {
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    scores[i] = dot_kernel(arch, query, vectors.row(i).data(), vectors.cols());
  }
}

}  // namespace funnel
