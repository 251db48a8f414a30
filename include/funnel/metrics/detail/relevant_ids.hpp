// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace funnel::detail {

/// The set of relevant items for one ranked list; each can be taken once.
class relevant_ids {
 public:
  explicit relevant_ids(std::span<const item_id> ids) : ids_(ids.begin(), ids.end()) {
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
    found_.resize(ids_.size());
  }

  /// The number of distinct relevant items.
  std::size_t size() const { return ids_.size(); }

  /// Returns true the first time it is called with a relevant item.
  bool take(item_id id) {
    const auto place = std::lower_bound(ids_.begin(), ids_.end(), id);
    if (place == ids_.end() || *place != id) return false;
    auto found = found_[static_cast<std::size_t>(place - ids_.begin())];
    if (found) return false;
    found = true;
    return true;
  }

 private:
  std::vector<item_id> ids_;
  std::vector<bool> found_;
};

}  // namespace funnel::detail
