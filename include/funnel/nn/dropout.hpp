// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/training_context.hpp>

#include <cstddef>

namespace funnel {

/// Dropout (inverted form): in training, sets each element to 0 with probability `rate` and
/// multiplies the others by 1 / (1 - rate), which keeps the mean. In serving, returns x.
///
/// Not for the gates of a mixture of experts: use `gate_dropout` of `mmoe_options`
/// (ranking/mmoe.hpp).
///
/// Errors      std::invalid_argument if the rate is outside [0, 1).
/// Source      Srivastava et al., JMLR 2014; docs/formulas.md#dropout.
template <Context C>
value_of<C> dropout(C& context, const value_of<C>& x, double rate) {
  detail::check_fraction("dropout", "rate", rate);
  if constexpr (!C::is_training) {
    return x;
  } else {
    using t = scalar_of<C>;
    if (rate == 0) return x;
    const auto y = context.make(x.rows(), x.cols());
    const matrix_view<t> factor(context.scratch().template allocate<t>(x.rows() * x.cols()),
                                x.rows(), x.cols());
    const t kept = static_cast<t>(1 / (1 - rate));
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < x.cols(); ++j) {
        factor(i, j) = bernoulli(context.random(), rate) ? t(0) : kept;
        y.values(i, j) = x.values(i, j) * factor(i, j);
      }
    }
    context.record([x, y, factor] {
      if (!x.has_gradient()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        for (std::size_t j = 0; j < x.cols(); ++j)
          x.gradient(i, j) += factor(i, j) * y.gradient(i, j);
      }
    });
    return y;
  }
}

}  // namespace funnel
