// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>
#include <funnel/core/detail/element_of.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>

namespace funnel {

/// Logistic sigmoid, 1 / (1 + e^-x), without overflow.
template <std::floating_point T>
T sigmoid(T x) {
  if (x >= 0) return 1 / (1 + std::exp(-x));
  const T e = std::exp(x);
  return e / (1 + e);
}

/// Softplus, ln(1 + e^x), without overflow or cancellation. ln sigmoid(x) is -softplus(-x).
template <std::floating_point T>
T softplus(T x) {
  return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
}

/// Logit (log odds), ln(p / (1 - p)); infinite at 0 and 1.
template <std::floating_point T>
T logit(T p) {
  return std::log(p) - std::log1p(-p);
}

/// Log-sum-exp, ln(sum_i e^x_i) of a vector, array or span, without overflow; -infinity if x is
/// empty, NaN if one value is NaN.
template <detail::Numbers Values>
requires std::floating_point<detail::element_of<const Values>>
auto log_sum_exp(const Values& x) {
  using t = detail::element_of<const Values>;
  t largest = -std::numeric_limits<t>::infinity();
  for (const t value : x) largest = value > largest || value != value ? value : largest;
  if (!std::isfinite(largest)) return largest;
  t sum = 0;
  for (const t value : x) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

}  // namespace funnel
