// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/calibration/quantile_tables.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/quantile.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `fit_duration_quantiles`.
struct duration_quantiles_options {
  /// Number of groups of lengths, each with about the same number of plays; 1 or more.
  std::size_t groups = 20;
  /// Parts of equal probability in the table of each group, 1 to 65536.
  std::size_t levels = 100;
};

/// Watch-time quantiles by duration (D2Q, duration to quantile): the watch time of a video compared
/// with those of videos of about the same length.
///
///     label      q = F_g(t),        g the group of the video's length
///     estimate   t = F_g^-1(q)
///
/// F_g is the distribution of watch times in group g. A label is in [0, 1] and fair to every length:
/// its mean is about 1/2 in each group. A head learns the label, and its estimate becomes seconds
/// again by the quantiles of the video's group.
///
/// Source      docs/formulas.md#duration-to-quantile.
template <class T = float>
class duration_quantiles {
 public:
  /// Without groups; to be loaded. It returns NaN.
  duration_quantiles() = default;
  /// Restores it from the lengths at which groups 1, 2, ... begin and the tables of groups 0, 1, ...
  ///
  /// Errors      std::invalid_argument if the bounds are not finite and strictly increasing, or there
  ///             is not one table more than bounds.
  duration_quantiles(std::vector<T> bounds, quantile_tables<T> tables)
      : bounds_(std::move(bounds)), tables_(std::move(tables)) {
    check();
    detail::check_not_empty("duration_quantiles", "tables", tables_.tables());
  }
  duration_quantiles(const duration_quantiles&) = default;
  duration_quantiles(duration_quantiles&&) noexcept = default;
  /// Strong guarantee: if memory runs out, this object is unchanged.
  duration_quantiles& operator=(const duration_quantiles& other) {
    *this = duration_quantiles(other);
    return *this;
  }
  duration_quantiles& operator=(duration_quantiles&&) noexcept = default;

  std::size_t groups() const { return tables_.tables(); }
  /// The lengths at which groups 1, 2, ... begin.
  std::span<const T> bounds() const { return bounds_; }
  const quantile_tables<T>& tables() const { return tables_; }

  /// The group of a length: the last one that begins at or below it.
  std::size_t group(T length) const {
    return static_cast<std::size_t>(std::ranges::upper_bound(bounds_, length) - bounds_.begin());
  }
  /// The quantile of a watch time among videos of about this length, in [0, 1]. NaN if either is NaN.
  T quantile(T time, T length) const {
    if (std::isnan(length) || groups() == 0) return std::numeric_limits<T>::quiet_NaN();
    return tables_.quantile(group(length), time);
  }
  /// The quantiles of watch times [n] and lengths [n] in output [n]: the labels of a head.
  ///
  /// Errors      std::invalid_argument if the sizes differ, or a time or a length is negative or not
  ///             finite; nothing is written then.
  void labels(std::span<const T> times, std::span<const T> lengths, std::span<T> output) const {
    constexpr const char* name = "duration_quantiles::labels";
    detail::check_size(name, "lengths", lengths.size(), times.size(), "times");
    detail::check_size(name, "output", output.size(), times.size(), "times");
    detail::check_not_negative(name, "times", times);
    detail::check_not_negative(name, "lengths", lengths);
    for (std::size_t i = 0; i < times.size(); ++i) output[i] = quantile(times[i], lengths[i]);
  }
  /// The watch time at a quantile of videos of about this length. NaN if either is NaN.
  T time(T quantile, T length) const {
    if (std::isnan(length) || groups() == 0) return std::numeric_limits<T>::quiet_NaN();
    return tables_.value(group(length), quantile);
  }

  /// See `HasState`. Throws a format_error if bounds and tables that were loaded do not fit together.
  void visit_state(auto&& visit) {
    visit("bounds", bounds_), visit("tables", tables_);
    if (is_loading(visit)) detail::check_loaded([&] { check(); });
  }

 private:
  void check() const {
    constexpr const char* name = "duration_quantiles";
    detail::check_finite(name, "bounds", std::span<const T>(bounds_));
    for (std::size_t g = 1; g < bounds_.size(); ++g)
      if (bounds_[g] <= bounds_[g - 1])
        detail::fail("funnel::duration_quantiles: bounds[", g, "] is ", bounds_[g],
                     ", expected more than ", bounds_[g - 1], ", the one before");
    if (bounds_.empty() && tables_.tables() == 0) return;  // to be loaded
    detail::check_that(name, "tables", tables_.tables(), tables_.tables() == bounds_.size() + 1,
                       bounds_.size() + 1, ", one more than bounds");
    for (std::size_t g = 0; g < tables_.tables(); ++g)
      if (!tables_.fitted(g))
        detail::fail("funnel::duration_quantiles: table ", g, " is empty, expected a fitted table");
  }

  std::vector<T> bounds_;
  quantile_tables<T> tables_;
};

/// Fits the groups of lengths and the quantiles of watch time in each group, on training rows.
///
/// Plays are sorted by length and cut into groups of about equal size. The table of a group holds
/// the quantiles of its watch times.
///
/// Shapes      lengths [n], times [n]: one per play.
/// Units       lengths above 0 and times of 0 or more, each in any unit. The result has the type of
///             the lengths, or double if they are integers.
/// Order       plays of equal length share a group: a cut that would split them moves to the nearer
///             end of them. The order of the input does not matter.
/// Errors      std::invalid_argument if n is 0, the sizes differ, or a value or an option is outside
///             its range.
/// Cost        O(n log n); two copies of the input, and (levels + 1) numbers per group.
/// Source      docs/formulas.md#duration-to-quantile.
template <detail::Numbers Lengths, detail::Numbers Times>
duration_quantiles<detail::float_of<Lengths>>
fit_duration_quantiles(const Lengths& lengths, const Times& times,
                       const duration_quantiles_options& options = {}) {
  using t = detail::float_of<Lengths>;
  constexpr const char* name = "fit_duration_quantiles";
  const auto x = detail::as_span(lengths);
  const auto y = detail::as_span(times);
  const std::size_t n = x.size();
  detail::check_size(name, "times", y.size(), n, "lengths");
  detail::check_positive(name, "lengths", x);
  detail::check_not_negative(name, "times", y);
  detail::check_not_empty(name, "lengths", n);
  detail::check_at_least_one(name, "groups", options.groups);

  std::vector<std::pair<t, t>> plays(n);  // length, time
  for (std::size_t i = 0; i < n; ++i) plays[i] = {static_cast<t>(x[i]), static_cast<t>(y[i])};
  std::ranges::sort(plays);
  std::vector<std::size_t> begins{0};
  // More than n groups cut at the same places as n groups: between any two lengths.
  detail::for_each_quantile(
      n, std::min(options.groups, n),
      [&](std::size_t i, std::size_t j) { return plays[i].first == plays[j].first; },
      [&](std::size_t begin, std::size_t rank, std::size_t end) {
        const std::size_t cut = detail::nearer_cut(begin, rank, end);
        if (cut > begins.back() && cut < n) begins.push_back(cut);
      });
  std::vector<t> bounds, group;
  quantile_tables<t> tables(begins.size(), {.levels = options.levels});
  begins.push_back(n);
  for (std::size_t g = 0; g + 1 < begins.size(); ++g) {
    if (g > 0) bounds.push_back(plays[begins[g]].first);
    group.clear();
    for (std::size_t i = begins[g]; i < begins[g + 1]; ++i) group.push_back(plays[i].second);
    tables.fit(g, group);
  }
  return duration_quantiles<t>(std::move(bounds), std::move(tables));
}

}  // namespace funnel
