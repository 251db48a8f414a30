// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/detail/platt_rows.hpp>
#include <funnel/calibration/fit_bias.hpp>
#include <funnel/calibration/platt_scaling.hpp>
#include <funnel/core/detail/element_of.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

namespace funnel {
namespace detail {

/// Standardized logits: the distance from their median, in units of the lower quartile of these
/// distances.
struct platt_scale {
  double median = 0, spread = 0;

  /// Needs at least two different logits.
  template <class T>
  explicit platt_scale(std::span<const T> logits) {
    std::vector<double> values(logits.begin(), logits.end());
    const double most_common = median = ranked(values, values.size() / 2);
    // A value that half of the rows or more share, such as a masked logit, says nothing about where
    // the other logits are.
    if (2 * std::erase(values, most_common) >= logits.size())
      median = ranked(values, values.size() / 2);
    for (double& value : values) value = std::abs(value - median);
    std::erase(values, 0.0);
    if (values.empty()) values = {std::abs(most_common - median)};
    spread = std::min(ranked(values, values.size() / 4), std::numeric_limits<double>::max());
  }

  /// Distances are limited to 1e15 units. Otherwise rounding could hide the slope of all other
  /// rows; of a row so far out only the side matters.
  double operator()(double z) const { return std::clamp((z - median) / spread, -1e15, 1e15); }

 private:
  static double ranked(std::vector<double>& values, std::size_t rank) {
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(values.begin(), place, values.end());
    return *place;
  }
};

/// Mean cross-entropy of the logits slope * u + level, for standardized logits u, with its
/// derivatives.
struct platt_point {
  double slope = 0, level = 0, loss = 0;
  double by_slope = 0, by_level = 0;              // first derivatives
  double slope_size = 0;                          // mean magnitude of the terms of by_slope
  double curve_s = 0, curve_sl = 0, curve_l = 0;  // second derivatives

  template <class Z, class Y>
  platt_point(double a, double b, const platt_rows& rows, const platt_scale& scale,
              std::span<const Z> logits, std::span<const Y> labels)
      : slope(a), level(b) {
    constexpr double most = std::numeric_limits<double>::max();
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double u = scale(static_cast<double>(logits[i])), y = rows.label(labels[i]);
      const double z = std::clamp(slope * u + level, -most, most);
      const double e = std::exp(-std::abs(z)), near = 1 / (1 + e), far = e / (1 + e);
      const double p = z > 0 ? near : far, q = z > 0 ? far : near;
      // p - y without cancellation: for labels 0 and 1 the error keeps all its digits, however
      // small it is.
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

/// Platt scaling (logistic calibration): finds the a and b at which sigma(a z + b) has the smallest
/// cross-entropy with the labels.
///
///     minimize  sum_i softplus(a z_i + b) - y_i (a z_i + b)
///
/// Shapes      logits [n], labels [n].
/// Units       logits, not probabilities; a = 1 and b = 0 change nothing. Labels in [0, 1], soft
///             labels included.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a logit is not finite, a label is
///             outside [0, 1] or the tolerance is not above 0.
/// Cost        O(n) per step, 4 to 10 steps; one copy of the logits in double.
/// Numerics    Newton's method on standardized logits (see `platt_options::tolerance` for median
///             and spread). A step is halved until the loss decreases, and doubled while the loss
///             goes on decreasing. Logits are limited to 1e15 spreads from the median. Rows that a
///             model has masked by one huge logit do not change the fit if their labels agree with
///             it, no matter how many there are. If all logits are equal, a stays 1. If one
///             threshold separates the classes, the best a is infinite: the fit does not converge,
///             unless `smooth_labels` is set.
/// Source      Platt, 1999; Lin, Lin and Weng, Machine Learning 2007;
///             docs/formulas.md#platt-scaling.
template <detail::Numbers Logits, detail::Numbers Labels>
platt_scaling fit_platt(const Logits& logits, const Labels& labels,
                        const platt_options& options = {}) {
  const auto z = detail::as_span(logits);
  const auto y = detail::as_span(labels);
  const detail::platt_rows rows = detail::scan_platt_rows("fit_platt", z, y, options);
  if (rows.smallest == rows.largest) return detail::fit_bias(rows, z, options);
  platt_scaling fit;
  if (rows.separated() || rows.one_class()) return fit;

  const detail::platt_scale scale(z);
  const auto at = [&](double slope, double level) {
    return detail::platt_point(slope, level, rows, scale, z, y);
  };
  // Start with slope 0 and the mean label as estimate: there the curvature is far from 0 for any
  // logits.
  detail::platt_point here = at(0, rows.log_odds());
  for (; fit.iterations < options.max_iterations; ++fit.iterations) {
    fit.converged = here.is_flat(options.tolerance);
    if (fit.converged) break;
    const double determinant = here.curve_s * here.curve_l - here.curve_sl * here.curve_sl;
    const double step_s =
        (here.curve_l * here.by_slope - here.curve_sl * here.by_level) / determinant;
    const double step_l =
        (here.curve_s * here.by_level - here.curve_sl * here.by_slope) / determinant;
    // The rate at which the loss decreases along the step. It also shows gains that are lost in the
    // rounding of the loss, such as those of an outlier on the tail of sigma, which dominate the
    // fit.
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
