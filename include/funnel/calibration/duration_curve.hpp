// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/isotonic.hpp>
#include <funnel/core/detail/quantile.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {

/// What `fit_duration_curve` can be told.
struct duration_curve_options {
  /// Bins of about equally many plays, 1 or more.
  std::size_t bins = 20;
  /// Each bin's mean counts this many plays of the overall mean as its own, 0 or more.
  double prior_plays = 100;
  /// The curve is never below it, above 0.
  double floor = 0.02;
  /// An adjusted completion is never above it, above 0.
  double cap = 5;
};

/// The average completion of a video of some length, and completions measured against it.
///
///     p_finish = min(p / max(f(length), floor), cap)
///
/// A short video is finished more often than a long one of the same worth; the ratio to what is
/// usual for the length is fair to both. Above 1 is better than usual.
template <class T = float>
class duration_curve {
 public:
  /// curve: the average completion by length, as `fit_duration_curve` finds it. Of the options the
  /// floor and the cap count.
  explicit duration_curve(isotonic_calibrator<T> curve, const duration_curve_options& options = {})
      : curve_(std::move(curve)), floor_(static_cast<T>(options.floor)),
        cap_(static_cast<T>(options.cap)) {
    if (!(floor_ > 0 && cap_ > 0))
      detail::fail("funnel::duration_curve: floor is ", options.floor, " and cap is ", options.cap,
                   ", expected both above 0");
  }

  const isotonic_calibrator<T>& curve() const { return curve_; }

  /// The average completion of videos of this length. NaN if length is.
  T expected(T length) const {
    const T value = curve_(length);
    return value < floor_ ? floor_ : value;
  }

  /// A completion estimate over what is usual for the length. NaN if either is.
  T adjust(T completion, T length) const {
    const T lift = completion / expected(length);
    return lift > cap_ ? cap_ : lift;
  }

 private:
  isotonic_calibrator<T> curve_;
  T floor_, cap_;
};

/// Fits the falling curve of average completion by length.
///
/// Plays are cut into bins of about equal mass by length, each bin's mean is drawn towards the overall
/// mean, the means are made to fall by `fit_isotonic`, and the curve is straight between the bins'
/// median lengths and flat outside.
///
/// Shapes      lengths [n], completions [n], a play each.
/// Units       lengths above 0, in any unit; completions in [0, 1]: fractions played if estimates
///             are of fractions, 0 or 1 if they are of finishing. The same kind for both.
/// Order       plays of one length share a bin: a cut that would split them goes to their nearer
///             end; the order of the input matters to rounding only.
/// Errors      std::invalid_argument if n is 0, the sizes differ, a value is outside its range or
///             an option is.
/// Cost        O(n log n), a copy of the input.
/// Numerics    sums in double.
/// Source      docs/formulas.md#duration-curve. This is for video: for texts the lectures multiply
///             by a rising curve instead.
template <class T = float>
duration_curve<T> fit_duration_curve(std::span<const std::type_identity_t<T>> lengths,
                                     std::span<const std::type_identity_t<T>> completions,
                                     const duration_curve_options& options = {}) {
  const std::size_t n = lengths.size();
  detail::require_size("fit_duration_curve", "completions", completions.size(), "lengths", n);
  detail::require_each("fit_duration_curve", "lengths", lengths, "a finite number above 0",
                       [](T v) { return v > 0 && v <= std::numeric_limits<T>::max(); });
  detail::require_unit_interval("fit_duration_curve", "completions", completions);
  if (n == 0) detail::fail("funnel::fit_duration_curve: lengths is empty");
  if (options.bins == 0) detail::fail("funnel::fit_duration_curve: bins is 0, expected 1 or more");
  if (!(options.prior_plays >= 0 && std::isfinite(options.prior_plays)))
    detail::fail("funnel::fit_duration_curve: prior_plays is ", options.prior_plays,
                 ", expected a finite number of 0 or more");

  struct play {
    T length, completion;
  };
  std::vector<play> plays(n);
  double total = 0;
  for (std::size_t i = 0; i < n; ++i) {
    plays[i] = {lengths[i], completions[i]};
    total += static_cast<double>(completions[i]);
  }
  const double overall = total / static_cast<double>(n);
  std::sort(plays.begin(), plays.end(),
            [](const play& a, const play& b) { return a.length < b.length; });

  std::vector<T> medians, means, weights;
  std::size_t bin = 0;  // where it begins
  const auto close_bin = [&](std::size_t end) {
    if (end == bin) return;
    double sum = 0;
    for (std::size_t i = bin; i < end; ++i) sum += static_cast<double>(plays[i].completion);
    const double count = static_cast<double>(end - bin);
    medians.push_back(plays[bin + (end - bin) / 2].length);
    means.push_back(
        static_cast<T>((sum + options.prior_plays * overall) / (count + options.prior_plays)));
    weights.push_back(static_cast<T>(count));
    bin = end;
  };
  // More bins than plays cut at every length, as n bins do.
  detail::for_each_quantile(
      n, std::min(options.bins, n),
      [&](std::size_t i, std::size_t j) { return plays[i].length == plays[j].length; },
      [&](std::size_t begin, std::size_t rank, std::size_t end) {
        close_bin(detail::nearer_cut(begin, rank, end));
      });
  close_bin(n);
  return duration_curve<T>(
      fit_isotonic<T>(medians, means, weights, {.direction = isotonic_direction::decreasing}),
      options);
}

}  // namespace funnel
