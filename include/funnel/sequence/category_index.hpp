// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel {

/// Which positions of a user's history are of which category: made once a request, asked once a
/// candidate. The same for clusters, authors or any other id of the items.
///
/// Shapes      categories [n], oldest first, one an item of the history.
/// Order       `find` gives positions newest first.
/// Units       0, or what `assign` is told, is a missing category: it is in no list, and asking for
///             it finds nothing.
/// Errors      std::invalid_argument if n >= 2^32.
/// Cost        `assign` O(n) expected, `find` O(1) expected; 28 to 52 bytes an item. One that has
///             been as large before allocates nothing.
/// Source      the hard search of Pi et al., CIKM 2020; formulas item 68.
class category_index {
 public:
  category_index() = default;
  explicit category_index(std::span<const category_id> categories, category_id missing = 0) {
    assign(categories, missing);
  }

  /// Replaces the history.
  void assign(std::span<const category_id> categories, category_id missing = 0) {
    const std::size_t n = categories.size();
    if (n > std::numeric_limits<std::uint32_t>::max())
      detail::fail("funnel::category_index: categories has ", n, " items, expected below 2^32");
    slots_.assign(std::bit_ceil(2 * n + 2), {});  // at most half full: probing stays short
    shift_ = 64 - std::countr_zero(slots_.size());
    for (const category_id category : categories) {
      if (category == missing) continue;
      slot& place = slots_[find_slot(category)];
      place.category = category;
      ++place.count;
    }
    // Lists follow one another; each is filled from its begin, which then stands at its end.
    std::uint32_t begin = 0;
    for (slot& place : slots_) {
      place.end = begin;
      begin += place.count;
    }
    positions_.resize(begin);
    for (std::size_t i = n; i-- > 0;)
      if (categories[i] != missing)
        positions_[slots_[find_slot(categories[i])].end++] = static_cast<std::uint32_t>(i);
  }

  /// The positions of a category, newest first; none for one that is missing or unknown. They are
  /// valid until the next `assign`.
  std::span<const std::uint32_t> find(category_id category) const {
    if (slots_.empty()) return {};
    const slot& place = slots_[find_slot(category)];
    return std::span<const std::uint32_t>(positions_).subspan(place.end - place.count, place.count);
  }

 private:
  struct slot {
    category_id category = 0;
    std::uint32_t count = 0;  // 0: free
    std::uint32_t end = 0;    // of its positions
  };

  /// Where the category is, or the free slot where it would go.
  std::size_t find_slot(category_id category) const {
    // Fibonacci hashing: the high bits of a product with 2^64 / golden ratio.
    std::size_t i = static_cast<std::size_t>(category * 0x9e3779b97f4a7c15ULL >> shift_);
    while (slots_[i].count != 0 && slots_[i].category != category)
      i = (i + 1) & (slots_.size() - 1);
    return i;
  }

  std::vector<slot> slots_;
  std::vector<std::uint32_t> positions_;
  int shift_ = 0;
};

}  // namespace funnel
