// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel::detail {

/// The events of each candidate: a separate list per candidate, or one list for all if offsets has
/// 2 values.
struct event_lists {
  std::span<const std::uint32_t> offsets;
  std::size_t candidates;

  std::size_t begin(std::size_t i) const { return offsets[offsets.size() == 2 ? 0 : i]; }
  std::size_t size(std::size_t i) const {
    return offsets[offsets.size() == 2 ? 1 : i + 1] - begin(i);
  }
  std::size_t pairs() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < candidates; ++i) count += size(i);
    return count;
  }
  /// Calls visit(pair, candidate, event) for every pair, candidate by candidate.
  template <class Visit>
  void for_each_pair(Visit&& visit) const {
    std::size_t pair = 0;
    for (std::size_t i = 0; i < candidates; ++i) {
      for (std::size_t j = 0; j < size(i); ++j) visit(pair++, i, begin(i) + j);
    }
  }
};

/// Checks the shapes of candidates, events and offsets.
///
/// Errors      std::invalid_argument if the columns differ or the offsets are not those of n lists,
///             or of one list, that cover all events.
inline void check_event_lists(const char* name, std::size_t n, std::size_t d, std::size_t events,
                              std::size_t event_cols, std::span<const std::uint32_t> offsets) {
  if (event_cols != d) fail(name, ": events have ", event_cols, " columns, expected ", d);
  if (offsets.size() != 2 && offsets.size() != n + 1) {
    fail(name, ": offsets has ", offsets.size(), " values for ", n, " candidates, expected ", n + 1,
         " or 2");
  }
  if (offsets.front() != 0 || offsets.back() != events || !std::ranges::is_sorted(offsets))
    fail(name, ": offsets must rise from 0 to the number of events, ", events);
}

/// The number of events in the longest list.
inline std::size_t largest_list(std::span<const std::uint32_t> offsets) {
  std::size_t most = 0;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    most = std::max<std::size_t>(most, offsets[i + 1] - offsets[i]);
  return most;
}

}  // namespace funnel::detail
