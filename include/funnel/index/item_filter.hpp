// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <cstdint>
#include <span>

namespace funnel {

/// Item filter that admits every item; the default of a search.
struct all_items {
  constexpr bool operator()(item_id) const { return true; }
};

/// Item filter by a set with one bit per item: admits item i if bit i % 64 of word i / 64 is set.
/// Items beyond the last word are not in the set. To exclude the set instead, pass a
/// lambda that returns `!set(item)`.
struct item_bitmap {
  std::span<const std::uint64_t> words;

  constexpr bool operator()(item_id item) const {
    return item / 64 < words.size() && (words[item / 64] >> item % 64 & 1) != 0;
  }
};

}  // namespace funnel
