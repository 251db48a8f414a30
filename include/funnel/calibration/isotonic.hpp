// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Whether an isotonic fit increases or decreases with the score.
enum class isotonic_direction { increasing, decreasing };

/// How an isotonic fit interpolates between its knots.
enum class isotonic_interpolation {
  /// Linear: only scores within one pooled block become ties.
  linear,
  /// A step function: the value of the last knot at or below the score.
  step,
};

/// Options of `fit_isotonic`.
struct isotonic_options {
  isotonic_direction direction = isotonic_direction::increasing;
  isotonic_interpolation interpolation = isotonic_interpolation::linear;
};

/// Isotonic calibration: a monotone function of a score, given by knots. It is constant outside of
/// them.
///
/// Cost        O(log m) per score for m knots.
/// Numerics    a NaN score stays NaN. A calibrator without knots returns NaN: one that is to be
///             loaded, or is moved from.
template <class T = float>
class isotonic_calibrator {
 public:
  isotonic_calibrator() = default;
  /// Restores a calibrator from its knots: `knots` are scores, `values` the calibrated values
  /// there, as `knots()` and `values()` return them.
  ///
  /// Errors      std::invalid_argument if there are no knots, the sizes differ, a number is not
  ///             finite, the knots are not strictly increasing or the values are not monotone.
  isotonic_calibrator(std::vector<T> knots, std::vector<T> values,
                      isotonic_interpolation interpolation = isotonic_interpolation::linear)
      : knots_(std::move(knots)), values_(std::move(values)), interpolation_(interpolation) {
    check();
    detail::check_not_empty("isotonic_calibrator", "knots", knots_.size());
  }
  isotonic_calibrator(const isotonic_calibrator&) = default;
  isotonic_calibrator(isotonic_calibrator&&) noexcept = default;
  /// Strong guarantee: if memory runs out, this object is unchanged.
  isotonic_calibrator& operator=(const isotonic_calibrator& other) {
    *this = isotonic_calibrator(other);
    return *this;
  }
  isotonic_calibrator& operator=(isotonic_calibrator&&) noexcept = default;

  std::span<const T> knots() const { return knots_; }
  std::span<const T> values() const { return values_; }

  /// The calibrated value of a score.
  T operator()(T score) const {
    if (score != score) return score;
    const auto above = std::upper_bound(knots_.begin(), knots_.end(), score);
    const auto right = static_cast<std::size_t>(above - knots_.begin());
    if (right == 0) return values_.empty() ? std::numeric_limits<T>::quiet_NaN() : values_.front();
    if (right == knots_.size() || interpolation_ == isotonic_interpolation::step)
      return values_[right - 1];
    const double left = static_cast<double>(knots_[right - 1]);
    const double to_score = static_cast<double>(score) - left;
    const double to_knot = static_cast<double>(knots_[right]) - left;
    // Halved if the distance of two knots overflows.
    const double part = std::isfinite(to_knot)
                            ? to_score / to_knot
                            : (static_cast<double>(score) / 2 - left / 2) /
                                  (static_cast<double>(knots_[right]) / 2 - left / 2);
    // std::lerp is monotone and stays within the two values; from + part * (to - from) may exceed
    // them by rounding.
    return static_cast<T>(std::lerp(static_cast<double>(values_[right - 1]),
                                    static_cast<double>(values_[right]), part));
  }

  /// The calibrated values of scores [n] in output [n], which may be the same span.
  ///
  /// Errors      std::invalid_argument if the sizes differ; nothing is written.
  void apply(std::span<const T> scores, std::span<T> output) const {
    detail::check_size("isotonic_calibrator::apply", "output", output.size(), scores.size(),
                       "scores");
    for (std::size_t i = 0; i < scores.size(); ++i) output[i] = (*this)(scores[i]);
  }

  /// See `HasState`. Throws a format_error if knots and values that were loaded do not fit together.
  void visit_state(auto&& visit) {
    visit("knots", knots_), visit("values", values_), visit("interpolation", interpolation_);
    if (is_loading(visit)) detail::check_loaded([&] { check(); });
  }

 private:
  void check() const {
    detail::check_size("isotonic_calibrator", "values", values_.size(), knots_.size(), "knots");
    detail::check_finite("isotonic_calibrator", "knots", std::span<const T>(knots_));
    detail::check_finite("isotonic_calibrator", "values", std::span<const T>(values_));
    if (interpolation_ != isotonic_interpolation::linear &&
        interpolation_ != isotonic_interpolation::step)
      detail::fail("funnel::isotonic_calibrator: interpolation is ",
                   static_cast<int>(interpolation_), ", expected linear or step");
    bool rises = false, falls = false;
    for (std::size_t i = 1; i < knots_.size(); ++i) {
      if (knots_[i] <= knots_[i - 1])
        detail::fail("funnel::isotonic_calibrator: knots[", i, "] is ", knots_[i],
                     ", expected more than ", knots_[i - 1], ", the one before");
      rises |= values_[i] > values_[i - 1];
      falls |= values_[i] < values_[i - 1];
    }
    if (rises && falls)
      detail::fail("funnel::isotonic_calibrator: values rises and falls, expected values that "
                   "never fall, or never rise");
  }

  std::vector<T> knots_;
  std::vector<T> values_;
  isotonic_interpolation interpolation_ = isotonic_interpolation::linear;
};

namespace detail {

/// A power of two that brings the largest magnitude into the range 2^-470 to 2^470; 1 if it is
/// there already. Products of two such numbers keep their digits, and 2^80 of them can be summed.
template <class T>
double unit_between(std::span<const T> values) {
  double largest = 0;
  for (const T value : values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest >= 0x1p470 ? 0x1p-554 : largest > 0x1p-470 ? 1 : 0x1p604;
}

}  // namespace detail

/// Isotonic regression: finds the monotone function of the score that is nearest to the labels.
///
///     minimize  sum_i w_i (f(s_i) - y_i)^2  over monotone f
///
/// by the pool adjacent violators algorithm. Each pooled block becomes two knots, at its smallest
/// and at its largest score.
///
/// Shapes      scores [n], labels [n], weights [n]; empty means weight 1 for every row.
/// Units       any scale of score; labels are probabilities, rates or any other numbers. The
///             calibrator has the type of the scores, or double if they are integers.
/// Order       rows with equal scores are merged into one row with their weighted mean label and
///             total weight. The order of the input affects only rounding.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a score or label is not finite or
///             a weight is not finite and above 0.
/// Cost        O(n log n); 3 copies of the input.
/// Numerics    sums in double. The weighted mean of f over the rows equals that of the labels.
/// Source      Ayer et al., 1955; Zadrozny and Elkan, KDD 2002;
///             docs/formulas.md#isotonic-regression.
template <detail::Numbers Scores, detail::Numbers Labels,
          detail::Numbers Weights = std::span<const double>>
isotonic_calibrator<detail::float_of<Scores>>
fit_isotonic(const Scores& scores, const Labels& labels, const Weights& weights = {},
             const isotonic_options& options = {}) {
  using t = detail::float_of<Scores>;
  const auto s = detail::as_span(scores);
  const auto y = detail::as_span(labels);
  const auto w = detail::as_span(weights);
  const std::size_t n = s.size();
  detail::check_size("fit_isotonic", "labels", y.size(), n, "scores");
  if (!w.empty()) detail::check_size("fit_isotonic", "weights", w.size(), n, "scores");
  detail::check_finite("fit_isotonic", "scores", s);
  detail::check_finite("fit_isotonic", "labels", y);
  detail::check_positive("fit_isotonic", "weights", w);
  detail::check_not_empty("fit_isotonic", "scores", n);

  struct block {
    t first, last;
    double weight, sum;
    double mean() const { return sum / weight; }
    void join(const block& next) {
      last = next.last;
      weight += next.weight;
      sum += next.sum;
    }
  };
  // A decreasing fit is an increasing one of negated labels.
  const double sign = options.direction == isotonic_direction::increasing ? 1 : -1;
  // Powers of two that keep sums of products in the range of double; 1 for all usual sizes.
  const double label_unit = detail::unit_between(y), weight_unit = detail::unit_between(w);
  std::vector<block> rows(n);
  for (std::size_t i = 0; i < n; ++i) {
    const double weight = w.empty()
                              ? 1.0
                              : std::max(weight_unit * static_cast<double>(w[i]),
                                         std::numeric_limits<double>::min());  // stays above 0
    rows[i] = {static_cast<t>(s[i]), static_cast<t>(s[i]), weight,
               sign * weight * (label_unit * static_cast<double>(y[i]))};
  }
  std::sort(rows.begin(), rows.end(),
            [](const block& a, const block& b) { return a.first < b.first; });
  std::vector<block> blocks;
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    block next = rows[begin];
    for (end = begin + 1; end < n && rows[end].first == next.first; ++end) next.join(rows[end]);
    blocks.push_back(next);
    while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() >= blocks.back().mean()) {
      const block violator = blocks.back();
      blocks.pop_back();
      blocks.back().join(violator);
    }
  }

  // Rounding must not move a mean outside the range of the labels.
  const auto range = std::ranges::minmax(y);
  const t lowest = static_cast<t>(range.min), highest = static_cast<t>(range.max);
  std::vector<t> knots, values;
  for (const block& b : blocks) {
    const t value = std::clamp(static_cast<t>(sign * b.mean() / label_unit), lowest, highest);
    knots.push_back(b.first);
    values.push_back(value);
    if (b.last == b.first) continue;
    knots.push_back(b.last);
    values.push_back(value);
  }
  return {std::move(knots), std::move(values), options.interpolation};
}

}  // namespace funnel
