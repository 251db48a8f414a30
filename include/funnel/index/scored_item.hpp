// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

namespace funnel {

/// An item found by a search, with its score.
struct scored_item {
  item_id item = 0;
  float score = 0;
};

}  // namespace funnel
