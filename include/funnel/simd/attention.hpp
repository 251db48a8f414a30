// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/dense.hpp>

#include <cstddef>

namespace funnel {

/// panels = diag(factors) a + b for packed weights a and b, [in, out]. It computes weights that
/// depend on a row of inputs, as target attention needs them.
///
/// Shapes      factors [in]; a, b and panels have `packed_size(in, out)` values.
template <class Arch, class T>
void fold_rows_kernel(Arch, const T* factors, const T* a, const T* b, std::size_t in,
                      std::size_t out, T* panels) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  constexpr std::size_t tile = detail::dense_tile<Arch, T>::cols;
  std::size_t at = 0;
  for (std::size_t j = 0; j < out; j += tile) {
    for (std::size_t k = 0; k < in; ++k) {
      const p factor(factors[k]);
      for (std::size_t v = 0; v < tile; v += width, at += width) {
        fma(factor, p::load_unaligned(a + at), p::load_unaligned(b + at))
            .store_unaligned(panels + at);
      }
    }
  }
}

namespace detail {

/// Computes `V` registers of y, starting at column j.
template <std::size_t V, class Arch, class T>
void weighted_rows_block(Arch, const T* weights, matrix_view<const T> rows, std::size_t j,
                         const T* start, T* y) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  p sum[V];
  for (p& s : sum) s = p(T(0));
  const T* from = rows.rows() == 0 ? rows.data() : rows.data() + j;  // data may be null then
  for (std::size_t i = 0; i < rows.rows(); ++i, from += rows.stride()) {
    const p weight(weights[i]);
    for (std::size_t v = 0; v < V; ++v)
      sum[v] = fma(weight, p::load_unaligned(from + v * width), sum[v]);
  }
  for (std::size_t v = 0; v < V; ++v) {
    (p::load_unaligned(start + j + v * width) + sum[v]).store_unaligned(y + j + v * width);
  }
}

}  // namespace detail

/// Weighted sum of rows: y = start + sum_i weights[i] rows[i]. The result has the same bits as that
/// of `dense_kernel`, without packing the rows: for rows that are used only once.
///
/// Shapes      weights [m]; rows [m, d]; start and y [d], which may be the same array.
template <class Arch, class T>
void weighted_rows_kernel(Arch arch, const T* weights, matrix_view<const T> rows, const T* start,
                          T* y) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  std::size_t j = 0;
  for (; j + 4 * width <= rows.cols(); j += 4 * width)
    detail::weighted_rows_block<4>(arch, weights, rows, j, start, y);
  for (; j + width <= rows.cols(); j += width)
    detail::weighted_rows_block<1>(arch, weights, rows, j, start, y);
  if (const std::size_t left = rows.cols() - j; left > 0) {
    p sum(T(0));
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      const T* from = rows.data() + i * rows.stride() + j;
      sum = fma(p(weights[i]), detail::load_first<Arch, T>(from, left), sum);
    }
    detail::store_first<Arch, T>(detail::load_first<Arch, T>(start + j, left) + sum, y + j, left);
  }
}

}  // namespace funnel
