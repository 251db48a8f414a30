// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/state.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/key_sums.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/hashing.hpp>
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

  /// Counts an event. `amounts` are those of the plan's actions.
  void add(const schema& features, const row_keys& keys, std::span<const float> amounts,
           std::int64_t time) {
    const feature_plan& plan = features.plan();
    const std::int64_t tick = local_ticks(features.options(), time);
    for (const counter_plan& c : plan.counters) {
      if (c.kind == counter_kind::item_stock) continue;
      const std::uint64_t key = joined_key(keys, c.keys);
      if (key == missing_key) continue;
      if (c.kind == counter_kind::window) {
        floats_.clear();
        for (const std::size_t a : c.actions) floats_.push_back(amounts[a]);
        windows_[c.windows].add(key, floor_divided(tick, c.period_ticks), floats_);
      } else {
        doubles_.clear();
        for (const std::size_t a : c.actions) doubles_.push_back(static_cast<double>(amounts[a]));
        sums_[c.sums].add(key, doubles_);
      }
    }
    for (const activity_plan& a : plan.activities) {
      const std::uint64_t key = joined_key(keys, a.keys);
      if (key != missing_key)
        windows_[a.windows].add(key, floor_divided(tick, day_ticks(features.options())), {});
    }
  }
  /// Counts a new item.
  void add_item(const schema& features, std::span<const std::uint64_t> keys) {
    for (const counter_plan& c : features.plan().counters)
      if (c.kind == counter_kind::item_stock)
        sums_[c.sums].add(joined_key({{{}, keys, {}, {}}}, c.keys), {});
  }

  /// Writes the numbers of the counters and the activity classes of a side, before scaling.
  void write(const schema& features, std::size_t side, const row_keys& keys, std::int64_t time,
             std::span<float> numbers, std::span<std::uint32_t> codes) const {
    const feature_plan& plan = features.plan();
    const std::int64_t tick = local_ticks(features.options(), time);
    for (const counter_plan& c : plan.counters) {
      if (c.side != side) continue;
      const std::uint64_t key = joined_key(keys, c.keys);
      float* out = numbers.data() + c.offset;
      if (c.kind == counter_kind::rate) {
        write_rate(c, key, out);
      } else if (c.kind == counter_kind::window) {
        write_windows(c, key, tick, out);
      } else {
        const double* sums = sums_[c.sums].find(key);
        const double sum = sums[c.actions.empty() ? 0 : 1];
        out[0] = sum > 0 ? std::log1p(static_cast<float>(sum)) : 0.f;
      }
    }
    const side_plan& of = plan.of[side];
    for (std::size_t i = 0; i < of.categories.size(); ++i) {
      if (of.categories[i].source != category_source::activity) continue;
      const activity_plan& a = plan.activities[of.categories[i].counters];
      const std::uint64_t key = joined_key(keys, a.keys);
      const std::size_t days =
          key == missing_key ? 0
                             : windows_[a.windows].active_periods(
                                   key, floor_divided(tick, day_ticks(features.options())), a.days);
      codes[i] = static_cast<std::uint32_t>(
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

  void write_rate(const counter_plan& c, std::uint64_t key, float* out) const {
    const key_sums& counts = sums_[c.sums];
    const double* sums = counts.find(key);
    const double* totals = counts.totals();
    const std::size_t of = c.per == no_index ? 0 : 1 + c.per;
    const double n = sums[of];
    const double all = totals[of];
    out[0] = n > 0 ? std::log1p(static_cast<float>(n)) : 0.f;
    const double weight = n + c.prior_strength;
    for (std::size_t a = 0; a < c.rates; ++a) {
      const double mean = all > 0 ? totals[1 + a] / all : 0;
      const double rate = weight > 0 ? (sums[1 + a] + c.prior_strength * mean) / weight : mean;
      out[1 + a] = c.log_odds ? log_odds(rate) : static_cast<float>(rate);
    }
  }
  void write_windows(const counter_plan& c, std::uint64_t key, std::int64_t tick,
                     float* out) const {
    std::array<double, 64> room;
    const std::size_t width = 1 + c.actions.size();
    for (const std::uint32_t length : c.lengths) {
      std::span<double> sums(room.data(), width);
      std::ranges::fill(sums, 0.0);
      if (key != missing_key)
        windows_[c.windows].sums(key, floor_divided(tick, c.period_ticks), length, sums);
      for (const double sum : sums) *out++ = sum > 0 ? std::log1p(static_cast<float>(sum)) : 0.f;
    }
  }

  std::vector<key_sums> sums_;
  std::vector<window_counters> windows_;
  std::vector<float> floats_;
  std::vector<double> doubles_;
};

}  // namespace funnel::detail
