// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/fit_bias.hpp>
#include <funnel/calibration/platt.hpp>
#include <funnel/calibration/platt_scaling.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/math.hpp>
#include <funnel/features/segments.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel::detail {

/// a x + b: the calibrated logit of a logit x, or the calibrated amount of an amount x.
struct calibration_line {
  double a = 1, b = 0;

  /// Limited to finite numbers, for fits.
  double operator()(double x) const {
    constexpr double most = std::numeric_limits<double>::max();
    return std::clamp(a * x + b, -most, most);
  }
  /// Whether it keeps the order of what it is applied to.
  bool increases() const {
    return a >= std::numeric_limits<double>::min() && std::isfinite(a) && std::isfinite(b);
  }
};

/// Rows of a head that have a label.
struct labeled_rows {
  std::vector<double> x, y;
  std::vector<std::uint32_t> segments;  // empty: none are given
  double label_sum = 0;
};

/// The lines of one head, by segment. A segment's line is that of its parent, turned around `center`
/// by the factor `slope` and moved by `bias`:
///
///     a = slope a_parent,   b = b_parent + (1 - slope) a_parent center + bias
///
/// So a bias that is fitted later, to other rows, does not depend on the slope. The parent of segment
/// 0 is the line x. Of an amount, only slopes are used.
struct head_lines {
  std::vector<double> slopes, centers, biases;
  std::vector<calibration_line> lines;

  head_lines() = default;
  explicit head_lines(std::size_t segments)
      : slopes(segments, 1), centers(segments), biases(segments), lines(segments) {}

  calibration_line line_of(std::size_t s, const calibration_line& parent) const {
    return {slopes[s] * parent.a, parent.b + (1 - slopes[s]) * parent.a * centers[s] + biases[s]};
  }
  calibration_line parent_of(std::uint32_t s, const segments& tree) const {
    return s == 0 ? calibration_line() : lines[tree.parent(s)];
  }
  /// Computes the lines; false if one of them does not increase.
  bool chain(const segments& tree) {
    bool all = true;
    for (std::uint32_t s = 0; s < lines.size(); ++s) {
      lines[s] = line_of(s, parent_of(s, tree));
      all = all && lines[s].increases();
    }
    return all;
  }

  void visit_state(auto&& visit) {
    visit("slopes", slopes), visit("centers", centers), visit("biases", biases);
  }
};

/// Calls `fit_one(s, x, y)` for each segment but 0, parents first, with the rows in it and in the
/// segments below it; there may be none. Returns the number of segments that have rows.
template <class FitOne>
std::size_t for_segment_rows(const labeled_rows& rows, const segments& tree, FitOne fit_one) {
  std::vector<std::size_t> ends(tree.size() + 1);
  for (const std::uint32_t own : rows.segments)
    for (std::uint32_t s = own; s != 0; s = tree.parent(s)) ++ends[s + 1];
  for (std::size_t s = 1; s < ends.size(); ++s) ends[s] += ends[s - 1];
  std::vector<double> x(ends.back()), y(ends.back());
  for (std::size_t i = 0; i < rows.segments.size(); ++i)
    for (std::uint32_t s = rows.segments[i]; s != 0; s = tree.parent(s)) {
      x[ends[s]] = rows.x[i];  // from here on, ends[s] moves from the begin to the end
      y[ends[s]++] = rows.y[i];
    }
  std::size_t with_rows = 0;
  for (std::uint32_t s = 1; s < tree.size(); ++s) {
    const std::size_t begin = ends[s - 1], count = ends[s] - begin;
    with_rows += count > 0 ? 1 : 0;
    fit_one(s, std::span<const double>(x).subspan(begin, count),
            std::span<const double>(y).subspan(begin, count));
  }
  return with_rows;
}

/// Fits what a segment adds to its parent's line, for a head of probabilities.
///
///     minimize  sum_i loss(u_i, y_i) + w sum_i loss(u_i, p_i),   w = m / sum_i p_i (1 - p_i)
///
/// with the parent's probabilities p. As the loss is linear in the label, this is the usual fit to
/// the labels (y + w p) / (1 + w). Returns whether the slope was fitted.
inline bool fit_segment(head_lines& head, std::uint32_t s, const calibration_line& parent,
                        std::span<const double> x, std::span<const double> y, bool fit_slope,
                        double prior_strength) {
  head.biases[s] = 0;
  const calibration_line start = head.line_of(s, parent);
  std::vector<double> u(x.size()), labels(x.size());
  double information = 0, center = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    u[i] = start(x[i]);
    labels[i] = sigmoid(u[i]);
    const double weight = sigmoid(u[i]) * sigmoid(-u[i]);
    information += weight;
    center += weight * x[i];
  }
  const double w = prior_strength / information;
  if (!std::isfinite(w)) return false;  // no rows, or every p is 0 or 1
  for (std::size_t i = 0; i < x.size(); ++i)
    labels[i] = (y[i] + w * labels[i]) / (1 + w);  // at most 1, rounded or not
  if (fit_slope) {
    const platt_scaling fit = fit_platt(u, labels);
    if (fit.converged && fit.a > 0) {
      head.slopes[s] = fit.a;
      head.centers[s] = center / information;
      head.biases[s] = (fit.a - 1) * parent(head.centers[s]) + fit.b;
      return true;
    }
  }
  const platt_scaling fit = funnel::fit_bias(u, labels);
  if (fit.converged) head.biases[s] = fit.b;
  return false;
}

/// The same for an amount: the factor (sum of y + m mean of u) / (sum of u + m mean of u) of the
/// parent's amounts u.
inline void fit_segment_factor(head_lines& head, std::uint32_t s, const calibration_line& parent,
                               std::span<const double> x, std::span<const double> y,
                               double prior_strength) {
  double estimates = 0, amounts = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    estimates += parent(x[i]);
    amounts += y[i];
  }
  const double prior = prior_strength / static_cast<double>(x.size()) * estimates;
  const double factor = (amounts + prior) / (estimates + prior);
  head.slopes[s] = factor > 0 && std::isfinite(factor) ? factor : 1;
}

}  // namespace funnel::detail
