// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/simd/activation.hpp>

#include <cstddef>

namespace funnel {

/// Applies an activation function to every element. NaN stays NaN.
///
/// Source      docs/formulas.md#activations.
template <Context C>
value_of<C> activate(C& context, const value_of<C>& x, activation function) {
  if (function == activation::identity) return x;
  const auto y = context.make(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    activation_kernel(typename C::arch{}, view(x).row(i).data(), writable(y).row(i).data(),
                      x.cols(), function);
  }
  if constexpr (C::is_training) {
    context.record([x, y, function] {
      if (!x.has_gradient()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        activation_backward_kernel(typename C::arch{}, x.values.row(i).data(),
                                   y.values.row(i).data(), y.gradient.row(i).data(),
                                   x.gradient.row(i).data(), x.cols(), function);
      }
    });
  }
  return y;
}

}  // namespace funnel
