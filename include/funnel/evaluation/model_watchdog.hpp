// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/evaluation/bootstrap.hpp>
#include <funnel/evaluation/number_column.hpp>
#include <funnel/evaluation/report.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `model_watchdog`.
struct model_watchdog_options {
  /// Number of days in a row on which the main model must be better before the special model is to be
  /// retired, and over which its lead is averaged; 1 or more. m.
  std::size_t days = 7;
  /// Lead in AUC that makes the special model worth its upkeep: 0 or more, below 1. x.
  double least_lead = .0005;
  /// Of the interval of each day.
  bootstrap_options bootstrap = {};
};

/// One day of one segment, as `model_watchdog` keeps it.
struct watched_day {
  std::int64_t day = 0;
  /// AUC of the special model less that of the main model, with its interval; `low` and `high` are
  /// NaN if the AUC exists on too few resamples.
  bootstrap_interval lead = {};
};

/// What `model_watchdog` advises for a segment.
enum class watch_advice {
  /// There are fewer than m days yet.
  wait,
  /// The special model leads by `least_lead` or more.
  keep,
  /// The mean lead of the last m days is below `least_lead`.
  retire_no_lead,
  /// On each of the last m days the main model was better, with an interval below 0.
  retire_main_better,
};

/// Watches special models, each trained for one segment of users, against the main model: the AUC of
/// both on the same rows, day by day, and when to retire a special model (a champion-challenger
/// comparison in which the main model is the challenger).
///
/// A special model often wins when it starts. The main model is worked on and goes on to improve; the
/// special one is forgotten, and nobody notices when it falls behind. So score the segment's rows
/// with both models every day, and ask.
///
///     lead = AUC(special) - AUC(main)          per day and segment, by paired bootstrap over users
///     retire if high < 0 on each of the last m days, or if the mean lead of these days < x
///
/// Order       days are added in ascending order; a day on which a segment has no AUC, for want of
///             positives or negatives, is left out for that segment.
/// Errors      std::invalid_argument if there is no segment, an option is outside its range, or a
///             segment is outside [0, segments). Nothing is changed then.
/// Cost        that of `paired_bootstrap` per segment and day.
/// Source      docs/formulas.md#watching-a-special-model.
class model_watchdog {
 public:
  explicit model_watchdog(std::size_t segments = 1, const model_watchdog_options& options = {})
      : options_(options) {
    constexpr std::string_view name = "model_watchdog";
    detail::check_at_least_one(name, "segments", segments);
    detail::check_at_least_one(name, "days", options.days);
    detail::check_fraction(name, "least_lead", options.least_lead);
    detail::check_bootstrap(name, options.bootstrap);
    segments_.resize(
        detail::array_size<std::vector<watched_day>>("funnel::model_watchdog: segments", segments));
  }

  model_watchdog(const model_watchdog&) = default;
  model_watchdog(model_watchdog&&) noexcept = default;
  /// Copies the whole object; if memory runs out, this object is unchanged.
  model_watchdog& operator=(const model_watchdog& other) {
    *this = model_watchdog(other);
    return *this;
  }
  model_watchdog& operator=(model_watchdog&&) noexcept = default;

  std::size_t segments() const { return segments_.size(); }
  const model_watchdog_options& options() const { return options_; }

  /// Adds the rows of a day, of any number of segments, scored by both models.
  ///
  /// Shapes      segments, users, special, main and labels [n]; n may be 0. Rows whose label is NaN
  ///             are left out.
  /// Units       day: any number that rises, such as days since 1970. Scores of the two models may be
  ///             on different scales, as only their order counts.
  /// Errors      std::invalid_argument also if the day is not after the last one, the sizes differ,
  ///             or a label is not 0, 1 or NaN.
  template <Executor E>
  void add_day(E& executor, std::int64_t day, std::span<const std::uint32_t> segments,
               std::span<const user_id> users, const number_column& special,
               const number_column& main, const number_column& labels) {
    constexpr std::string_view name = "model_watchdog::add_day";
    const std::size_t n = special.size();
    if (day <= last_day_)
      detail::fail_check(name, "day", " is ", day, ", expected after ", last_day_);
    detail::check_size(name, "segments", segments.size(), n, "special");
    detail::check_size(name, "users", users.size(), n, "special");
    detail::check_size(name, "main", main.size(), n, "special");
    detail::check_size(name, "labels", labels.size(), n, "special");
    std::vector<segment_rows> rows(segments_.size());
    for (std::size_t i = 0; i < n; ++i) {
      if (segments[i] >= segments_.size())
        detail::fail_check(name, "segments", "[", i, "] is ", segments[i], ", expected below ",
                           segments_.size(), ", the number of segments");
      if (const double label = labels[i]; label != 0 && label != 1 && !std::isnan(label))
        detail::fail_check(name, "labels", "[", i, "] is ", label,
                           ", expected 0 or 1, or NaN if it is missing");
      rows[segments[i]].add(users[i], special[i], main[i], labels[i]);
    }

    std::vector<std::vector<watched_day>> next = segments_;
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      const segment_rows& of = rows[s];
      if (of.users.empty()) continue;
      const bootstrap_interval lead = paired_bootstrap(executor, of.users, of.special, of.main,
                                                       of.labels, auc_metric(), options_.bootstrap);
      if (!std::isnan(lead.value)) next[s].push_back({day, lead});
    }
    segments_ = std::move(next);
    last_day_ = day;
  }
  void add_day(std::int64_t day, std::span<const std::uint32_t> segments,
               std::span<const user_id> users, const number_column& special,
               const number_column& main, const number_column& labels) {
    serial_executor serial;
    add_day(serial, day, segments, users, special, main, labels);
  }

  /// The days of a segment, oldest first.
  ///
  /// Errors      std::invalid_argument if there is no such segment; so do the next two.
  std::span<const watched_day> days(std::size_t segment) const {
    detail::check_below("model_watchdog::days", "segment", segment, segments());
    return segments_[segment];
  }

  /// The mean lead of the special model over the last m days of a segment, or all if there are fewer.
  /// Its negative is what the segment gains in AUC from switching back to the main model. NaN without
  /// a day.
  double lead(std::size_t segment) const {
    const std::span<const watched_day> last = last_days(segment);
    double sum = 0;
    for (const watched_day& d : last) sum += d.lead.value;
    return last.empty() ? std::numeric_limits<double>::quiet_NaN()
                        : sum / static_cast<double>(last.size());
  }

  /// Whether to go on serving a segment by its special model.
  watch_advice advice(std::size_t segment) const {
    const std::span<const watched_day> last = last_days(segment);
    if (last.size() < options_.days) return watch_advice::wait;
    if (std::ranges::all_of(last, [](const watched_day& d) { return d.lead.high < 0; }))
      return watch_advice::retire_main_better;
    return lead(segment) < options_.least_lead ? watch_advice::retire_no_lead : watch_advice::keep;
  }

  /// Sets days, lead, low and high of the last day, and retire (0 or 1) of each segment in a report;
  /// the name of segment s is names[s], or "all" if there is one segment and no name.
  ///
  /// Errors      std::invalid_argument if there is not one name per segment; and as `report::merge`.
  void write(report& numbers, std::span<const std::string> names = {}) const {
    const bool alone = names.empty() && segments() == 1;
    if (!alone)
      detail::check_size("model_watchdog::write", "names", names.size(), segments(), "segments");
    report whole = numbers;
    for (std::size_t s = 0; s < segments(); ++s) {
      report part;
      part.set("days", static_cast<double>(segments_[s].size()));
      part.set("lead", lead(s));
      const bootstrap_interval last =
          segments_[s].empty() ? bootstrap_interval{} : segments_[s].back().lead;
      part.set("low", last.low);
      part.set("high", last.high);
      const watch_advice found = advice(s);
      part.set("retire",
               found == watch_advice::retire_main_better || found == watch_advice::retire_no_lead
                   ? 1
                   : 0);
      whole.merge(alone ? "all" : std::string_view(names[s]), part);
    }
    numbers = std::move(whole);
  }

  /// The days so far; options are not saved. Throws a format_error if what was loaded is not a state,
  /// and is unchanged then.
  void visit_state(auto&& visit) {
    kept_days kept;
    if (!is_loading(visit)) kept = packed();
    visit("count", kept.count), visit("last_day", kept.last_day);
    visit("segments", kept.segments), visit("days", kept.days);
    visit("leads", kept.leads), visit("lows", kept.lows), visit("highs", kept.highs);
    visit("shares_above", kept.shares_above);
    visit("users", kept.users), visit("undefined", kept.undefined);
    if (is_loading(visit)) detail::check_loaded([&] { unpack(kept); });
  }

 private:
  struct segment_rows {
    std::vector<user_id> users;
    std::vector<double> special, main, labels;

    void add(user_id user, double of_special, double of_main, double label) {
      users.push_back(user);
      special.push_back(of_special);
      main.push_back(of_main);
      labels.push_back(label);
    }
  };

  std::span<const watched_day> last_days(std::size_t segment) const {
    const std::span<const watched_day> all = days(segment);
    return all.last(std::min(all.size(), options_.days));
  }

  /// All days in columns, segment by segment.
  struct kept_days {
    std::uint64_t count = 0;
    std::int64_t last_day = 0;
    std::vector<std::uint32_t> segments;
    std::vector<std::int64_t> days;
    std::vector<double> leads, lows, highs, shares_above;
    std::vector<std::uint64_t> users, undefined;
  };

  kept_days packed() const {
    kept_days kept;
    kept.count = segments_.size();
    kept.last_day = last_day_;
    for (std::uint32_t s = 0; s < segments_.size(); ++s)
      for (const auto& [day, lead] : segments_[s]) {
        kept.segments.push_back(s);
        kept.days.push_back(day);
        kept.leads.push_back(lead.value);
        kept.lows.push_back(lead.low);
        kept.highs.push_back(lead.high);
        kept.shares_above.push_back(lead.share_above);
        kept.users.push_back(lead.users);
        kept.undefined.push_back(lead.undefined);
      }
    return kept;
  }

  void unpack(const kept_days& kept) {
    constexpr std::string_view name = "model_watchdog";
    detail::check_that(name, "count", kept.count, kept.count > 0, "1 or more");
    const std::size_t n = kept.segments.size();
    for (const std::size_t size :
         {kept.days.size(), kept.leads.size(), kept.lows.size(), kept.highs.size(),
          kept.shares_above.size(), kept.users.size(), kept.undefined.size()})
      detail::check_size(name, "a column", size, n, "segments");
    std::vector<std::vector<watched_day>> loaded(detail::array_size<std::vector<watched_day>>(
        "funnel::model_watchdog: count", static_cast<std::size_t>(kept.count)));
    for (std::size_t i = 0; i < n; ++i) {
      detail::check_below(name, "a segment", kept.segments[i], loaded.size());
      std::vector<watched_day>& days = loaded[kept.segments[i]];
      const std::int64_t after =
          days.empty() ? std::numeric_limits<std::int64_t>::min() : days.back().day;
      if (kept.days[i] <= after || kept.days[i] > kept.last_day)
        detail::fail_check(name, "days", "[", i, "] is ", kept.days[i], ", expected after ", after,
                           ", at most ", kept.last_day);
      const double lead = kept.leads[i], low = kept.lows[i], high = kept.highs[i];
      const bool interval =
          (std::isnan(low) && std::isnan(high)) || (low >= -1 && low <= high && high <= 1);
      if (!(lead >= -1 && lead <= 1) || !interval)
        detail::fail_check(name, "leads", "[", i, "] is ", lead, " in [", low, ", ", high,
                           "], expected differences of AUC");
      days.push_back({kept.days[i],
                      {.value = lead,
                       .low = low,
                       .high = high,
                       .share_above = kept.shares_above[i],
                       .users = static_cast<std::size_t>(kept.users[i]),
                       .undefined = static_cast<std::size_t>(kept.undefined[i])}});
    }
    segments_ = std::move(loaded);
    last_day_ = kept.last_day;
  }

  model_watchdog_options options_;
  std::vector<std::vector<watched_day>> segments_;
  std::int64_t last_day_ = std::numeric_limits<std::int64_t>::min();  // no day yet
};

}  // namespace funnel
