// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/index/item_filter.hpp>
#include <funnel/index/scored_item.hpp>

#include <concepts>
#include <cstddef>
#include <span>

namespace funnel {

/// An index over item vectors for nearest-neighbor search by inner product, exact or approximate.
///
/// `search(query, found, admit)` writes the best items for which `admit(item)` is true, best first,
/// and returns how many it wrote: `found.size()`, or fewer if fewer were found. `size()` returns
/// the number of items that can be found, `dim()` the length of a vector. Searching is const and safe
/// from any number of threads, while none changes the index.
template <class I>
concept VectorIndex = requires(const I& index, std::span<const float> query,
                               std::span<scored_item> found, const item_bitmap& admit) {
  { index.size() } -> std::convertible_to<std::size_t>;
  { index.dim() } -> std::convertible_to<std::size_t>;
  { index.search(query, found) } -> std::convertible_to<std::size_t>;
  { index.search(query, found, admit) } -> std::convertible_to<std::size_t>;
};

}  // namespace funnel
