// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>

#include <cmath>

namespace funnel::detail {

/// softplus(x) and its derivative.
template <class T>
struct softplus_value {
  double value;
  T slope;
};

/// Returns softplus_value of x = scale * (a - b), finite for finite arguments: if x overflows T it
/// is computed in double, and limited to the largest double.
template <class T>
softplus_value<T> softplus_of_difference(T scale, T a, T b) {
  const T x = scale * (a - b);
  if (!std::isinf(x)) return {static_cast<double>(funnel::softplus(x)), funnel::sigmoid(x)};
  const double far =
      scaled_difference(static_cast<double>(scale), static_cast<double>(a), static_cast<double>(b));
  return {funnel::softplus(far), static_cast<T>(funnel::sigmoid(far))};
}

}  // namespace funnel::detail
