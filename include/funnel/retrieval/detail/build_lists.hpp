// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/order_key.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace funnel::detail {

/// The best k of the items that are passed, in any order, with scores above 0. Twice k fits into a
/// size.
class best_items {
 public:
  explicit best_items(std::size_t k) : k_(k) {}

  /// Returns true if `least()` has changed.
  bool add(item_id item, float score) {
    if (score < least_) return false;
    ranks_.push_back(std::uint64_t{order_key(score)} << 32 | ~item);
    if (ranks_.size() < 2 * k_ || ranks_.size() < 64) return false;
    keep_best();
    return true;
  }
  /// Items with a lower score are not among the best; 0 until that is known. Scores are above 0.
  float least() const { return least_; }
  /// Those that were passed since the last call of `clear`, best first.
  std::span<const scored_item> take() {
    if (ranks_.size() > k_) keep_best();
    std::ranges::sort(ranks_, std::ranges::greater());
    found_.clear();
    for (const std::uint64_t rank : ranks_)
      found_.push_back({~static_cast<item_id>(rank), score_of(rank)});
    return found_;
  }
  void clear() {
    ranks_.clear();
    least_ = 0;
  }

 private:
  static float score_of(std::uint64_t rank) {
    return from_order_key<float>(static_cast<std::uint32_t>(rank >> 32));
  }
  void keep_best() {
    const auto last = ranks_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::ranges::nth_element(ranks_, last, std::ranges::greater());
    least_ = score_of(*last);
    ranks_.resize(k_);
  }

  std::size_t k_;
  float least_ = 0;
  // Score, then item, larger is better: one comparison instead of those of `ranks_before`.
  std::vector<std::uint64_t> ranks_;
  std::vector<scored_item> found_;
};

/// Builds a neighbor table row by row: `find(workspace, item, best)` adds the neighbors of an item to
/// `best_items`. `make()` makes a workspace; there are as many as threads at work.
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
    best_items best(std::min(k, items));
    for (std::size_t i = begin; i < end; ++i) {
      best.clear();
      find(*own, static_cast<item_id>(i), best);
      const auto found = best.take();
      lists[i].assign(found.begin(), found.end());
    }
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(own));
  });
  return neighbor_table(lists);
}

}  // namespace funnel::detail
