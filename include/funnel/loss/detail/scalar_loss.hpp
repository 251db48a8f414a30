// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>

namespace funnel::detail {

/// Makes a loss [1, 1] that depends on x. `compute(x, slopes)` returns the loss. If `slopes` has
/// data, it also writes the derivatives, which have the shape of x.
///
/// A loss beyond the largest number of the scalar is set to that number; only an infinite x may
/// lead to an infinite loss.
///
/// The derivatives are computed in the forward pass, so the labels are not needed after the call.
template <Context C, class Compute>
value_of<C> scalar_loss(C& context, const value_of<C>& x, Compute compute) {
  using t = scalar_of<C>;
  matrix_view<t> slopes;
  if constexpr (C::is_training) {
    if (x.has_gradient()) {
      slopes = {context.scratch().template allocate<t>(x.rows() * x.cols()), x.rows(), x.cols()};
    }
  }
  const auto loss = context.make(1, 1);
  writable(loss)(0, 0) = saturated<t>(compute(matrix_view<const t>(view(x)), slopes));
  if constexpr (C::is_training) {
    if (x.has_gradient()) {
      context.record([x, loss, slopes] {
        const t scale = loss.gradient(0, 0);
        if (scale == 0) return;  // switched off, even if its slopes are NaN
        for (std::size_t i = 0; i < x.rows(); ++i) {
          for (std::size_t j = 0; j < x.cols(); ++j) x.gradient(i, j) += scale * slopes(i, j);
        }
      });
    }
  }
  return loss;
}

}  // namespace funnel::detail
