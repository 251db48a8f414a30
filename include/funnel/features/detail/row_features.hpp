// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/detail/event_counters.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/fit_values.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/elementwise.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

// The features of a row at a time, the same for a replayed log and a request.
namespace funnel::detail {

/// Whether a category of a user or an item depends on the time of the row.
inline bool is_moving(const category_plan& c) {
  return c.source == category_source::activity || c.age != no_index;
}

/// Writes the numbers of a row that do not come from counters, before they are scaled, and its
/// categories that depend on the age of a user or an item.
///
/// `simple` and `times` are those of the user, the item, or the row.
inline void write_simple(const schema& features, std::size_t side, std::int64_t time,
                         std::span<const float> simple, std::span<const std::int64_t> times,
                         std::span<float> numbers, std::span<std::uint32_t> codes) {
  const side_plan& of = features.plan().of[side];
  std::ranges::copy(simple, numbers.begin());
  if (of.ages.empty()) return;
  for (const number_plan& n : of.numbers) {
    if (n.source != number_source::age) continue;
    numbers[n.offset] = raw_number(age_in_hours(features.options(), time, times[n.age]), n.log1p);
    numbers[n.missing_offset] = times[n.age] == no_time ? 1.f : 0.f;
  }
  for (std::size_t i = 0; i < of.categories.size(); ++i) {
    const category_plan& c = of.categories[i];
    if (c.age != no_index)
      codes[i] = bucket_code(features, c, age_in_hours(features.options(), time, times[c.age]));
  }
}

/// Takes the logarithms of numbers that counters wrote.
inline void take_logarithms(std::span<float> numbers, const plan_range& of) {
  log_kernel(default_arch{}, numbers.data() + of.begin, numbers.data() + of.begin,
             of.end - of.begin);
}

/// Writes all numbers of a row, before they are scaled, and its categories that depend on the time.
inline void write_row(const schema& features, std::size_t side, const event_counters& counters,
                      std::span<const std::uint64_t> places, std::int64_t time,
                      std::span<const float> simple, std::span<const std::int64_t> times,
                      std::span<float> numbers, std::span<std::uint32_t> codes) {
  write_simple(features, side, time, simple, times, numbers, codes);
  const feature_plan& plan = features.plan();
  const auto windows = places.subspan(plan.sums.size());
  for (const counter_plan& c : plan.of[side].counters)
    counters.write(features, c, (c.kind == counter_kind::window ? windows : places)[c.counts], time,
                   numbers);
  for (const activity_plan& a : plan.of[side].activities)
    codes[a.category] = counters.activity_class(features, a, windows[a.counts], time);
  for (const plan_range& r : plan.of[side].logarithms) take_logarithms(numbers, r);
}

/// 1 for each number of a side that is standardized, 0 for the others.
inline std::vector<std::uint8_t> scaled_numbers(const feature_plan& plan, std::size_t side) {
  std::vector<std::uint8_t> scaled(plan.of[side].scaled_width, 1);
  for (const number_plan& n : plan.of[side].numbers) {
    scaled[n.offset] = n.scaled ? 1 : 0;
    if (n.missing_offset != no_index) scaled[n.missing_offset] = 0;
  }
  return scaled;
}

/// The limit of each number of a side.
inline std::vector<float> number_limits(const schema& features, std::size_t side) {
  std::vector<float> limits;
  for (const std::uint8_t scaled : scaled_numbers(features.plan(), side))
    limits.push_back(scaled != 0 ? features.options().number_limit
                                 : std::numeric_limits<float>::max());
  return limits;
}

}  // namespace funnel::detail
