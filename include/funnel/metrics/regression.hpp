// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/inputs.hpp>

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
/// Numerics    NaN if n is 0 or an input is NaN.
/// Source      formulas item 108.
template <class T = float>
double mean_absolute_error(std::span<const std::type_identity_t<T>> predictions,
                           std::span<const std::type_identity_t<T>> targets) {
  detail::require_size("mean_absolute_error", "targets", targets.size(), "predictions",
                       predictions.size());
  double sum = 0;
  for (std::size_t i = 0; i < targets.size(); ++i)
    sum += std::abs(static_cast<double>(predictions[i]) - static_cast<double>(targets[i]));
  return sum / static_cast<double>(targets.size());
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
  double predicted = 0, observed = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    predicted += static_cast<double>(predictions[i]);
    observed += static_cast<double>(targets[i]);
  }
  return observed == 0 ? std::numeric_limits<double>::quiet_NaN() : predicted / observed;
}

}  // namespace funnel
