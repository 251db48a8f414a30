// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace funnel::detail {

/// The relevant items of one ranked list; each is found once, however often it is listed.
class relevant_ids {
 public:
  explicit relevant_ids(std::span<const item_id> ids) : ids_(ids.begin(), ids.end()) {
    std::sort(ids_.begin(), ids_.end());
    ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
    found_.resize(ids_.size());
  }

  /// Distinct relevant items.
  std::size_t size() const { return ids_.size(); }

  /// True the first time a relevant item is asked for.
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
