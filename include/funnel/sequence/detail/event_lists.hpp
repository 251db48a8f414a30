// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

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
inline void check_event_lists(std::string_view function, std::size_t n, std::size_t d,
                              std::size_t events, std::size_t event_cols,
                              std::span<const std::uint32_t> offsets) {
  check_cols(function, "events", event_cols, d);
  if (offsets.size() != 2 && offsets.size() != n + 1) {
    fail("funnel::", function, ": offsets has ", offsets.size(), " values, expected 2, or ", n + 1,
         " for ", n, " candidates");
  }
  check_offsets(function, "offsets", offsets, events, "events");
}

/// The number of events in the longest list.
inline std::size_t largest_list(std::span<const std::uint32_t> offsets) {
  std::size_t most = 0;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    most = std::max<std::size_t>(most, offsets[i + 1] - offsets[i]);
  return most;
}

}  // namespace funnel::detail
