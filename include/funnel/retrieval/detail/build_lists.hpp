// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/executor.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace funnel::detail {

/// Keeps the best k of the items that were found, best first; of equal scores the lower item first.
inline void keep_best(std::vector<scored_item>& found, std::size_t k) {
  const auto before = [](const scored_item& a, const scored_item& b) {
    return ranks_before(a.score, a.item, b.score, b.item);
  };
  if (found.size() > k) {
    std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(k), found.end(),
                     before);
    found.resize(k);
  }
  std::sort(found.begin(), found.end(), before);
}

/// Builds a neighbor table row by row: `find(workspace, item, found)` appends the neighbors of an item
/// in any order. `make()` makes a workspace; there are as many as threads at work.
template <Executor E, class Make, class Find>
neighbor_table build_lists(E& executor, std::size_t items, std::size_t k, const Make& make,
                           const Find& find) {
  using workspace = decltype(make());
  std::vector<std::vector<scored_item>> lists(items);
  std::mutex mutex;
  std::vector<std::unique_ptr<workspace>> idle;
  for_blocks(executor, items, 64, [&](std::size_t begin, std::size_t end) {
    std::unique_ptr<workspace> own;
    {
      const std::lock_guard lock(mutex);
      if (!idle.empty()) {
        own = std::move(idle.back());
        idle.pop_back();
      }
    }
    if (own == nullptr) own = std::make_unique<workspace>(make());
    std::vector<scored_item> found;
    for (std::size_t i = begin; i < end; ++i) {
      found.clear();
      find(*own, static_cast<item_id>(i), found);
      keep_best(found, k);
      lists[i].assign(found.begin(), found.end());
    }
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(own));
  });
  return neighbor_table(lists);
}

}  // namespace funnel::detail
