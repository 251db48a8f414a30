// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/inputs.hpp>
#include <funnel/core/math.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace funnel {

/// A calibrated logit, a z + b, of a logit z: two numbers that `fit_platt` or `fit_bias` found.
struct platt_scaling {
  double a = 1;
  double b = 0;
  /// False if the best a or b is infinite, beyond `double`, or the steps ran out. The first two
  /// leave a = 1 and b = 0.
  bool converged = false;
  std::size_t iterations = 0;

  /// The calibrated logit.
  template <class T>
  T logit(T z) const {
    return static_cast<T>(a * static_cast<double>(z) + b);
  }

  /// The calibrated probability, 1 / (1 + exp(-(a z + b))).
  template <class T>
  T probability(T z) const {
    return static_cast<T>(1 / (1 + std::exp(-(a * static_cast<double>(z) + b))));
  }
};

/// What `fit_platt` and `fit_bias` can be told.
struct platt_options {
  /// Newton steps at most.
  std::size_t max_iterations = 100;
  /// Done when the mean of sigma(a z + b) - y is this close to 0, and for `fit_platt` that of its
  /// product with (z - median z) / spread too, or as close as rounding allows. The spread is the
  /// lower quartile of the distances from the median of the logits that are not equal to it: far
  /// outliers don't change it. A value that half of the logits or more have, as masked ones do,
  /// counts in neither.
  double tolerance = 1e-10;
  /// Draw labels towards 1/2 as if one more row of each class had been seen, which keeps a and b
  /// finite where the classes are separated. Platt's own targets, (n1 + 1)/(n1 + 2) and 1/(n0 + 2).
  bool smooth_labels = false;
};

namespace detail {

/// What the fits need to know of their rows, as one scan finds it.
struct platt_rows {
  double n = 0, label_sum = 0, mean = 0;
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;
  // The ranges of z where there is some label above 0, and below 1.
  double smallest_positive = smallest, largest_positive = -smallest;
  double smallest_negative = smallest, largest_negative = -smallest;
  double label_of_positive = 1, label_of_negative = 0;

  template <class T>
  double label(T y) const {
    return label_of_negative + (label_of_positive - label_of_negative) * static_cast<double>(y);
  }

  /// The logit of the mean label.
  double log_odds() const {
    const double odds = label_sum / (n - label_sum);
    return odds > 0 ? std::log(odds) : std::log(label_sum) - std::log(n - label_sum);
  }
  bool one_class() const { return label_sum == 0 || label_sum == n; }
  /// A step function fits best, of infinite slope.
  bool separated() const {
    return largest_negative <= smallest_positive || largest_positive <= smallest_negative;
  }
};

template <class T>
platt_rows scan_platt_rows(std::string_view function, std::span<const T> logits,
                           std::span<const T> labels, const platt_options& options) {
  require_size(function, "labels", labels.size(), "logits", logits.size());
  require_finite(function, "logits", logits);
  require_unit_interval(function, "labels", labels);
  if (logits.empty()) fail("funnel::", function, ": logits is empty");
  if (!(options.tolerance > 0))
    fail("funnel::", function, ": tolerance is ", options.tolerance, ", expected above 0");
  platt_rows rows;
  rows.n = static_cast<double>(logits.size());
  for (const T y : labels) rows.label_sum += static_cast<double>(y);
  if (options.smooth_labels) {
    rows.label_of_positive = (rows.label_sum + 1) / (rows.label_sum + 2);
    rows.label_of_negative = 1 / (rows.n - rows.label_sum + 2);
  }
  rows.label_sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double z = static_cast<double>(logits[i]), y = rows.label(labels[i]);
    rows.label_sum += y;
    rows.mean += z / rows.n;
    rows.smallest = std::min(rows.smallest, z);
    rows.largest = std::max(rows.largest, z);
    if (y > 0) {
      rows.smallest_positive = std::min(rows.smallest_positive, z);
      rows.largest_positive = std::max(rows.largest_positive, z);
    }
    if (y < 1) {
      rows.smallest_negative = std::min(rows.smallest_negative, z);
      rows.largest_negative = std::max(rows.largest_negative, z);
    }
  }
  return rows;
}

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

/// Logits measured from their median, in quartiles of the distances from it.
struct platt_scale {
  double median = 0, spread = 0;

  /// Of two different logits or more.
  template <class T>
  explicit platt_scale(std::span<const T> logits) {
    std::vector<double> values(logits.begin(), logits.end());
    const double most_common = median = ranked(values, values.size() / 2);
    // One value of half the rows or more, as of masked ones, does not say where the others are.
    if (2 * std::erase(values, most_common) >= logits.size())
      median = ranked(values, values.size() / 2);
    for (double& value : values) value = std::abs(value - median);
    std::erase(values, 0.0);
    if (values.empty()) values = {std::abs(most_common - median)};
    spread = std::min(ranked(values, values.size() / 4), std::numeric_limits<double>::max());
  }

  /// Distances past 1e15 count as that far: no number of rows then hides the others' slope in
  /// rounding, and a row so far out has no say in it beyond its sign.
  double operator()(double z) const { return std::clamp((z - median) / spread, -1e15, 1e15); }

 private:
  static double ranked(std::vector<double>& values, std::size_t rank) {
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(values.begin(), place, values.end());
    return *place;
  }
};

/// The mean cross-entropy of slope u + level and its derivatives.
struct platt_point {
  double slope = 0, level = 0, loss = 0;
  double by_slope = 0, by_level = 0;              // first derivatives
  double slope_size = 0;                          // mean of the magnitudes that by_slope adds up
  double curve_s = 0, curve_sl = 0, curve_l = 0;  // second ones

  template <class T>
  platt_point(double a, double b, const platt_rows& rows, const platt_scale& scale,
              std::span<const T> logits, std::span<const T> labels)
      : slope(a), level(b) {
    constexpr double most = std::numeric_limits<double>::max();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double u = scale(static_cast<double>(logits[i])), y = rows.label(labels[i]);
      const double z = std::clamp(slope * u + level, -most, most);
      const double e = std::exp(-std::abs(z)), near = 1 / (1 + e), far = e / (1 + e);
      const double p = z > 0 ? near : far, q = z > 0 ? far : near;
      // Of labels 0 and 1 the error keeps all its digits, however small it is.
      const double error = (1 - y) * p - y * q, curvature = p * q;
      loss += ((z > 0 ? (1 - y) * z : -y * z) + std::log1p(e)) / rows.n;
      by_slope += error * u / rows.n;
      by_level += error / rows.n;
      slope_size += std::abs(u) * ((1 - y) * p + y * q) / rows.n;
      curve_s += curvature * u * u / rows.n;
      curve_sl += curvature * u / rows.n;
      curve_l += curvature / rows.n;
    }
  }

  bool is_flat(double tolerance) const {
    constexpr double rounding = 8 * std::numeric_limits<double>::epsilon();
    return std::abs(by_slope) <= tolerance + rounding * slope_size &&
           std::abs(by_level) <= tolerance;
  }
};

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
/// Source      formulas items 91 and 104 (PCOC = 1 is what it solves).
template <class T = float>
platt_scaling fit_bias(std::span<const std::type_identity_t<T>> logits,
                       std::span<const std::type_identity_t<T>> labels,
                       const platt_options& options = {}) {
  return detail::fit_bias(detail::scan_platt_rows("fit_bias", logits, labels, options), logits,
                          options);
}

/// Finds the a and b for which sigma(a z + b) has the least cross-entropy with the labels.
///
///     minimise  sum_i softplus(a z_i + b) - y_i (a z_i + b)
///
/// Shapes      logits [n], labels [n].
/// Units       logits, not probabilities (a logit keeps its own log-odds at a = 1, b = 0); labels
///             in [0, 1], soft ones too.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a logit is not finite, a label is
///             outside [0, 1] or the tolerance is not above 0.
/// Cost        O(n) a step, 4 to 10 steps; a copy of the logits in double.
/// Numerics    Newton's method on logits that are measured from their median in units of their
///             spread, with steps that are halved until the loss falls and doubled while it goes on
///             falling. Logits further than 1e15 spreads from the median count as that far. Rows
///             that a model has masked by one huge logit change nothing where their labels are as
///             masked, however many they are. If all logits are equal, a stays 1. If one threshold
///             separates the classes the best a is infinite: not converged, unless
///             options.smooth_labels.
/// Source      Platt 1999; Lin, Lin and Weng, Machine Learning 2007.
template <class T = float>
platt_scaling fit_platt(std::span<const std::type_identity_t<T>> logits,
                        std::span<const std::type_identity_t<T>> labels,
                        const platt_options& options = {}) {
  const detail::platt_rows rows = detail::scan_platt_rows("fit_platt", logits, labels, options);
  if (rows.smallest == rows.largest) return detail::fit_bias(rows, logits, options);
  platt_scaling fit;
  if (rows.separated() || rows.one_class()) return fit;

  const detail::platt_scale scale(logits);
  const auto at = [&](double slope, double level) {
    return detail::platt_point(slope, level, rows, scale, logits, labels);
  };
  // It starts flat at the mean label, where the curvature is far from 0 whatever the logits are.
  detail::platt_point here = at(0, rows.log_odds());
  for (; fit.iterations < options.max_iterations; ++fit.iterations) {
    fit.converged = here.is_flat(options.tolerance);
    if (fit.converged) break;
    const double determinant = here.curve_s * here.curve_l - here.curve_sl * here.curve_sl;
    const double step_s =
        (here.curve_l * here.by_slope - here.curve_sl * here.by_level) / determinant;
    const double step_l =
        (here.curve_s * here.by_level - here.curve_sl * here.by_slope) / determinant;
    // How fast the loss falls along the step. The derivative sees gains that the rounding of the
    // loss hides: those of an outlier far out on the tail of sigma, which comes before all else.
    const auto fall = [&](const detail::platt_point& point) {
      return step_s * point.by_slope + step_l * point.by_level;
    };
    if (!(fall(here) > 0 && std::isfinite(step_s) && std::isfinite(step_l))) break;
    const auto along = [&](double part) {
      return at(here.slope - part * step_s, here.level - part * step_l);
    };
    const auto good = [&](const detail::platt_point& point) {
      return fall(point) >= 0 || point.loss <= here.loss * (1 + 1e-12);
    };
    double part = 1;
    detail::platt_point next = along(part);
    if (fall(next) > fall(here) / 4) {
      while (part < 1e300) {
        const detail::platt_point further = along(2 * part);
        if (!(fall(further) >= 0)) break;
        next = further;
        part *= 2;
      }
    }
    while (!good(next) && part > 1e-20) {
      part /= 2;
      next = along(part);
    }
    if (!good(next)) break;
    here = next;
  }
  const double a = here.slope / scale.spread, b = here.level - a * scale.median;
  if (!std::isfinite(a) || !std::isfinite(b)) {
    fit.converged = false;
    return fit;
  }
  fit.a = a;
  fit.b = b;
  return fit;
}

}  // namespace funnel
