// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/activation.hpp>
#include <funnel/simd/pack.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel {
namespace detail {

/// The block of outputs that stays in registers: `rows` x `cols`.
///
/// 32 registers of 64 bytes: 12 rows of 2 leave 24 sums in flight (2 FMA ports * 4 cycles ask for
/// 8) and room for the weights. 16 registers: 6 rows of 2.
template <class Arch, class T>
struct dense_tile {
  static constexpr std::size_t vectors = 2;
  static constexpr std::size_t cols = vectors * lanes<Arch, T>;
  static constexpr std::size_t rows = lanes<Arch, T> * sizeof(T) >= 64 ? 12 : 6;
};

}  // namespace detail

/// Values a packed [in, out] weight matrix takes.
template <class Arch, class T>
constexpr std::size_t packed_size(std::size_t in, std::size_t out) {
  constexpr std::size_t cols = detail::dense_tile<Arch, T>::cols;
  return (out + cols - 1) / cols * cols * in;
}

/// Copies weights [in, out] into panels: tile-wide columns, [in][tile] each, the last padded with
/// zeros.
template <class Arch, class T>
void pack_weights_kernel(Arch, const T* weights, std::size_t stride, std::size_t in,
                         std::size_t out, T* panels) noexcept {
  constexpr std::size_t tile = detail::dense_tile<Arch, T>::cols;
  for (std::size_t j = 0; j < out; j += tile) {
    const std::size_t width = std::min(tile, out - j);
    for (std::size_t k = 0; k < in; ++k, panels += tile) {
      std::copy_n(weights + k * stride + j, width, panels);
      std::fill(panels + width, panels + tile, T(0));
    }
  }
}

/// What `dense_kernel` works on.
template <class T>
struct dense_arguments {
  matrix_view<const T> x;  ///< [n, in]
  const T*
      panels;  ///< row 0 of the first packed panel, or a later row of it for a part of the inputs
  std::size_t panel_in;  ///< inputs each panel was packed with, >= in
  const T* start;  ///< what the products are added to: [n, out] with `start_stride`, or one row
                   ///< with stride 0
  std::size_t start_stride;
  matrix_view<T> y;  ///< [n, out]; may be `start` itself
  activation function;
};

namespace detail {

/// `M` rows of y from row `i`, all columns of the panel that holds column `j`.
template <std::size_t M, class Arch, class T>
void dense_block(Arch, const dense_arguments<T>& a, std::size_t i, std::size_t j) noexcept {
  using p = pack<Arch, T>;
  using tile = dense_tile<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  const std::size_t in = a.x.cols();
  const std::size_t x_stride = a.x.stride();
  const T* x = a.x.data() + i * x_stride;
  const T* w = a.panels + j * a.panel_in;
  p sum[M][tile::vectors];
  for (auto& row : sum) {
    for (p& s : row) s = p(T(0));
  }
  for (std::size_t k = 0; k < in; ++k, w += tile::cols) {
    const p w0 = p::load_unaligned(w);
    const p w1 = p::load_unaligned(w + width);
    for (std::size_t m = 0; m < M; ++m) {
      const p value(x[m * x_stride + k]);
      sum[m][0] = fma(value, w0, sum[m][0]);
      sum[m][1] = fma(value, w1, sum[m][1]);
    }
  }
  for (std::size_t m = 0; m < M; ++m) {
    for (std::size_t v = 0; v < tile::vectors; ++v) {
      const std::size_t column = j + v * width;
      if (column >= a.y.cols()) break;
      const std::size_t count = a.y.cols() - column;
      const T* start = a.start + (i + m) * a.start_stride + column;
      T* y = a.y.data() + (i + m) * a.y.stride() + column;
      if (count >= width) {
        activate<Arch, T>(p::load_unaligned(start) + sum[m][v], a.function).store_unaligned(y);
      } else {
        const p last = load_first<Arch, T>(start, count) + sum[m][v];
        store_first<Arch, T>(activate<Arch, T>(last, a.function), y, count);
      }
    }
  }
}

}  // namespace detail

/// y = function(start + x * W) on packed weights.
///
/// Every output is one sum over the inputs in their order from zero, added to its start at the end,
/// whatever the number of rows and the tile it falls in: the same row gives the same bits in every
/// batch.
///
/// Cost        2 n in out operations; weights are read once per tile of rows from L1.
template <class Arch, class T>
void dense_kernel(Arch arch, const dense_arguments<T>& a) noexcept {
  using tile = detail::dense_tile<Arch, T>;
  FUNNEL_ASSERT(a.x.rows() == a.y.rows() && a.panel_in >= a.x.cols());
  const std::size_t n = a.x.rows();
  for (std::size_t j = 0; j < a.y.cols(); j += tile::cols) {
    std::size_t i = 0;
    for (; i + tile::rows <= n; i += tile::rows) detail::dense_block<tile::rows>(arch, a, i, j);
    for (; i + 4 <= n; i += 4) detail::dense_block<4>(arch, a, i, j);
    for (; i < n; ++i) detail::dense_block<1>(arch, a, i, j);
  }
}

}  // namespace funnel
