// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/platt_scaling.hpp>
#include <funnel/core/detail/checks.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace funnel::detail {

/// Statistics of the rows that the fits need, computed in one scan.
struct platt_rows {
  double n = 0, label_sum = 0, mean = 0;
  double smallest = std::numeric_limits<double>::infinity(), largest = -smallest;
  // The ranges of z over rows with a label above 0, and over rows with a label below 1.
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
  /// True if one threshold on z separates the labels, so that the best slope is infinite.
  bool separated() const {
    return largest_negative <= smallest_positive || largest_positive <= smallest_negative;
  }
};

/// Checks the arguments of a fit and computes the statistics.
template <class Z, class Y>
platt_rows scan_platt_rows(std::string_view function, std::span<const Z> logits,
                           std::span<const Y> labels, const platt_options& options) {
  check_size(function, "labels", labels.size(), logits.size(), "logits");
  check_finite(function, "logits", logits);
  check_unit_interval(function, "labels", labels);
  check_not_empty(function, "logits", logits.size());
  check_that(function, "tolerance", options.tolerance, options.tolerance > 0, "a number above 0");
  platt_rows rows;
  rows.n = static_cast<double>(logits.size());
  for (const Y y : labels) rows.label_sum += static_cast<double>(y);
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

}  // namespace funnel::detail
