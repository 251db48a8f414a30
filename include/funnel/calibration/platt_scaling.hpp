// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cmath>
#include <cstddef>

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

}  // namespace funnel
