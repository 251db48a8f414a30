// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/key_sums.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/log1p.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/features/window_counters.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel::detail {

/// The keys of the four sides of a row.
using row_keys = std::array<std::span<const std::uint64_t>, sides>;

/// The key that some keys make together; missing_key if one of them is missing.
inline std::uint64_t joined_key(const row_keys& keys, std::span<const key_part> parts) {
  std::uint64_t joined = keys[parts[0].side][parts[0].key];
  if (joined == missing_key) return missing_key;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::uint64_t next = keys[parts[i].side][parts[i].key];
    if (next == missing_key) return missing_key;
    joined = mix_key(mix_key(joined) ^ next);
  }
  return joined == missing_key ? 0 : joined;
}

/// ln(r / (1 - r)), for rates that may be 0 or 1.
inline float log_odds(double rate) {
  const float r = static_cast<float>(std::clamp(rate, 1e-4, 1 - 1e-4));
  return std::log(r / (1 - r));
}

/// The counters of a schema: what `feature_state` knows of past events, but for the histories.
///
/// A row of a log has one place for each counter: the row of its key in the sums, or the key itself
/// for counters by period. It is looked up once, to read the counter and later to count the event.
class event_counters {
 public:
  event_counters() = default;
  explicit event_counters(const feature_plan& plan) {
    sums_.resize(plan.sums);
    windows_.resize(plan.windows, window_counters(0));
    for (const counter_plan& c : plan.counters) {
      if (c.sums != no_index) sums_[c.sums] = key_sums(c.actions.size());
      if (c.windows != no_index)
        windows_[c.windows] =
            window_counters(c.actions.size(), {.periods = std::ranges::max(c.lengths)});
    }
    for (const activity_plan& a : plan.activities)
      windows_[a.windows] = window_counters(0, {.periods = a.days});
  }

  /// Finds the places of a side's counters. Keys that are new are added.
  void add_places(const feature_plan& plan, std::size_t side, const row_keys& keys,
                  std::span<std::uint64_t> places) {
    find_keys(plan, side, keys, places);
    for (const std::size_t i : plan.counters_of[side])
      if (const std::size_t sums = plan.counters[i].sums; sums != no_index)
        places[i] = located(sums_[sums], sums_[sums].add_row(places[i]));
    // So that counting the event needs no memory.
    for (const std::size_t i : plan.counters_of[side])
      if (plan.counters[i].kind == counter_kind::window && places[i] != missing_key)
        windows_[plan.counters[i].windows].reserve(places[i]);
    for (const std::size_t i : plan.activities_of[side])
      if (const std::uint64_t key = places[plan.counters.size() + i]; key != missing_key)
        windows_[plan.activities[i].windows].reserve(key);
  }
  /// The same without adding keys.
  void find_places(const feature_plan& plan, std::size_t side, const row_keys& keys,
                   std::span<std::uint64_t> places) const {
    find_keys(plan, side, keys, places);
    for (const std::size_t i : plan.counters_of[side])
      if (const std::size_t sums = plan.counters[i].sums; sums != no_index)
        places[i] =
            located(sums_[sums], places[i] == missing_key ? 0 : sums_[sums].find_row(places[i]));
  }

  /// Counts an event, whose places were added. `amounts` are those of the plan's actions. Allocates
  /// no memory.
  void count(const schema& features, std::span<const std::uint64_t> places,
             std::span<const float> amounts, std::int64_t time) {
    const feature_plan& plan = features.plan();
    const std::int64_t tick = local_ticks(features.options(), time);
    for (std::size_t i = 0; i < plan.counters.size(); ++i) {
      const counter_plan& c = plan.counters[i];
      if (c.kind == counter_kind::window) {
        if (places[i] == missing_key) continue;
        std::array<float, most_window_actions> of_window;
        for (std::size_t a = 0; a < c.actions.size(); ++a) of_window[a] = amounts[c.actions[a]];
        windows_[c.windows].add(places[i], floor_divided(tick, c.period_ticks),
                                std::span(of_window).first(c.actions.size()));
      } else if (c.kind != counter_kind::item_stock) {
        sums_[c.sums].count(static_cast<std::uint32_t>(places[i]), amounts, c.actions);
      }
    }
    for (std::size_t i = 0; i < plan.activities.size(); ++i) {
      const std::uint64_t key = places[plan.counters.size() + i];
      if (key != missing_key)
        windows_[plan.activities[i].windows].add(
            key, floor_divided(tick, day_ticks(features.options())), {});
    }
  }
  /// Makes room for an item, so that `count_item` allocates no memory.
  void reserve_item(const feature_plan& plan, std::span<const std::uint64_t> keys) {
    for (const counter_plan& c : plan.counters)
      if (c.kind == counter_kind::item_stock)
        sums_[c.sums].add_row(joined_key({{{}, keys, {}, {}}}, c.keys));
  }
  /// Counts a new item.
  void count_item(const feature_plan& plan, std::span<const std::uint64_t> keys) {
    for (const counter_plan& c : plan.counters)
      if (c.kind == counter_kind::item_stock) {
        const std::uint64_t key = joined_key({{{}, keys, {}, {}}}, c.keys);
        if (key != missing_key) sums_[c.sums].count(sums_[c.sums].find_row(key), {}, {});
      }
  }
  /// Errors      format_error if a place of an event is not there.
  void refuse_unknown_places(const feature_plan& plan,
                             std::span<const std::uint64_t> places) const {
    for (std::size_t i = 0; i < plan.counters.size(); ++i)
      if (const std::size_t sums = plan.counters[i].sums;
          sums != no_index && places[i] >= sums_[sums].rows())
        throw format_error("the events of a feature state are damaged: a key is unknown");
  }

  /// Writes the numbers of the counters and the activity classes of a side, before scaling.
  void write(const schema& features, std::size_t side, std::span<const std::uint64_t> places,
             std::int64_t time, std::span<float> numbers, std::span<std::uint32_t> codes) const {
    const feature_plan& plan = features.plan();
    const std::int64_t tick = local_ticks(features.options(), time);
    for (const std::size_t i : plan.counters_of[side]) {
      const counter_plan& c = plan.counters[i];
      float* out = numbers.data() + c.offset;
      if (c.kind == counter_kind::rate) {
        write_rate(c, static_cast<std::uint32_t>(places[i]), out);
      } else if (c.kind == counter_kind::window) {
        write_windows(c, places[i], tick, out);
      } else {
        const double* sums = sums_[c.sums].sums(static_cast<std::uint32_t>(places[i]));
        out[0] = log1p_count(static_cast<float>(sums[c.actions.empty() ? 0 : 1]));
      }
    }
    for (const std::size_t i : plan.activities_of[side]) {
      const activity_plan& a = plan.activities[i];
      const std::uint64_t key = places[plan.counters.size() + i];
      const std::int64_t day = floor_divided(tick, day_ticks(features.options()));
      const std::size_t days =
          key == missing_key ? 0 : windows_[a.windows].active_periods(key, day, a.days);
      codes[a.category] = static_cast<std::uint32_t>(
          1 + (std::ranges::upper_bound(a.bounds, days) - a.bounds.begin()));
    }
  }

  void visit_state(auto&& visit) {
    visit("sums", sums_);
    visit("windows", windows_);
  }

 private:
  static std::int64_t local_ticks(const schema_options& options, std::int64_t time) {
    return time + options.utc_offset * options.ticks_per_second;
  }
  static std::int64_t day_ticks(const schema_options& options) {
    return 86400 * options.ticks_per_second;
  }

  /// Sets the places of a side to its keys, and asks for the memory that looking them up reads: the
  /// tables are larger than the caches, and one request after another would wait for each.
  void find_keys(const feature_plan& plan, std::size_t side, const row_keys& keys,
                 std::span<std::uint64_t> places) const {
    for (const std::size_t i : plan.counters_of[side]) {
      places[i] = joined_key(keys, plan.counters[i].keys);
      if (const std::size_t sums = plan.counters[i].sums; sums != no_index)
        sums_[sums].prefetch_key(places[i]);
    }
    for (const std::size_t i : plan.activities_of[side])
      places[plan.counters.size() + i] = joined_key(keys, plan.activities[i].keys);
  }
  FUNNEL_INLINE static std::uint64_t located(const key_sums& sums, std::uint32_t row) {
    sums.prefetch_sums(row);
    return row;
  }

  void write_rate(const counter_plan& c, std::uint32_t row, float* out) const {
    const key_sums& counts = sums_[c.sums];
    const double* sums = counts.sums(row);
    const double* totals = counts.totals();
    const std::size_t of = c.per == no_index ? 0 : 1 + c.per;
    const double n = sums[of];
    const double all = totals[of];
    out[0] = log1p_count(static_cast<float>(n));
    const double weight = n + c.prior_strength;
    for (std::size_t a = 0; a < c.rates; ++a) {
      const double mean = all > 0 ? totals[1 + a] / all : 0;
      const double rate = weight > 0 ? (sums[1 + a] + c.prior_strength * mean) / weight : mean;
      out[1 + a] = c.log_odds ? log_odds(rate) : static_cast<float>(rate);
    }
  }
  void write_windows(const counter_plan& c, std::uint64_t key, std::int64_t tick,
                     float* out) const {
    std::array<double, 1 + most_window_actions> room;
    const std::span<double> sums = std::span(room).first(1 + c.actions.size());
    for (const std::uint32_t length : c.lengths) {
      std::ranges::fill(sums, 0.0);
      if (key != missing_key)
        windows_[c.windows].sums(key, floor_divided(tick, c.period_ticks), length, sums);
      for (const double sum : sums) *out++ = log1p_count(static_cast<float>(sum));
    }
  }

  std::vector<key_sums> sums_;
  std::vector<window_counters> windows_;
};

}  // namespace funnel::detail
