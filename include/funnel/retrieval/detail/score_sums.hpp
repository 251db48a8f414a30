// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace funnel::detail {

/// Scores above 0 that are collected by item, and the best of them. 4 bytes per item; allocates no
/// memory once it has held as many items as now.
class score_sums {
 public:
  score_sums() = default;
  explicit score_sums(std::size_t items) : scores_(items) {}

  std::size_t items() const { return scores_.size(); }
  /// Makes room for more items.
  void grow(std::size_t items) {
    if (items > scores_.size()) scores_.resize(items);
  }

  /// Starts anew. What is there is also that of a search that ran out of memory.
  void clear() {
    for (const item_id item : touched_) scores_[item] = 0;
    touched_.clear();
  }
  /// Adds a score; those of 0 or less count for nothing.
  void add(item_id item, float score) {
    if (score > 0) put(item, scores_[item] + score);
  }
  /// Keeps the largest score of each item.
  void add_largest(item_id item, float score) {
    if (score > 0) put(item, std::max(scores_[item], score));
  }

  /// The items that have a score, in the order in which they got it.
  std::span<const item_id> touched() const { return touched_; }
  float operator[](item_id item) const { return scores_[item]; }

  /// Writes the best that `admits` is true for, best first, and returns their number.
  template <class Admits>
  std::size_t best(std::span<scored_item> out, const Admits& admits) {
    found_.clear();
    for (const item_id item : touched_)
      if (admits(item)) found_.push_back({item, scores_[item]});
    const std::size_t count = std::min(out.size(), found_.size());
    const auto middle = found_.begin() + static_cast<std::ptrdiff_t>(count);
    std::partial_sort(
        found_.begin(), middle, found_.end(),
        [](const scored_item& x, const scored_item& y) { return ranks_before(x, y); });
    std::copy(found_.begin(), middle, out.begin());
    return count;
  }

 private:
  void put(item_id item, float score) {
    if (scores_[item] == 0) touched_.push_back(item);
    scores_[item] = score;
  }

  std::vector<float> scores_;  // by item; 0 but for those of touched_
  std::vector<item_id> touched_;
  std::vector<scored_item> found_;
};

}  // namespace funnel::detail
