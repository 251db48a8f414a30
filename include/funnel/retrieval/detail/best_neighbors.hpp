// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/detail/best_in_place.hpp>
#include <funnel/retrieval/detail/build_lists.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel::detail {

/// Writes the best of the items that `for_each(add)` passes to `add`, best first, and returns their
/// number.
template <class ForEach>
std::size_t best_neighbors(std::span<scored_item> out, const ForEach& for_each) {
  best_in_place best(out);
  for_each([&](const scored_item& s) { best.add(s); });
  return best.sort();
}

/// A table of the best k of what `for_each(item, add)` passes to `add` for each item. `items` 0: one
/// more than the largest id.
template <Executor E, class ForEach>
neighbor_table table_of_neighbors(E& executor, std::span<const std::uint64_t> ids,
                                  std::size_t items, std::size_t k, const ForEach& for_each) {
  if (items == 0 && !ids.empty()) items = std::ranges::max(ids) + 1;
  struct nothing {};
  return build_lists(
      executor, items, k, [] { return nothing(); },
      [&](nothing&, item_id item, best_items& best) {
        for_each(item, [&](const scored_item& s) {
          if (s.item < items) best.add(s.item, s.score);
        });
      });
}

}  // namespace funnel::detail
