// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/detail/platt_rows.hpp>
#include <funnel/calibration/platt_scaling.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/order_key.hpp>
#include <funnel/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace funnel {
namespace detail {

/// The number halfway between `low` and `high`, low < high, in the sorted sequence of all values of
/// `double`. Repeated halving finds any number in at most 64 steps.
inline double halfway(double low, double high) {
  const auto from = order_key(low);
  return from_order_key<double>(from + (order_key(high) - from) / 2);
}

/// Fits the bias only, for rows that `scan_platt_rows` has checked.
template <class T>
platt_scaling fit_bias(const platt_rows& rows, std::span<const T> logits,
                       const platt_options& options) {
  platt_scaling fit;
  if (rows.one_class()) return fit;
  // The sum of sigma(z + b) increases with b. At `low` it is at most the sum of the labels, at
  // `high` at least.
  constexpr double most = std::numeric_limits<double>::max();
  const double target = rows.log_odds();
  double low = std::max(target - rows.largest, -most);
  double high = std::min(target - rows.smallest, most);
  double b = std::clamp(target - rows.mean, low, high);  // the mean may round to infinity
  double before = std::numeric_limits<double>::infinity();
  for (; fit.iterations < options.max_iterations; ++fit.iterations) {
    double excess = -rows.label_sum, slope = 0;
    for (const T z : logits) {
      const double p = sigmoid(static_cast<double>(z) + b);
      excess += p;
      slope += p * (1 - p);
    }
    fit.converged = std::abs(excess) <= options.tolerance * rows.n;
    if (fit.converged) break;
    (excess > 0 ? high : low) = b;
    // Newton's step while it at least halves the excess; otherwise bisection.
    const double next = b - excess / slope;
    const bool fast = 2 * std::abs(excess) <= before && next > low && next < high;
    before = std::abs(excess);
    b = fast ? next : halfway(low, high);
  }
  fit.b = b;
  return fit;
}

}  // namespace detail

/// Bias correction: finds the b at which the mean of sigma(z + b) equals the mean label.
///
/// It corrects a drift of the overall rate (the base rate) and does not change the order of the
/// rows.
///
/// Shapes      logits [n], labels [n].
/// Units       logits, not probabilities; labels in [0, 1], soft labels included.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a logit is not finite, a label is
///             outside [0, 1] or the tolerance is not above 0.
/// Cost        O(n) per step, 3 to 8 steps; no copy of the input.
/// Numerics    Newton's method, with bisection of a bracket where Newton is slow: at most about 100
///             steps for any finite logits. If all labels are 0 or all are 1, b stays 0 and
///             `converged` is false.
/// Source      docs/formulas.md#bias-correction.
template <detail::Numbers Logits, detail::Numbers Labels>
platt_scaling fit_bias(const Logits& logits, const Labels& labels,
                       const platt_options& options = {}) {
  const auto z = detail::as_span(logits);
  const auto y = detail::as_span(labels);
  return detail::fit_bias(detail::scan_platt_rows("fit_bias", z, y, options), z, options);
}

}  // namespace funnel
