// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <cstdint>
#include <span>

namespace funnel {

/// Takes every item.
struct all_items {
  constexpr bool operator()(item_id) const { return true; }
};

/// Takes the items of a set, one bit an item: item i is bit i % 64 of word i / 64. Items behind the
/// last word are not in it. Put `!` before it for a set of items to leave out.
struct item_bitmap {
  std::span<const std::uint64_t> words;

  constexpr bool operator()(item_id item) const {
    return item / 64 < words.size() && (words[item / 64] >> item % 64 & 1) != 0;
  }
};

}  // namespace funnel
