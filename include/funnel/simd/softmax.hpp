// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {
namespace detail {

/// Rows with at most this many columns are summed from the first column to the last, so that many
/// rows can share a register. Longer rows are summed lane by lane.
inline constexpr std::size_t narrow_softmax = 8;

/// Softmax of one row; y may be x.
template <class Arch, class T>
void softmax_row_kernel(Arch arch, const T* x, T* y, std::size_t n) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  constexpr T lowest = -std::numeric_limits<T>::infinity();
  if (n == 0) return;
  const std::size_t whole = n - n % width;
  p largest_lanes(lowest);
  for (std::size_t j = 0; j < whole; j += width)
    largest_lanes = max(largest_lanes, p::load_unaligned(x + j));
  if (whole < n) {
    largest_lanes = max(largest_lanes, load_first<Arch, T>(x + whole, n - whole, lowest));
  }
  // A NaN may be missing from the maximum, but not from the sum.
  const T largest = max_lane(largest_lanes);
  const p shift(largest == lowest ? T(0) : largest);
  p sum_of_lanes(T(0));
  for (std::size_t j = 0; j < whole; j += width) {
    const p e = exp_of(p::load_unaligned(x + j) - shift);
    e.store_unaligned(y + j);
    sum_of_lanes = sum_of_lanes + e;
  }
  if (whole < n) {
    const p e = exp_of(load_first<Arch, T>(x + whole, n - whole, lowest) - shift);
    store_first<Arch, T>(e, y + whole, n - whole);
    sum_of_lanes = sum_of_lanes + e;
  }
  T sum = 0;
  if (n <= narrow_softmax) {
    for (std::size_t j = 0; j < n; ++j) sum += y[j];
  } else {
    sum = sum_lanes(sum_of_lanes);
  }
  const p scale(sum == T(0) ? T(0) : T(1) / sum);  // 0 if all are masked; NaN stays NaN
  map(
      arch, n, y, [&](const auto& e) { return e * scale; }, y);
}

/// Softmax of `lanes` rows with few columns, one row per lane.
template <class Arch, class T>
void softmax_narrow_rows(Arch, matrix_view<const T> x, matrix_view<T> y, std::size_t first) {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  const std::size_t n = x.cols();
  T columns[narrow_softmax][width];
  for (std::size_t i = 0; i < width; ++i) {
    const T* from = x.data() + (first + i) * x.stride();
    for (std::size_t j = 0; j < n; ++j) columns[j][i] = from[j];
  }
  p largest(-std::numeric_limits<T>::infinity());
  for (std::size_t j = 0; j < n; ++j) largest = max(largest, p::load_unaligned(columns[j]));
  const p shift = select(largest == p(-std::numeric_limits<T>::infinity()), p(T(0)), largest);
  p sum(T(0));
  for (std::size_t j = 0; j < n; ++j) {
    const p e = exp_of(p::load_unaligned(columns[j]) - shift);
    e.store_unaligned(columns[j]);
    sum = sum + e;
  }
  const p scale = select(sum == p(T(0)), sum, quotient(p(T(1)), sum));
  for (std::size_t j = 0; j < n; ++j)
    (p::load_unaligned(columns[j]) * scale).store_unaligned(columns[j]);
  for (std::size_t i = 0; i < width; ++i) {
    T* to = y.data() + (first + i) * y.stride();
    for (std::size_t j = 0; j < n; ++j) to[j] = columns[j][i];
  }
}

}  // namespace detail

/// Softmax of every row: y_ij = e^(x_ij - m_i) / sum_j e^(x_ij - m_i), where m_i is the largest
/// value of row i.
///
/// Shapes      x and y [n, d]; y may be x.
/// Order       rows of up to 8 columns are summed from the first column to the last, longer rows
///             lane by lane. The bits of a row do not depend on the other rows.
/// Numerics    -infinity gets 0, and a row of only -infinity gets zeros. A NaN or +infinity makes
///             its row NaN.
/// Source      docs/formulas.md#softmax.
template <class Arch, class T>
void softmax_kernel(Arch arch, matrix_view<const T> x, matrix_view<T> y) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, T>;
  std::size_t i = 0;
  if (width > 1 && x.cols() <= detail::narrow_softmax) {
    for (; i + width <= x.rows(); i += width) detail::softmax_narrow_rows(arch, x, y, i);
  }
  for (; i < x.rows(); ++i) {
    detail::softmax_row_kernel(arch, x.data() + i * x.stride(), y.data() + i * y.stride(),
                               x.cols());
  }
}

/// Gradient of the softmax of one row: x_gradient[j] += y[j] (g[j] - <g, y>).
template <class Arch, class T>
void softmax_backward_kernel(Arch arch, const T* y, const T* g, T* x_gradient,
                             std::size_t n) noexcept {
  if (n <= detail::narrow_softmax) {
    T mean = 0;
    for (std::size_t j = 0; j < n; ++j) mean += g[j] * y[j];
    for (std::size_t j = 0; j < n; ++j) x_gradient[j] += y[j] * (g[j] - mean);
    return;
  }
  const detail::pack<Arch, T> mean(dot_kernel(arch, g, y, n));
  detail::map(
      arch, n, x_gradient,
      [&](const auto& out, const auto& slope, const auto& sum) {
        return fma(out, slope - mean, sum);
      },
      y, g, x_gradient);
}

namespace detail {

/// Computes `V` registers of one row of a mixture, starting at column j.
template <std::size_t V, class Arch, class T>
void mixture_block(Arch, const T* weights, std::span<const matrix_view<const T>> values,
                   std::size_t i, std::size_t j, T* y) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  p sum[V];
  for (p& s : sum) s = p(T(0));
  for (std::size_t k = 0; k < values.size(); ++k) {
    const p weight(weights[k]);
    const T* from = values[k].data() + i * values[k].stride() + j;
    for (std::size_t v = 0; v < V; ++v)
      sum[v] = fma(weight, p::load_unaligned(from + v * width), sum[v]);
  }
  for (std::size_t v = 0; v < V; ++v) sum[v].store_unaligned(y + j + v * width);
}

}  // namespace detail

/// Mixture, the weighted sum of k values with different weights in every row: y_i = sum_k
/// weights(i, k) values_k[i].
template <class Arch, class T>
void mixture_kernel(Arch arch, matrix_view<const T> weights,
                    std::span<const matrix_view<const T>> values, matrix_view<T> y) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    const T* w = weights.data() + i * weights.stride();
    T* to = y.data() + i * y.stride();
    std::size_t j = 0;
    for (; j + 4 * width <= y.cols(); j += 4 * width)
      detail::mixture_block<4>(arch, w, values, i, j, to);
    for (; j + width <= y.cols(); j += width) detail::mixture_block<1>(arch, w, values, i, j, to);
    if (j == y.cols()) continue;
    p sum(T(0));
    for (std::size_t k = 0; k < values.size(); ++k) {
      const T* from = values[k].data() + i * values[k].stride() + j;
      sum = fma(p(w[k]), detail::load_first<Arch, T>(from, y.cols() - j), sum);
    }
    detail::store_first<Arch, T>(sum, to + j, y.cols() - j);
  }
}

}  // namespace funnel
