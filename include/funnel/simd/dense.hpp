// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/activation.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/transpose.hpp>
#include <funnel/simd/detail/unroll.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace funnel {
namespace detail {

/// Size of the block of outputs that stays in registers: `rows` x 2 vectors, or fewer rows of more
/// vectors.
///
/// With 32 registers of 64 bytes: 8 rows keep 16 sums in flight (an FMA takes 4 cycles) and read 10
/// values from L1 per 16 FMAs. More rows do not help: at strides of a power of two, the rows of x
/// would evict each other from the 8 ways of L1. With 16 registers: 6 rows.
template <class Arch, class T>
struct dense_tile {
  static constexpr std::size_t width = lanes<Arch, T>;
  static constexpr std::size_t cols = 2 * width;  ///< columns of a panel
  static constexpr std::size_t rows = width * sizeof(T) >= 64 ? 8 : 6;

  /// Number of vectors side by side in a block of `m` rows.
  static constexpr std::size_t vectors(std::size_t m) {
    return std::min<std::size_t>(8, std::bit_floor(2 * rows / m));
  }
};

}  // namespace detail

/// Number of values of a packed weight matrix [in, out].
template <class Arch, class T>
constexpr std::size_t packed_size(std::size_t in, std::size_t out) {
  constexpr std::size_t cols = detail::dense_tile<Arch, T>::cols;
  return (out + cols - 1) / cols * cols * in;
}

/// Packs weights [in, out]: copies them into panels of `tile` columns, each stored as [in][tile].
/// The last panel is padded with zeros.
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

/// Packs the transpose of a matrix, times `scale`, as `pack_weights_kernel` packs weights [d, m].
///
/// Shapes      rows [m, d]; panels `packed_size(d, m)`.
template <class Arch, class T>
void pack_transposed_kernel(Arch arch, matrix_view<const T> rows, T scale, T* panels) noexcept {
  constexpr std::size_t tile = detail::dense_tile<Arch, T>::cols;
  constexpr std::size_t lanes = detail::lanes<Arch, T>;
  const std::size_t d = rows.cols();
  const std::size_t stride = rows.stride();
  for (std::size_t first = 0; first < rows.rows(); first += tile, panels += tile * d) {
    const std::size_t width = std::min(tile, rows.rows() - first);
    const T* from = rows.data() + first * stride;
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
        T edge[16] = {};
        for (std::size_t i = whole; i < width; ++i)
          std::copy_n(from + i * stride + k, 4, edge + (i - whole) * 4);
        detail::transpose_4x4(arch, edge, 4, scale, to + whole, tile);
      }
    }
    for (std::size_t k = whole_d; k < d; ++k) {
      for (std::size_t i = 0; i < width; ++i) panels[k * tile + i] = scale * from[i * stride + k];
    }
  }
}

/// Arguments of `dense_kernel`.
template <class T>
struct dense_arguments {
  matrix_view<const T> x;  ///< [n, in]
  /// Packed weights: row 0 of the first panel, or a later row of it for a part of the inputs.
  const T* panels;
  std::size_t panel_in;  ///< number of inputs that the panels were packed with, >= in
  /// Initial values, to which the products are added: [n, out] with `start_stride`, or one row
  /// with stride 0.
  const T* start;
  std::size_t start_stride;
  matrix_view<T> y;  ///< [n, out]; may be `start` itself
  activation function;
  bool transposed = false;  ///< true if x is [in, n]
  /// The row of `start` for each row of y, [n]; null for the row with the same number. y must not be
  /// `start` then.
  const std::uint32_t* start_rows = nullptr;
};

namespace detail {

/// Computes `M` rows of y from row `i`, and `V` vectors of columns from column `j`, where a panel
/// starts. Results below `lowest` become `lowest`.
template <std::size_t M, std::size_t V, class Arch, class T>
void dense_block(Arch, const dense_arguments<T>& a, std::size_t i, std::size_t j,
                 T lowest) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = dense_tile<Arch, T>::width;
  constexpr std::size_t cols = dense_tile<Arch, T>::cols;
  const std::size_t in = a.transposed ? a.x.rows() : a.x.cols();
  const std::size_t x_row = a.transposed ? 1 : a.x.stride();
  const std::size_t x_step = a.transposed ? a.x.stride() : 1;
  const T* x = a.x.data() + i * x_row;
  const T* w = a.panels + j * a.panel_in;
  const std::size_t next_panel = a.panel_in * cols;
  p sum[M][V];
  unroll<M * V>([&](auto s) FUNNEL_INLINE { sum[s / V][s % V] = p(T(0)); });
  for (std::size_t k = 0; k < in; ++k, w += cols, x += x_step) {
    p weights[V];
    unroll<V>([&](auto v) FUNNEL_INLINE {
      weights[v] = p::load_unaligned(w + v / 2 * next_panel + v % 2 * width);
    });
    unroll<M>([&](auto m) FUNNEL_INLINE {
      const p value(x[m * x_row]);
      unroll<V>([&](auto v) FUNNEL_INLINE { sum[m][v] = fma(value, weights[v], sum[m][v]); });
    });
  }
  const p low(lowest);
  T* y = a.y.data() + i * a.y.stride() + j;
  const std::size_t left = a.y.cols() - j - (V - 1) * width;  // columns of the last vector
  unroll<M>([&](auto m) FUNNEL_INLINE {
    const std::size_t row = a.start_rows == nullptr ? i + m : a.start_rows[i + m];
    const T* start = a.start + row * a.start_stride + j;
    unroll<V>([&](auto v) FUNNEL_INLINE {
      const std::size_t at = v * width;
      if (v + 1 < V || left >= width) {
        at_least(p::load_unaligned(start + at) + sum[m][v], low).store_unaligned(y + at);
      } else {
        const p last = load_first<Arch, T>(start + at, left) + sum[m][v];
        store_first<Arch, T>(at_least(last, low), y + at, left);
      }
    });
    y += a.y.stride();
  });
}

/// Computes rows [i, end) of y from column `j`: `M` rows and as many vectors at a time as fit, then
/// the remaining columns with half as many vectors.
template <std::size_t M, std::size_t V, class Arch, class T>
void dense_rows(Arch arch, const dense_arguments<T>& a, std::size_t i, std::size_t end,
                std::size_t j, T lowest) noexcept {
  constexpr std::size_t width = dense_tile<Arch, T>::width;
  const std::size_t stop = i + (end - i) / M * M;
  // The last block may extend beyond the end of y by less than one vector.
  for (; j + (V - 1) * width < a.y.cols(); j += V * width) {
    for (std::size_t row = i; row < stop; row += M) dense_block<M, V>(arch, a, row, j, lowest);
  }
  if constexpr (V > 1) {
    if (j < a.y.cols()) dense_rows<M, V / 2>(arch, a, i, stop, j, lowest);
  }
}

template <std::size_t M, class Arch, class T>
void dense_rows(Arch arch, const dense_arguments<T>& a, std::size_t i, std::size_t end,
                T lowest) noexcept {
  if (end - i >= M) {
    dense_rows<M, dense_tile<Arch, T>::vectors(M)>(arch, a, i, end, std::size_t{0}, lowest);
    i += (end - i) / M * M;
  }
  if constexpr (M > 1) {
    if (i < end) dense_rows<M / 2>(arch, a, i, end, lowest);
  }
}

}  // namespace detail

/// Dense layer with packed weights: y = function(start + x W).
///
/// Every output is one sum over the inputs in their order, from zero, and `start` is added at the
/// end. This does not depend on the number of rows or on the tile that an output belongs to: a row
/// has the same bits in every batch.
///
/// Cost        2 n in out operations. Processes the rows in blocks that stay in L2 while the
///             weights stream through.
template <class Arch, class T>
void dense_kernel(Arch arch, const dense_arguments<T>& a) noexcept {
  using tile = detail::dense_tile<Arch, T>;
  const std::size_t n = a.y.rows();
  const std::size_t in = a.transposed ? a.x.rows() : a.x.cols();
  FUNNEL_ASSERT(n == (a.transposed ? a.x.cols() : a.x.rows()) && a.panel_in >= in);
  constexpr std::size_t block_bytes = std::size_t{1} << 18;  // a quarter of a small L2
  const std::size_t row_bytes = (in + a.y.cols()) * sizeof(T);
  const std::size_t block =
      std::max<std::size_t>(8, block_bytes / (row_bytes + 1) / tile::rows) * tile::rows;
  // identity and relu are a maximum with `lowest`; other activations follow while the rows are in
  // the cache.
  const bool clamped = a.function == activation::identity || a.function == activation::relu;
  const T lowest = a.function == activation::relu ? T(0) : -std::numeric_limits<T>::infinity();
  for (std::size_t begin = 0; begin < n; begin += block) {
    const std::size_t end = std::min(n, begin + block);
    detail::dense_rows<tile::rows>(arch, a, begin, end, lowest);
    if (clamped) continue;
    for (std::size_t i = begin; i < end; ++i) {
      T* y = a.y.data() + i * a.y.stride();
      activation_kernel(arch, y, y, a.y.cols(), a.function);
    }
  }
}

}  // namespace funnel
