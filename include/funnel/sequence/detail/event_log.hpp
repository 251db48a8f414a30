// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/sequence/history_event.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel::detail {

/// The events of a user, oldest first in a ring. Each event knows how far back the one before it with
/// its category, or its cluster, is.
struct event_log {
  static constexpr std::int64_t end_of_time = std::numeric_limits<std::int64_t>::max();

  struct entry {
    history_event event;
    std::uint32_t category_step = 0;  // 0: there is none before
    std::uint32_t cluster_step = 0;
  };
  /// Events with a category, or a cluster, newest first.
  struct chain {
    std::uint64_t number;  // of the newest event that is left; 0: there is none
    std::uint32_t entry::*step;
  };

  std::vector<entry> ring;
  std::size_t begin = 0;          // place of the oldest event
  std::uint64_t appended = 0;     // events that were ever appended, which are numbered from 1
  std::uint64_t last_append = 0;  // key in the store's order of users

  std::size_t size() const { return ring.size(); }
  const entry& at(std::size_t position) const {
    const std::size_t place = begin + position;
    return ring[place < ring.size() ? place : place - ring.size()];
  }

  /// The number of events before a time.
  std::size_t count_before(std::int64_t time) const {
    std::size_t first = 0, end = size();
    while (first < end) {
      const std::size_t middle = first + (end - first) / 2;
      if (at(middle).event.time < time)
        first = middle + 1;
      else
        end = middle;
    }
    return first;
  }

  /// Writes the positions of the newest events of any of the chains, each once, newest first: the newest
  /// event of all is next, and each chain that has it goes one step back.
  template <std::size_t Chains>
  std::size_t follow(std::array<chain, Chains> chains, std::int64_t before,
                     std::span<std::uint32_t> positions) const {
    const std::uint64_t gone = appended - size();  // events 1 to `gone` have left
    std::size_t count = 0;
    while (count < positions.size()) {
      std::uint64_t number = 0;
      for (const chain& c : chains) number = std::max(number, c.number);
      if (number <= gone) break;
      const std::size_t position = number - gone - 1;
      const entry& found = at(position);
      if (before == end_of_time || found.event.time < before)
        positions[count++] = static_cast<std::uint32_t>(position);
      for (chain& c : chains) {
        if (c.number != number) continue;
        const std::uint64_t step = found.*c.step;
        c.number = step == 0 || step > number ? 0 : number - step;
      }
    }
    return count;
  }
};

}  // namespace funnel::detail
