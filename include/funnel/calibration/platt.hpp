// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/inputs.hpp>
#include <funnel/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

namespace funnel {

/// A calibrated logit, a z + b, of a logit z: two numbers that `fit_platt` or `fit_bias` found.
struct platt_scaling {
  double a = 1;
  double b = 0;
  /// False if the best a or b is infinite or the steps ran out. The first leaves a = 1 and b = 0.
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
  /// Done when the mean of sigma(a z + b) - y, and that of its product with the standardised z, are
  /// this close to 0.
  double tolerance = 1e-10;
  /// Draw labels towards 1/2 as if one more row of each class had been seen, which keeps a and b
  /// finite where the classes are separated. Platt's own targets, (n1 + 1)/(n1 + 2) and 1/(n0 + 2).
  bool smooth_labels = false;
};

namespace detail {

/// What the fits need to know of their rows, as one scan finds it.
struct platt_rows {
  double n = 0, label_sum = 0, mean = 0, deviation = 0;
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;
  // The ranges of z where there is some label above 0, and below 1.
  double smallest_positive = smallest, largest_positive = -smallest;
  double smallest_negative = smallest, largest_negative = -smallest;
  double label_of_positive = 1, label_of_negative = 0;

  template <class T>
  double label(T y) const {
    return label_of_negative + (label_of_positive - label_of_negative) * static_cast<double>(y);
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
  if (rows.smallest < rows.largest) {
    double squares = 0;
    for (const T value : logits) {
      const double from_mean = static_cast<double>(value) - rows.mean;
      squares += from_mean * from_mean;
    }
    rows.deviation = std::sqrt(squares / rows.n);
  }
  return rows;
}

template <class T>
platt_scaling fit_bias(const platt_rows& rows, std::span<const T> logits,
                       const platt_options& options) {
  platt_scaling fit;
  if (rows.one_class()) return fit;
  // The sum of sigma(z + b) rises with b, and is on either side of its target at these two.
  const double target = std::log(rows.label_sum / (rows.n - rows.label_sum));
  double low = target - rows.largest, high = target - rows.smallest;
  for (fit.b = target - rows.mean; fit.iterations < options.max_iterations; ++fit.iterations) {
    double excess = -rows.label_sum, slope = 0;
    for (const T z : logits) {
      const double p = sigmoid(static_cast<double>(z) + fit.b);
      excess += p;
      slope += p * (1 - p);
    }
    fit.converged = std::abs(excess) <= options.tolerance * rows.n;
    if (fit.converged) break;
    (excess > 0 ? high : low) = fit.b;
    const double next = fit.b - excess / slope;
    fit.b = next > low && next < high ? next : low + (high - low) / 2;
  }
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
/// Numerics    Newton's method inside a bracket. Not converged, with b = 0, if all labels are 0 or
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
/// Cost        O(n) a step, 4 to 10 steps; no copy.
/// Numerics    Newton's method on standardised logits, steps halved until the loss falls. If all
///             logits are equal, a stays 1. If one threshold separates the classes the best a is
///             infinite: not converged, unless options.smooth_labels.
/// Source      Platt 1999; Lin, Lin and Weng, Machine Learning 2007; formulas item 91.
template <class T = float>
platt_scaling fit_platt(std::span<const std::type_identity_t<T>> logits,
                        std::span<const std::type_identity_t<T>> labels,
                        const platt_options& options = {}) {
  const detail::platt_rows rows = detail::scan_platt_rows("fit_platt", logits, labels, options);
  if (rows.deviation == 0) return detail::fit_bias(rows, logits, options);
  platt_scaling fit;
  if (rows.separated()) return fit;

  // Of u = (z - mean) / deviation, the logit is slope u + level. It starts flat at the mean label,
  // where the curvature is far from 0 whatever the logits are.
  double slope = 0, level = std::log(rows.label_sum / (rows.n - rows.label_sum));
  const auto standardised = [&](T z) {
    return (static_cast<double>(z) - rows.mean) / rows.deviation;
  };
  const auto mean_loss = [&](double s, double l) {
    double sum = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double z = s * standardised(logits[i]) + l, y = rows.label(labels[i]);
      sum += (z > 0 ? (1 - y) * z : -y * z) + std::log1p(std::exp(-std::abs(z)));
    }
    return sum / rows.n;
  };
  double loss = mean_loss(slope, level);
  for (; fit.iterations < options.max_iterations; ++fit.iterations) {
    double gradient_s = 0, gradient_l = 0, h_ss = 0, h_sl = 0, h_ll = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double u = standardised(logits[i]);
      const double p = sigmoid(slope * u + level), curvature = p * (1 - p) / rows.n;
      const double error = (p - rows.label(labels[i])) / rows.n;
      gradient_s += error * u;
      gradient_l += error;
      h_ss += curvature * u * u;
      h_sl += curvature * u;
      h_ll += curvature;
    }
    fit.converged = std::max(std::abs(gradient_s), std::abs(gradient_l)) <= options.tolerance;
    if (fit.converged) break;
    const double determinant = h_ss * h_ll - h_sl * h_sl;
    const double step_s = (h_ll * gradient_s - h_sl * gradient_l) / determinant;
    const double step_l = (h_ss * gradient_l - h_sl * gradient_s) / determinant;
    // The allowance is for the rounding of the loss, which hides the last steps' gain.
    const double highest = loss * (1 + 1e-12);
    double part = 1, next = mean_loss(slope - step_s, level - step_l);
    while (!(next <= highest) && part > 1e-10) {
      part /= 2;
      next = mean_loss(slope - part * step_s, level - part * step_l);
    }
    if (!(next <= highest)) break;
    slope -= part * step_s;
    level -= part * step_l;
    loss = next;
  }
  fit.a = slope / rows.deviation;
  fit.b = level - fit.a * rows.mean;
  return fit;
}

}  // namespace funnel
