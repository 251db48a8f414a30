// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/nn/detail/request_rows.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel::detail {

/// The events of each candidate: n candidates share one list, or have one list each, or share the
/// list of their request.
struct event_lists {
  std::span<const std::uint32_t> offsets;
  std::size_t candidates;
  /// The list of each candidate; null if there is one list for all, or one for each.
  const std::uint32_t* of_row = nullptr;

  /// The list of candidate i.
  std::size_t list(std::size_t i) const {
    return offsets.size() == 2 ? 0 : of_row == nullptr ? i : of_row[i];
  }
  std::size_t begin(std::size_t i) const { return offsets[list(i)]; }
  std::size_t size(std::size_t i) const { return offsets[list(i) + 1] - begin(i); }
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
      const std::size_t first = begin(i);
      for (std::size_t j = 0; j < size(i); ++j) visit(pair++, i, first + j);
    }
  }
};

/// The lists of n candidates, after checking shapes and offsets.
///
/// Errors      std::invalid_argument if the columns differ or the offsets are not those of one list,
///             of n lists, or of one list per request, that cover all events.
inline event_lists make_event_lists(const request_rows& requests, std::string_view function,
                                    std::size_t n, std::size_t d, std::size_t events,
                                    std::size_t event_cols,
                                    std::span<const std::uint32_t> offsets) {
  check_cols(function, "events", event_cols, d);
  const bool grouped = requests.match(offsets.size() - 1, n) && offsets.size() != n + 1;
  if (offsets.size() != 2 && offsets.size() != n + 1 && !grouped) {
    if (n > 0 && n == requests.rows())
      fail("funnel::", function, ": offsets has ", offsets.size(), " values, expected 2, ",
           requests.requests() + 1, " for ", requests.requests(), " requests, or ", n + 1, " for ",
           n, " candidates");
    fail("funnel::", function, ": offsets has ", offsets.size(), " values, expected 2, or ", n + 1,
         " for ", n, " candidates");
  }
  check_offsets(function, "offsets", offsets, events, "events");
  return {offsets, n, grouped ? requests.of_row() : nullptr};
}

/// Lists that n candidates share in any order, after checking the offsets of the lists and the numbers
/// of the candidates' lists.
///
/// Errors      std::invalid_argument if they do not fit.
inline event_lists make_shared_lists(std::string_view function, std::size_t n, std::size_t events,
                                     std::span<const std::uint32_t> offsets,
                                     std::span<const std::uint32_t> lists) {
  check_offsets(function, "offsets", offsets, events, "events");
  check_size(function, "lists", lists.size(), n, "candidates");
  const std::size_t count = offsets.size() - 1;
  for (std::size_t i = 0; i < n; ++i)
    if (lists[i] >= count)
      fail("funnel::", function, ": lists[", i, "] is ", lists[i], ", expected below ", count,
           ", the number of lists");
  return {offsets, n, lists.data()};
}

/// The number of events in the longest list.
inline std::size_t largest_list(std::span<const std::uint32_t> offsets) {
  std::size_t most = 0;
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    most = std::max<std::size_t>(most, offsets[i + 1] - offsets[i]);
  return most;
}

}  // namespace funnel::detail
