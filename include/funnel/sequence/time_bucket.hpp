// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {

/// Number of the bucket of an event's age on a logarithmic scale: 0 for less than one unit of time, b for
/// 2^(b - 1) to 2^b - 1 units. The last bucket also holds all older events.
///
///     bucket = min(floor(log2(now - time)) + 1, buckets - 1)
///
/// Shapes      `buckets` is 1 or more. With seconds, 32 buckets reach 34 years; 20 reach six days.
/// Units       any; an event after `now`, from a clock that is ahead, is in bucket 0.
/// Source      docs/formulas.md#time-buckets.
inline std::uint32_t time_bucket(std::int64_t now, std::int64_t time, std::size_t buckets) {
  detail::check_at_least_one("time_bucket", "buckets", buckets);
  if (time >= now) return 0;
  const std::uint64_t age = static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(time);
  const auto bucket = static_cast<std::uint32_t>(std::bit_width(age));
  return buckets > bucket ? bucket : static_cast<std::uint32_t>(buckets - 1);
}

/// The buckets of all events of histories.
///
/// Shapes      now [R], one per history; times and result [m]; offsets [R + 1].
/// Errors      std::invalid_argument if sizes or offsets do not fit.
inline void time_buckets(std::span<const std::int64_t> now, std::span<const std::int64_t> times,
                         std::span<const std::uint32_t> offsets, std::size_t buckets,
                         std::span<std::uint32_t> result) {
  detail::check_at_least_one("time_buckets", "buckets", buckets);
  detail::check_size("time_buckets", "result", result.size(), times.size(), "times");
  detail::check_offsets("time_buckets", "offsets", offsets, times.size(), "times");
  detail::check_size("time_buckets", "now", now.size(), offsets.size() - 1, "offsets, less 1");
  for (std::size_t r = 0; r < now.size(); ++r)
    for (std::size_t i = offsets[r]; i < offsets[r + 1]; ++i)
      result[i] = time_bucket(now[r], times[i], buckets);
}

}  // namespace funnel
