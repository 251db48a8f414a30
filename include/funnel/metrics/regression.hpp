// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/inputs.hpp>
#include <funnel/core/mean.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <type_traits>

namespace funnel {

/// The mean distance of predictions from targets.
///
///     mae = (1/n) sum_i |p_i - t_i|
///
/// Shapes      predictions [n], targets [n].
/// Units       those of the targets: seconds for watch time in seconds.
/// Errors      std::invalid_argument if the sizes differ.
/// Cost        O(n).
/// Numerics    NaN if n is 0 or an input is NaN. A distance beyond the largest number counts as that
///             number; the mean of numbers is one.
/// Source      formulas item 108.
template <class T = float>
double mean_absolute_error(std::span<const std::type_identity_t<T>> predictions,
                           std::span<const std::type_identity_t<T>> targets) {
  detail::require_size("mean_absolute_error", "targets", targets.size(), "predictions",
                       predictions.size());
  if (targets.empty()) return std::numeric_limits<double>::quiet_NaN();
  detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < targets.size(); ++i)
    sum.add(1, std::abs(detail::scaled_difference(1, static_cast<double>(predictions[i]),
                                                  static_cast<double>(targets[i]))));
  return sum.mean(static_cast<double>(targets.size()));
}

/// Predicted over observed: the ratio of the sums, 1 when right on average (PCOC, "predicted click
/// over click", for rates; the mean ratio for watch time).
///
///     pcoc = sum_i p_i / sum_i y_i
///
/// Shapes      predictions [n], targets [n].
/// Units       one scale for both; probabilities against labels, not logits.
/// Errors      std::invalid_argument if the sizes differ.
/// Cost        O(n).
/// Numerics    NaN if the targets add up to 0 or an input is NaN.
/// Source      formulas items 104 and 108.
template <class T = float>
double pcoc(std::span<const std::type_identity_t<T>> predictions,
            std::span<const std::type_identity_t<T>> targets) {
  detail::require_size("pcoc", "targets", targets.size(), "predictions", predictions.size());
  // Both by one total, which cancels: the means are numbers where the sums are not.
  const double total = static_cast<double>(targets.size());
  detail::weighted_sum_of predicted, observed;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    predicted.add(1, static_cast<double>(predictions[i]));
    observed.add(1, static_cast<double>(targets[i]));
  }
  const double sum = observed.sum();
  if (sum == 0) return std::numeric_limits<double>::quiet_NaN();
  if (std::isfinite(sum) && std::isfinite(predicted.sum())) return predicted.sum() / sum;
  return predicted.mean(total) / observed.mean(total);
}

}  // namespace funnel
