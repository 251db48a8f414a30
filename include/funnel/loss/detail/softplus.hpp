// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/math.hpp>
#include <funnel/core/mean.hpp>

#include <cmath>

namespace funnel::detail {

/// softplus(scale * (a - b)), finite for finite numbers: where T has no number for the difference,
/// `double` has one, or it is the largest there.
template <class T>
double softplus_of_difference(T scale, T a, T b) {
  const T x = scale * (a - b);
  if (!std::isinf(x)) return static_cast<double>(softplus(x));
  return x < 0 ? 0
               : scaled_difference(static_cast<double>(scale), static_cast<double>(a),
                                   static_cast<double>(b));
}

}  // namespace funnel::detail
