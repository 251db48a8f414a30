// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/state.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace funnel {

/// Platt scaling: maps a logit z to the calibrated logit a z + b. The result of `fit_platt` and
/// `fit_bias`.
struct platt_scaling {
  double a = 1;
  double b = 0;
  /// False if the best a or b is infinite or exceeds `double`, or if `max_iterations` was reached.
  /// In the first two cases a = 1 and b = 0.
  bool converged = false;
  /// Number of steps that were taken.
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

  /// See `HasState`. Throws a format_error if a or b is not finite after loading.
  void visit_state(auto&& visit) {
    std::uint64_t steps = iterations;
    visit("a", a), visit("b", b), visit("converged", converged), visit("iterations", steps);
    if (!is_loading(visit)) return;
    iterations = steps;
    detail::check_loaded([&] {
      detail::check_that("platt_scaling", "a", a, std::isfinite(a), "a finite number");
      detail::check_that("platt_scaling", "b", b, std::isfinite(b), "a finite number");
    });
  }
};

/// Options of `fit_platt` and `fit_bias`.
struct platt_options {
  /// Upper limit of the number of Newton steps.
  std::size_t max_iterations = 100;
  /// The fit has converged when the mean of sigma(a z + b) - y is within this tolerance of 0, or as
  /// close as rounding allows. `fit_platt` requires the same of the mean of (sigma(a z + b) - y) (z
  /// - median) / spread. The spread is the lower quartile of the distances from the median, over
  /// the logits that are not equal to the median; so far outliers do not change it. A value that
  /// half of the logits or more share, such as a masked logit, is left out of both the median and
  /// the spread.
  double tolerance = 1e-10;
  /// Smooths the labels toward 1/2, as if there were one more row of each class: Platt's targets,
  /// (n1 + 1)/(n1 + 2) and 1/(n0 + 2), for n1 positives and n0 negatives. a and b then stay finite
  /// if the classes are separated.
  bool smooth_labels = false;
};

}  // namespace funnel
