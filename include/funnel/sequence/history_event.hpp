// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <cstdint>

namespace funnel {

/// One event of a user's history.
struct history_event {
  item_id item = 0;
  category_id category = 0;
  cluster_id cluster = 0;
  /// Kind of action, such as click, like or share.
  std::uint32_t action = 0;
  std::int64_t time = 0;

  bool operator==(const history_event&) const = default;
};

}  // namespace funnel
