// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/index/scored_item.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel {

/// Neighbor table: for each item the most similar ones, best first, as an item-to-item method found
/// them. It is built offline and served as it is.
///
/// Errors      std::bad_alloc; an object that is assigned to is unchanged then.
/// Cost        8 bytes per neighbor, 8 per item; a look-up reads one list.
class neighbor_table {
 public:
  neighbor_table() = default;
  neighbor_table(const neighbor_table&) = default;
  neighbor_table(neighbor_table&&) noexcept = default;
  neighbor_table& operator=(const neighbor_table& other) {
    *this = neighbor_table(other);
    return *this;
  }
  neighbor_table& operator=(neighbor_table&&) noexcept = default;
  /// A table of lists, one per item.
  ///
  /// Errors      std::invalid_argument if a neighbor is not one of the items, or is the item itself, a
  ///             score is not a finite number, or a list is not in the order of descending scores.
  explicit neighbor_table(std::span<const std::vector<scored_item>> lists) {
    for (std::size_t i = 0; i < lists.size(); ++i) {
      for (std::size_t j = 0; j < lists[i].size(); ++j) {
        const scored_item& s = lists[i][j];
        detail::check_below("neighbor_table", "a neighbor", s.item, lists.size());
        if (s.item == i || !std::isfinite(s.score) || (j > 0 && s.score > lists[i][j - 1].score))
          detail::fail("funnel::neighbor_table: lists[", i, "][", j, "] is item ", s.item,
                       " with score ", s.score,
                       ", expected other items, in the order of descending finite scores");
        items_.push_back(s.item);
        scores_.push_back(s.score);
      }
      offsets_.push_back(items_.size());
    }
  }

  /// Number of items.
  std::size_t size() const { return offsets_.empty() ? 0 : offsets_.size() - 1; }
  /// The neighbors of an item, best first; none of an item that the table does not have.
  std::span<const item_id> neighbors(item_id item) const {
    if (item >= size()) return {};
    return std::span(items_).subspan(offsets_[item], offsets_[item + 1] - offsets_[item]);
  }
  /// Their scores.
  std::span<const float> scores(item_id item) const {
    if (item >= size()) return {};
    return std::span(scores_).subspan(offsets_[item], offsets_[item + 1] - offsets_[item]);
  }

  void visit_state(auto&& visit) {
    visit("offsets", offsets_);
    visit("items", items_);
    visit("scores", scores_);
    if (!is_loading(visit)) return;
    bool fits = !offsets_.empty() && offsets_[0] == 0 && offsets_.back() == items_.size() &&
                scores_.size() == items_.size();
    for (std::size_t i = 0; fits && i + 1 < offsets_.size(); ++i) {
      fits = offsets_[i] <= offsets_[i + 1] && offsets_[i + 1] <= items_.size();
      for (std::uint64_t j = offsets_[i]; fits && j < offsets_[i + 1]; ++j)
        fits = items_[j] < size() && items_[j] != i && std::isfinite(scores_[j]) &&
               (j == offsets_[i] || scores_[j] <= scores_[j - 1]);
    }
    if (!fits) throw format_error("a neighbor table is damaged: its arrays do not fit together");
  }

 private:
  std::vector<std::uint64_t> offsets_ = {0};  // [items + 1]
  std::vector<item_id> items_;
  std::vector<float> scores_;
};

}  // namespace funnel
