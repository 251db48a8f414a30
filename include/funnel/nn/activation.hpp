// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/simd/activation.hpp>

#include <cmath>
#include <cstddef>
#include <numbers>

namespace funnel {
namespace detail {

/// The derivative of an activation at x, where it gave y.
template <class T>
T activation_slope(activation function, T x, T y) {
  switch (function) {
  case activation::identity:
    return T(1);
  case activation::relu:
    return x > T(0) ? T(1) : T(0);
  case activation::sigmoid:
    return y * (T(1) - y);
  case activation::tanh:
    return T(1) - y * y;
  case activation::silu: {
    const T s = T(1) / (T(1) + std::exp(-x));
    return s + y * (T(1) - s);
  }
  case activation::gelu: {
    const T cumulative = T(0.5) * (T(1) + std::erf(x * static_cast<T>(1 / std::numbers::sqrt2)));
    const T density =
        std::exp(T(-0.5) * x * x) * static_cast<T>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
    return cumulative + x * density;
  }
  }
  return T(0);
}

}  // namespace detail

/// Applies an activation to every element. A NaN stays a NaN.
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
      if (!x.learns()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        for (std::size_t j = 0; j < x.cols(); ++j) {
          x.gradient(i, j) +=
              y.gradient(i, j) * detail::activation_slope(function, x.values(i, j), y.values(i, j));
        }
      }
    });
  }
  return y;
}

}  // namespace funnel
