// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/isotonic.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/quantile.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `fit_duration_curve`.
struct duration_curve_options {
  /// Number of bins, each with about the same number of plays; 1 or more.
  std::size_t bins = 20;
  /// Strength of the smoothing, 0 or more: each bin gets this many additional plays with the
  /// overall mean completion.
  double prior_plays = 100;
  /// Lower limit of the curve, above 0.
  double floor = 0.02;
  /// Upper limit of an adjusted completion, above 0.
  double cap = 5;
};

/// Length-adjusted completion: the completion of a video divided by the average completion of
/// videos of the same length.
///
///     p_finish = min(p / max(f(length), floor), cap)
///
/// Short videos are finished more often than long ones of the same quality; the ratio is fair to
/// both. A value above 1 is better than usual for the length. (Completion is the fraction of a
/// video that is played.)
template <class T = float>
class duration_curve {
 public:
  /// A curve that is to be loaded; it returns NaN.
  duration_curve() = default;
  /// `curve`: the average completion by length, as fitted by `fit_duration_curve`. Only `floor` and
  /// `cap` of the options are used.
  /// Errors      std::invalid_argument if the floor or the cap is not above 0.
  explicit duration_curve(isotonic_calibrator<T> curve, const duration_curve_options& options = {})
      : curve_(std::move(curve)), floor_(static_cast<T>(options.floor)),
        cap_(static_cast<T>(options.cap)) {
    check(options);
  }

  const isotonic_calibrator<T>& curve() const { return curve_; }
  T cap() const { return cap_; }

  /// The average completion of videos of this length. NaN if `length` is NaN.
  T expected(T length) const {
    const T value = curve_(length);
    return value < floor_ ? floor_ : value;
  }

  /// `completion` divided by `expected(length)`, at most the cap. NaN if either argument is NaN.
  T adjust(T completion, T length) const {
    const T lift = completion / expected(length);
    return lift > cap_ ? cap_ : lift;
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a curve.
  void visit_state(auto&& visit) {
    visit("curve", curve_), visit("floor", floor_), visit("cap", cap_);
    if (is_loading(visit))
      detail::check_loaded(
          [&] { check({.floor = static_cast<double>(floor_), .cap = static_cast<double>(cap_)}); });
  }

 private:
  void check(const duration_curve_options& options) const {
    detail::check_that("duration_curve", "floor", options.floor, floor_ > 0, "a number above 0");
    detail::check_that("duration_curve", "cap", options.cap, cap_ > 0, "a number above 0");
  }

  isotonic_calibrator<T> curve_;
  T floor_ = static_cast<T>(duration_curve_options{}.floor);
  T cap_ = static_cast<T>(duration_curve_options{}.cap);
};

/// Fits a decreasing curve of average completion by video length.
///
/// Plays are sorted by length and cut into bins of about equal size. Each bin's mean completion is
/// smoothed toward the overall mean, and `fit_isotonic` makes the means decrease with length. The
/// curve is linear between the bins' median lengths and constant outside.
///
/// Shapes      lengths [n], completions [n]: one per play.
/// Units       the curve has the type of the lengths, or double if they are integers. Lengths above
///             0, in any unit; completions in [0, 1]. To adjust estimates of the
///             fraction played, fit on fractions; to adjust estimates of finishing, fit on labels 0
///             or 1.
/// Order       plays of equal length share a bin: a cut that would split them moves to the nearer
///             end of them. The order of the input affects only rounding.
/// Errors      std::invalid_argument if n is 0, the sizes differ, or a value or an option is
///             outside its range.
/// Cost        O(n log n); one copy of the input.
/// Numerics    sums in double.
/// Source      docs/formulas.md#duration-curve. For texts see `fit_reading_curve`.
template <detail::Numbers Lengths, detail::Numbers Completions>
duration_curve<detail::float_of<Lengths>>
fit_duration_curve(const Lengths& lengths, const Completions& completions,
                   const duration_curve_options& options = {}) {
  using t = detail::float_of<Lengths>;
  const auto x = detail::as_span(lengths);
  const auto y = detail::as_span(completions);
  const std::size_t n = x.size();
  detail::check_size("fit_duration_curve", "completions", y.size(), n, "lengths");
  detail::check_positive("fit_duration_curve", "lengths", x);
  detail::check_unit_interval("fit_duration_curve", "completions", y);
  detail::check_not_empty("fit_duration_curve", "lengths", n);
  detail::check_at_least_one("fit_duration_curve", "bins", options.bins);
  detail::check_not_negative("fit_duration_curve", "prior_plays", options.prior_plays);

  struct play {
    t length;
    detail::element_of<const Completions> completion;
  };
  std::vector<play> plays(n);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    plays[i] = {static_cast<t>(x[i]), y[i]};
    total += static_cast<double>(y[i]);
  }
  const double overall = total / static_cast<double>(n);
  std::sort(plays.begin(), plays.end(),
            [](const play& a, const play& b) { return a.length < b.length; });

  std::vector<t> medians, means, weights;
  std::size_t bin = 0;  // where the open bin begins
  const auto close_bin = [&](std::size_t end) {
    if (end == bin) return;
    double sum = 0;
    for (std::size_t i = bin; i < end; ++i) sum += static_cast<double>(plays[i].completion);
    const double count = static_cast<double>(end - bin);
    medians.push_back(plays[bin + (end - bin) / 2].length);
    means.push_back(
        static_cast<t>((sum + options.prior_plays * overall) / (count + options.prior_plays)));
    weights.push_back(static_cast<t>(count));
    bin = end;
  };
  // More than n bins cut at the same places as n bins: between any two lengths.
  detail::for_each_quantile(
      n, std::min(options.bins, n),
      [&](std::size_t i, std::size_t j) { return plays[i].length == plays[j].length; },
      [&](std::size_t begin, std::size_t rank, std::size_t end) {
        close_bin(detail::nearer_cut(begin, rank, end));
      });
  close_bin(n);
  return duration_curve<t>(
      fit_isotonic(medians, means, weights, {.direction = isotonic_direction::decreasing}),
      options);
}

}  // namespace funnel
