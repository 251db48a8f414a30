// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {
namespace detail {

/// y = softmax(x) over n values in one fixed order; values of -infinity get 0. If all are
/// -infinity, all get 0. A NaN or +infinity makes the whole row NaN.
template <class Arch, class T>
void softmax_row(Arch arch, const T* x, T* y, std::size_t n) {
  T largest = -std::numeric_limits<T>::infinity();
  for (std::size_t j = 0; j < n; ++j) largest = x[j] > largest || x[j] != x[j] ? x[j] : largest;
  if (largest == -std::numeric_limits<T>::infinity()) {
    std::fill_n(y, n, T(0));
    return;
  }
  shifted_exp_kernel(arch, x, largest, y, n);
  T sum = 0;
  for (std::size_t j = 0; j < n; ++j) sum += y[j];
  const T scale = T(1) / sum;
  for (std::size_t j = 0; j < n; ++j) y[j] *= scale;
}

/// x_gradient[j] += y[j] * (g[j] - <g, y>): the gradient of softmax.
template <class T>
void softmax_row_backward(const T* y, const T* g, T* x_gradient, std::size_t n) {
  T mean = 0;
  for (std::size_t j = 0; j < n; ++j) mean += g[j] * y[j];
  for (std::size_t j = 0; j < n; ++j) x_gradient[j] += y[j] * (g[j] - mean);
}

}  // namespace detail

/// Softmax of every row. Masked positions hold -infinity and get 0; a row with all of them masked
/// is all zeros.
///
/// Shapes      [n, d] -> [n, d].
/// Numerics    the largest value of the row is subtracted first. A NaN makes its row NaN.
template <Context C>
value_of<C> softmax(C& context, const value_of<C>& x) {
  const auto y = context.make(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    detail::softmax_row(typename C::arch{}, view(x).row(i).data(), writable(y).row(i).data(),
                        x.cols());
  }
  if constexpr (C::is_training) {
    context.record([x, y] {
      if (!x.learns()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        detail::softmax_row_backward(y.values.row(i).data(), y.gradient.row(i).data(),
                                     x.gradient.row(i).data(), x.cols());
      }
    });
  }
  return y;
}

/// The sum of k values, each row weighted by its own weights: y_i = sum_k weights(i, k) *
/// values_k[i].
///
/// Shapes      weights [n, k]; k values [n, d]; y [n, d].
/// Errors      std::invalid_argument if the shapes don't fit.
template <Context C>
value_of<C> mixture(C& context, const value_of<C>& weights, std::span<const value_of<C>> values) {
  using arch = typename C::arch;
  if (values.empty() || weights.cols() != values.size()) {
    detail::fail("funnel::mixture: weights have ", weights.cols(), " columns for ", values.size(),
                 " values");
  }
  for (const auto& v : values) {
    if (v.rows() != weights.rows() || v.cols() != values[0].cols()) {
      detail::fail("funnel::mixture: a value is [", v.rows(), ", ", v.cols(), "], expected [",
                   weights.rows(), ", ", values[0].cols(), "]");
    }
  }
  const std::size_t d = values[0].cols();
  const auto y = context.make(weights.rows(), d);
  for (std::size_t i = 0; i < y.rows(); ++i) {
    const std::span to = writable(y).row(i);
    std::ranges::fill(to, scalar_of<C>(0));
    for (std::size_t k = 0; k < values.size(); ++k) {
      axpy_kernel(arch{}, view(weights)(i, k), view(values[k]).row(i).data(), to.data(), d);
    }
  }
  if constexpr (C::is_training) {
    auto* kept = context.scratch().template allocate<value_of<C>>(values.size());
    std::ranges::copy(values, kept);
    context.record([weights, kept, y] {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto* g = y.gradient.row(i).data();
        for (std::size_t k = 0; k < weights.cols(); ++k) {
          const auto& v = kept[k];
          if (weights.learns()) {
            weights.gradient(i, k) += dot_kernel(arch{}, g, v.values.row(i).data(), y.cols());
          }
          if (v.learns())
            axpy_kernel(arch{}, weights.values(i, k), g, v.gradient.row(i).data(), y.cols());
        }
      }
    });
  }
  return y;
}

}  // namespace funnel
