// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/simd/reduce.hpp>
#include <funnel/simd/softmax.hpp>

#include <cstddef>
#include <memory>
#include <span>

namespace funnel {

/// Softmax of every row. A masked position holds -infinity and gets 0; a row whose positions are
/// all masked gets zeros.
///
/// Shapes      [n, d] -> [n, d].
/// Numerics    The largest value of the row is subtracted first. A NaN or +infinity makes its row
///             NaN.
/// Source      docs/formulas.md#softmax.
template <Context C>
value_of<C> softmax(C& context, const value_of<C>& x) {
  const auto y = context.make(x.rows(), x.cols());
  softmax_kernel(typename C::arch{}, matrix_view<const scalar_of<C>>(view(x)), writable(y));
  if constexpr (C::is_training) {
    context.record([x, y] {
      if (!x.has_gradient()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        softmax_backward_kernel(typename C::arch{}, y.values.row(i).data(),
                                y.gradient.row(i).data(), x.gradient.row(i).data(), x.cols());
      }
    });
  }
  return y;
}

/// Weighted sum of k values with different weights in every row, the output of a mixture of experts
/// (several networks that tasks share): y_i = sum_k weights(i, k) * values_k[i].
///
/// Shapes      weights [n, k]; k values [n, d]; y [n, d].
/// Errors      std::invalid_argument if the shapes do not fit.
template <Context C>
value_of<C> mixture(C& context, const value_of<C>& weights, std::span<const value_of<C>> values) {
  using arch = typename C::arch;
  detail::check_not_empty("mixture", "values", values.size());
  detail::check_cols("mixture", "weights", weights.cols(), values.size(), "values");
  for (const auto& v : values)
    detail::check_shape("mixture", "a value", v, weights.rows(), values[0].cols());
  const auto y = context.make(weights.rows(), values[0].cols());
  if constexpr (!C::is_training) {
    mixture_kernel(arch{}, weights, values, writable(y));
  } else {
    using const_view = matrix_view<const scalar_of<C>>;
    auto* views = context.scratch().template allocate<const_view>(values.size());
    auto* kept = context.scratch().template allocate<value_of<C>>(values.size());
    for (std::size_t k = 0; k < values.size(); ++k) {
      std::construct_at(views + k, view(values[k]));
      std::construct_at(kept + k, values[k]);
    }
    mixture_kernel(arch{}, view(weights), std::span<const const_view>(views, values.size()),
                   writable(y));
    context.record([weights, kept, y] {
      const std::size_t d = y.cols();
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto* g = y.gradient.row(i).data();
        for (std::size_t k = 0; k < weights.cols(); ++k) {
          const auto& v = kept[k];
          const auto* x = v.values.row(i).data();
          if (weights.has_gradient()) weights.gradient(i, k) += dot_kernel(arch{}, g, x, d);
          if (v.has_gradient())
            axpy_kernel(arch{}, weights.values(i, k), g, v.gradient.row(i).data(), d);
        }
      }
    });
  }
  return y;
}

}  // namespace funnel
