// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/detail/platt_rows.hpp>
#include <funnel/calibration/platt_scaling.hpp>
#include <funnel/core/math.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace funnel {
namespace detail {

/// The number halfway between low and high, low < high, in the order of all `double`s: at most 64
/// halvings find any of them, however far apart they are.
inline double halfway(double low, double high) {
  constexpr std::uint64_t sign = std::uint64_t{1} << 63;
  // Bits rise with the number once those of negative ones are turned over.
  const auto place = [](double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    return bits & sign ? ~bits : bits | sign;
  };
  const std::uint64_t from = place(low), middle = from + (place(high) - from) / 2;
  return std::bit_cast<double>(middle & sign ? middle & ~sign : ~middle);
}

/// The bias alone, of rows that were scanned.
template <class T>
platt_scaling fit_bias(const platt_rows& rows, std::span<const T> logits,
                       const platt_options& options) {
  platt_scaling fit;
  if (rows.one_class()) return fit;
  // The sum of sigma(z + b) rises with b, and is on either side of its target at these two.
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
    // Newton's step while it makes the excess half as large; else half of what is left.
    const double next = b - excess / slope;
    const bool fast = 2 * std::abs(excess) <= before && next > low && next < high;
    before = std::abs(excess);
    b = fast ? next : halfway(low, high);
  }
  fit.b = b;
  return fit;
}

}  // namespace detail

/// Finds the b that makes the mean of sigma(z + b) the mean label: a corrected base rate.
///
/// It undoes a drift of the overall rate and changes no order.
///
/// Shapes      logits [n], labels [n].
/// Units       logits, not probabilities; labels in [0, 1], soft ones too.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a logit is not finite, a label is
///             outside [0, 1] or the tolerance is not above 0.
/// Cost        O(n) a step, 3 to 8 steps; no copy.
/// Numerics    Newton's method inside a bracket, which is halved where Newton is slow: at most about
///             100 steps for any finite logits. Not converged, with b = 0, if all labels are 0 or
///             all are 1.
/// Source      docs/formulas.md#bias-correction.
template <class T = float>
platt_scaling fit_bias(std::span<const std::type_identity_t<T>> logits,
                       std::span<const std::type_identity_t<T>> labels,
                       const platt_options& options = {}) {
  return detail::fit_bias(detail::scan_platt_rows("fit_bias", logits, labels, options), logits,
                          options);
}

}  // namespace funnel
