// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace funnel::detail {

/// Keeps the best of the items that are passed, in the caller's memory alone: a heap whose first item
/// is the worst.
class best_in_place {
 public:
  explicit best_in_place(std::span<scored_item> out) : out_(out) {}

  /// Whether the item is among the best so far.
  bool takes(const scored_item& item) const {
    return count_ < out_.size() || (count_ > 0 && ranks_before(item, out_[0]));
  }
  void add(const scored_item& item) {
    if (!takes(item)) return;
    const auto begin = out_.begin();
    if (count_ == out_.size())
      std::pop_heap(begin, begin + static_cast<std::ptrdiff_t>(count_--), before);
    out_[count_++] = item;
    std::push_heap(begin, begin + static_cast<std::ptrdiff_t>(count_), before);
  }
  /// Puts them in order, best first, and returns their number.
  std::size_t sort() {
    std::sort_heap(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(count_), before);
    return count_;
  }

 private:
  static bool before(const scored_item& a, const scored_item& b) { return ranks_before(a, b); }

  std::span<scored_item> out_;
  std::size_t count_ = 0;
};

}  // namespace funnel::detail
