// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/order_key.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel::detail {

/// A key that is larger for items that rank higher: by score, then by lower item id. NaN ranks last
/// if the item was made by `comparable`.
inline std::uint64_t rank_key(const scored_item& a) {
  return std::uint64_t{order_key(a.score)} << 32 | std::uint32_t{~a.item};
}

/// Makes an item whose score `rank_key` can compare: -0 becomes 0, and every NaN the same NaN,
/// which ranks below -infinity.
inline scored_item comparable(item_id item, float score) {
  return {item, score == score ? score + 0.f : std::bit_cast<float>(0xffffffffu)};
}

/// The order of found items. A function object, so that it can be inlined; a function pointer would
/// be called for each comparison.
inline constexpr auto found_before = [](const scored_item& a, const scored_item& b) {
  return rank_key(a) > rank_key(b);
};

/// Replaces entry `at` of a heap by `item` and moves it down to its place. The worst entry is at
/// the front; the children of entry i are 4 i + 1 to 4 i + 4. A heap of 500 entries has 5 levels,
/// and each level costs one cache access.
inline void sift_down(std::span<scored_item> heap, std::size_t at, scored_item item) {
  const std::uint64_t key = rank_key(item);
  for (std::size_t child = 4 * at + 1; child < heap.size(); child = 4 * at + 1) {
    const std::size_t end = std::min(child + 4, heap.size());
    std::uint64_t worst = rank_key(heap[child]);
    for (std::size_t i = child + 1; i < end; ++i) {
      const std::uint64_t other = rank_key(heap[i]);
      child = other < worst ? i : child;  // unpredictable, so without a branch
      worst = std::min(worst, other);
    }
    if (worst > key) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = item;
}

/// Adds an item to the best ones, found[0, count). They are unordered until found is full, then a
/// heap.
inline void add_to_best(std::span<scored_item> found, std::size_t& count, const scored_item& item) {
  if (count < found.size()) {
    found[count++] = item;
    if (count < found.size()) return;
    for (std::size_t i = found.size(); i-- > 0;) sift_down(found, i, found[i]);
  } else if (found_before(item, found.front())) {
    sift_down(found, 0, item);
  }
}

/// Sorts the first `count` items of each row, best first.
inline void sort_rows(matrix_view<scored_item> found, std::size_t count) {
  if (found.cols() < 2) return;  // g++ 12 would warn of a sort of one item
  for (std::size_t q = 0; q < found.rows(); ++q)
    std::ranges::sort(found.row(q).first(count), found_before);
}

}  // namespace funnel::detail
