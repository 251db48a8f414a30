// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/mean.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace funnel {

/// Root mean squared error (RMSE) of predictions.
///
///     rmse = sqrt((1/n) sum_i (p_i - t_i)^2)
///
/// Shapes      predictions [n], targets [n].
/// Units       those of the targets: stars for ratings in stars.
/// Errors      std::invalid_argument if the sizes differ.
/// Cost        O(n), in two passes.
/// Numerics    NaN if n is 0 or an input is NaN. No square overflows or underflows: for finite
///             inputs the result is finite.
/// Source      docs/formulas.md#root-mean-squared-error.
template <detail::Numbers Predictions, detail::Numbers Targets>
double root_mean_squared_error(const Predictions& predictions, const Targets& targets) {
  const auto prediction = detail::as_span(predictions);
  const auto target = detail::as_span(targets);
  const std::size_t n = target.size();
  detail::check_size("root_mean_squared_error", "targets", n, prediction.size(), "predictions");
  if (n == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto difference = [&](double unit, std::size_t i) {
    return detail::scaled_difference(unit, static_cast<double>(prediction[i]),
                                     static_cast<double>(target[i]));
  };
  double largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double distance = std::abs(difference(1, i));
    if (std::isnan(distance)) return distance;
    largest = std::max(largest, distance);
  }
  if (largest == 0 || std::isinf(largest)) return largest;
  // A power of two brings the squares into range; multiplying by it rounds nothing.
  const double unit = largest > 1e-100 && largest < 1e100
                          ? 1
                          : std::ldexp(1., std::clamp(-std::ilogb(largest), -1020, 1020));
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double d = difference(unit, i);
    sum += d * d;
  }
  return std::min(std::sqrt(sum / static_cast<double>(n)) / unit,
                  std::numeric_limits<double>::max());
}

}  // namespace funnel
