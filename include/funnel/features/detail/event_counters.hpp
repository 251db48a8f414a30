// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/key_sums.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/features/window_counters.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel::detail {

/// The keys of the four sides of a row.
using row_keys = std::array<std::span<const std::uint64_t>, sides>;

/// The key that two keys make together; missing_key if one of them is missing.
inline std::uint64_t joined_key(std::uint64_t first, std::uint64_t second) {
  if (first == missing_key || second == missing_key) return missing_key;
  const std::uint64_t joined = mix_key(mix_key(first) ^ second);
  return joined == missing_key ? 0 : joined;
}
inline std::uint64_t joined_key(const row_keys& keys, std::span<const key_part> parts) {
  std::uint64_t joined = keys[parts[0].side][parts[0].key];
  for (const key_part& part : parts.subspan(1))
    joined = joined_key(joined, keys[part.side][part.key]);
  return joined;
}

/// The odds a / b of a rate a / (a + b), in [1e-4, 1 - 1e-4].
inline double clamped_odds(double a, double b) {
  constexpr double least = 1e-4 / (1 - 1e-4);
  return b > least * a ? std::max(a / b, least) : 1 / least;
}

/// The counters of a schema: what `feature_state` knows of past events, but for the histories.
///
/// A row of a log has one place for each of the plan's counts: the row of its key in the sums, or the
/// key itself for windows. It is looked up once, to read the counters and later to count the event.
class event_counters {
 public:
  event_counters() = default;
  explicit event_counters(const feature_plan& plan) {
    for (const counts_plan& s : plan.sums) sums_.emplace_back(s.actions.size());
    for (const counts_plan& w : plan.windows)
      windows_.emplace_back(w.actions.size(), window_options{.periods = w.periods});
  }

  /// Finds the places of a side. Keys that are new are added.
  void add_places(const feature_plan& plan, std::size_t side, const row_keys& keys,
                  std::span<std::uint64_t> places) {
    const side_plan& of = plan.of[side];
    // The tables are larger than the caches: ask for all that is read before waiting for it.
    for (std::size_t s = of.sums.begin; s < of.sums.end; ++s) {
      places[s] = joined_key(keys, plan.sums[s].keys);
      sums_[s].prefetch_key(places[s]);
    }
    for (std::size_t s = of.sums.begin; s < of.sums.end; ++s) {
      const std::uint32_t row = sums_[s].add_row(places[s]);
      sums_[s].prefetch_sums(row);
      places[s] = row;
    }
    // So that counting the event needs no memory.
    for (std::size_t w = of.windows.begin; w < of.windows.end; ++w) {
      const std::uint64_t key = joined_key(keys, plan.windows[w].keys);
      places[sums_.size() + w] = key;
      if (key != missing_key) windows_[w].reserve(key);
    }
  }
  const key_sums& sums(std::size_t i) const { return sums_[i]; }
  /// Counts an event, whose places were added. `amounts` are those of the plan's actions. Allocates
  /// no memory.
  void count(const schema& features, std::span<const std::uint64_t> places,
             std::span<const float> amounts, std::int64_t time) {
    const feature_plan& plan = features.plan();
    for (std::size_t s = 0; s < sums_.size(); ++s)
      if (!plan.sums[s].of_items)
        sums_[s].count(static_cast<std::uint32_t>(places[s]), amounts, plan.sums[s].actions);
    const std::int64_t tick = local_ticks(features.options(), time);
    for (std::size_t w = 0; w < windows_.size(); ++w) {
      const std::uint64_t key = places[sums_.size() + w];
      if (key == missing_key) continue;
      const counts_plan& of = plan.windows[w];
      std::array<float, most_window_actions> picked;
      for (std::size_t a = 0; a < of.actions.size(); ++a) picked[a] = amounts[of.actions[a]];
      windows_[w].add(key, floor_divided(tick, of.period_ticks),
                      std::span(picked).first(of.actions.size()));
    }
  }
  /// Makes room for an item, so that `count_item` allocates no memory.
  void reserve_item(const feature_plan& plan, std::span<const std::uint64_t> keys) {
    for (std::size_t s = 0; s < sums_.size(); ++s)
      if (plan.sums[s].of_items)
        sums_[s].add_row(joined_key({{{}, keys, {}, {}}}, plan.sums[s].keys));
  }
  /// Counts a new item.
  void count_item(const feature_plan& plan, std::span<const std::uint64_t> keys) {
    for (std::size_t s = 0; s < sums_.size(); ++s)
      if (plan.sums[s].of_items) {
        const std::uint64_t key = joined_key({{{}, keys, {}, {}}}, plan.sums[s].keys);
        sums_[s].count(sums_[s].find_row(key), {}, {});
      }
  }
  /// Errors      format_error if a place of an event is not there.
  void refuse_unknown_places(std::span<const std::uint64_t> places) const {
    for (std::size_t s = 0; s < sums_.size(); ++s)
      if (places[s] >= sums_[s].rows())
        throw format_error("the events of a feature state are damaged: a key is unknown");
  }

  /// Writes the numbers of a counter of a side, before scaling and before the logarithms of the plan.
  void write(const schema& features, const counter_plan& c, std::uint64_t place, std::int64_t time,
             std::span<float> numbers) const {
    float* out = numbers.data() + c.offset;
    if (c.kind == counter_kind::window)
      return write_windows(c, features.plan().windows[c.counts], place,
                           local_ticks(features.options(), time), out);
    const key_sums& counts = sums_[c.counts];
    const double* sums = counts.sums(static_cast<std::uint32_t>(place));
    if (c.kind == counter_kind::rate)
      write_rates(c, sums, counts.totals(), counts.rows() - 1, out);
    else
      *out = one_plus(sums[c.actions.empty() ? 0 : 1 + c.actions[0]]);
  }
  /// The activity class of a key.
  std::uint32_t activity_class(const schema& features, const activity_plan& a, std::uint64_t key,
                               std::int64_t time) const {
    const std::int64_t day = floor_divided(local_ticks(features.options(), time),
                                           features.plan().windows[a.counts].period_ticks);
    const std::size_t days =
        key == missing_key ? 0 : windows_[a.counts].active_periods(key, day, a.days);
    return static_cast<std::uint32_t>(
        1 + (std::ranges::upper_bound(a.bounds, days) - a.bounds.begin()));
  }

  void visit_state(auto&& visit) {
    visit("sums", sums_);
    visit("windows", windows_);
  }

 private:
  static std::int64_t local_ticks(const schema_options& options, std::int64_t time) {
    return time + options.utc_offset * options.ticks_per_second;
  }

  /// What the logarithm of a count is taken of; a sum of amounts may be negative or NaN.
  static float one_plus(double count) { return static_cast<float>(count > 0 ? 1 + count : 1); }

  /// The rates of a key are drawn toward those of all keys, and are theirs if nothing is known of it.
  /// If nothing is known of any key they are missing (NaN): the mean of the rows, once scaled.
  static void write_rates(const counter_plan& c, const double* sums, const double* totals,
                          std::size_t keys, float* out) {
    const std::size_t counted = c.per == no_index ? 0 : 1 + c.per;
    const double n = sums[counted], all = totals[counted];
    *out++ = one_plus(!c.relative ? n : all > 0 ? n * static_cast<double>(keys) / all : 0);
    if (!(n > 0 || all > 0)) {
      std::fill_n(out, c.actions.size(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    double own = 1, share = all > 0 ? c.prior_strength / all : 0, whole = n + c.prior_strength;
    if (!(whole > 0)) {
      own = 0;
      share = all > 0 ? 1 : 0;
      whole = all > 0 ? all : 1;
    }
    // What a relative rate is compared with: the rate of all keys, of which something is known here.
    const double of_all = c.relative && all > 0 ? 1 / all : 0;
    for (const std::size_t a : c.actions) {
      const double amount = own * sums[1 + a] + share * totals[1 + a];
      const double total = totals[1 + a];
      if (!c.log_odds)
        *out++ = static_cast<float>(amount / whole - of_all * total);
      else if (of_all == 0)
        *out++ = static_cast<float>(clamped_odds(amount, whole - amount));
      else
        *out++ = static_cast<float>(clamped_odds(amount, whole - amount) /
                                    clamped_odds(total, all - total));
    }
  }
  void write_windows(const counter_plan& c, const counts_plan& counts, std::uint64_t key,
                     std::int64_t tick, float* out) const {
    std::array<double, 1 + most_window_actions> room;
    const std::span<double> sums = std::span(room).first(1 + counts.actions.size());
    for (const std::uint32_t length : c.lengths) {
      std::ranges::fill(sums, 0.0);
      if (key != missing_key)
        windows_[c.counts].sums(key, floor_divided(tick, counts.period_ticks), length, sums);
      *out++ = one_plus(sums[0]);
      for (const std::size_t a : c.actions) *out++ = one_plus(sums[1 + a]);
    }
  }

  std::vector<key_sums> sums_;
  std::vector<window_counters> windows_;
};

}  // namespace funnel::detail
