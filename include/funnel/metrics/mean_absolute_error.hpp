// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/mean.hpp>

#include <cmath>
#include <limits>

namespace funnel {

/// Mean absolute error (MAE) of predictions.
///
///     mae = (1/n) sum_i |p_i - t_i|
///
/// Shapes      predictions [n], targets [n].
/// Units       those of the targets: seconds for watch time in seconds.
/// Errors      std::invalid_argument if the sizes differ.
/// Cost        O(n).
/// Numerics    NaN if n is 0 or an input is NaN. A difference beyond the largest number counts as
///             the largest number; for finite inputs the result is finite.
/// Source      docs/formulas.md#mean-absolute-error.
template <detail::Numbers Predictions, detail::Numbers Targets>
double mean_absolute_error(const Predictions& predictions, const Targets& targets) {
  const auto prediction = detail::as_span(predictions);
  const auto target = detail::as_span(targets);
  detail::check_size("mean_absolute_error", "targets", target.size(), prediction.size(),
                     "predictions");
  if (target.empty()) return std::numeric_limits<double>::quiet_NaN();
  detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < target.size(); ++i)
    sum.add(1, std::abs(detail::scaled_difference(1, static_cast<double>(prediction[i]),
                                                  static_cast<double>(target[i]))));
  return sum.mean(static_cast<double>(target.size()));
}

}  // namespace funnel
