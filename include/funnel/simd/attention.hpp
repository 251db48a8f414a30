// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/dense.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace funnel {
namespace detail {

/// to[k][i] = scale from[i][k] for i, k < 4.
template <class Arch, class T>
void transpose_4x4(Arch, const T* from, std::size_t from_stride, T scale, T* to,
                   std::size_t to_stride) noexcept {
#if XSIMD_WITH_SSE2
  if constexpr (std::is_same_v<T, float> && lanes<Arch, T> >= 4) {
    __m128 a = _mm_loadu_ps(from);
    __m128 b = _mm_loadu_ps(from + from_stride);
    __m128 c = _mm_loadu_ps(from + 2 * from_stride);
    __m128 d = _mm_loadu_ps(from + 3 * from_stride);
    const __m128 ab_low = _mm_unpacklo_ps(a, b);
    const __m128 ab_high = _mm_unpackhi_ps(a, b);
    const __m128 cd_low = _mm_unpacklo_ps(c, d);
    const __m128 cd_high = _mm_unpackhi_ps(c, d);
    const __m128 factor = _mm_set1_ps(scale);
    _mm_storeu_ps(to, _mm_mul_ps(_mm_movelh_ps(ab_low, cd_low), factor));
    _mm_storeu_ps(to + to_stride, _mm_mul_ps(_mm_movehl_ps(cd_low, ab_low), factor));
    _mm_storeu_ps(to + 2 * to_stride, _mm_mul_ps(_mm_movelh_ps(ab_high, cd_high), factor));
    _mm_storeu_ps(to + 3 * to_stride, _mm_mul_ps(_mm_movehl_ps(cd_high, ab_high), factor));
    return;
  }
#endif
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t k = 0; k < 4; ++k) to[k * to_stride + i] = scale * from[i * from_stride + k];
  }
}

}  // namespace detail

/// Packs the keys of attention for `dense_kernel`: the weights [d, m] that are `scale` times the
/// transpose of the events.
///
/// Shapes      events [m, d]; panels `packed_size(d, m)`.
template <class Arch, class T>
void pack_keys_kernel(Arch arch, matrix_view<const T> events, T scale, T* panels) noexcept {
  constexpr std::size_t tile = detail::dense_tile<Arch, T>::cols;
  constexpr std::size_t lanes = detail::lanes<Arch, T>;
  const std::size_t d = events.cols();
  const std::size_t stride = events.stride();
  for (std::size_t first = 0; first < events.rows(); first += tile, panels += tile * d) {
    const std::size_t width = std::min(tile, events.rows() - first);
    const T* from = events.data() + first * stride;
    const std::size_t whole = width - width % 4;
    const std::size_t whole_d = tile % 4 == 0 ? d - d % 4 : 0;
    for (std::size_t k = 0; k < d && width < tile; ++k) {
      for (std::size_t i = width - width % lanes; i < tile; i += lanes)
        detail::pack<Arch, T>(T(0)).store_unaligned(panels + k * tile + i);
    }
    for (std::size_t k = 0; k < whole_d; k += 4) {
      T* to = panels + k * tile;
      for (std::size_t i = 0; i < whole; i += 4)
        detail::transpose_4x4(arch, from + i * stride + k, stride, scale, to + i, tile);
      if (whole < width) {
        T rows[16] = {};
        for (std::size_t i = whole; i < width; ++i)
          std::copy_n(from + i * stride + k, 4, rows + (i - whole) * 4);
        detail::transpose_4x4(arch, rows, 4, scale, to + whole, tile);
      }
    }
    for (std::size_t k = whole_d; k < d; ++k) {
      for (std::size_t i = 0; i < width; ++i) panels[k * tile + i] = scale * from[i * stride + k];
    }
  }
}

/// panels = diag(factors) a + b, for packed weights a and b [in, out]: weights that depend on a row.
///
/// Shapes      factors [in]; a, b and panels `packed_size(in, out)`.
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

/// `V` registers of y from column j on, or the last `count` values of a row.
template <std::size_t V, class Arch, class T>
void weighted_rows_block(Arch, const T* weights, matrix_view<const T> rows, std::size_t j,
                         const T* start, T* y) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  p sum[V];
  for (p& s : sum) s = p(T(0));
  const T* from = rows.data() + j;
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

/// y = start + sum_i weights[i] rows[i], for rows that are met once: `dense_kernel` to the bit,
/// without packing them.
///
/// Shapes      weights [m]; rows [m, d]; start and y [d], which may be one.
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
