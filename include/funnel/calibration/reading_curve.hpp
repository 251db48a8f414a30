// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/duration_curve.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/state.hpp>

#include <cmath>
#include <cstddef>
#include <utility>

namespace funnel {

/// Length-adjusted completion of a text: the completion times a factor that increases with the
/// length. (The completion of a video is divided by a curve that decreases, see `duration_curve`.)
///
///     p_finish = min(p f(length), cap),   f(length) = mean / max(average completion at length, floor)
///
/// Long texts are read to the end less often than short ones of the same quality. The factor raises
/// them: it is 1 at the length whose average completion is the mean of all texts, so the mean
/// adjusted completion of every length is about this mean.
template <class T = float>
class reading_curve {
 public:
  /// A curve that is to be loaded; it returns NaN.
  reading_curve() = default;
  /// `average`: the average completion by length, with the floor and the cap. `mean`: the mean
  /// completion of all texts.
  ///
  /// Errors      std::invalid_argument if mean is not in [0, 1].
  reading_curve(duration_curve<T> average, T mean) : average_(std::move(average)), mean_(mean) {
    check();
  }

  const duration_curve<T>& average() const { return average_; }
  T mean() const { return mean_; }

  /// f(length): by how much the completion of a text of this length counts. NaN if `length` is NaN.
  T factor(T length) const { return mean_ / average_.expected(length); }
  /// `completion` times `factor(length)`, at most the cap. NaN if either argument is NaN.
  T adjust(T completion, T length) const {
    const T adjusted = completion * factor(length);
    return adjusted > average_.cap() ? average_.cap() : adjusted;
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a curve.
  void visit_state(auto&& visit) {
    visit("average", average_), visit("mean", mean_);
    if (is_loading(visit)) detail::check_loaded([&] { check(); });
  }

 private:
  void check() const { detail::check_unit_interval("reading_curve", "mean", mean_); }

  duration_curve<T> average_;
  T mean_ = 0;
};

/// Fits the factor of texts by their length: fits the average completion as `fit_duration_curve`
/// does, which has all shapes, units, options, errors and costs.
///
/// Source      docs/formulas.md#reading-curve.
template <detail::Numbers Lengths, detail::Numbers Completions>
reading_curve<detail::float_of<Lengths>>
fit_reading_curve(const Lengths& lengths, const Completions& completions,
                  const duration_curve_options& options = {}) {
  auto average = fit_duration_curve(lengths, completions, options);
  double sum = 0;
  const auto y = detail::as_span(completions);
  for (const auto completion : y) sum += static_cast<double>(completion);
  using t = detail::float_of<Lengths>;
  return {std::move(average), static_cast<t>(sum / static_cast<double>(y.size()))};
}

}  // namespace funnel
