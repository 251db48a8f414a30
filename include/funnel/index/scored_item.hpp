// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/core/top_k.hpp>

namespace funnel {

/// An item found by a search, with its score.
struct scored_item {
  item_id item = 0;
  float score = 0;
};

/// The order of found items: larger scores first, equal scores by lower item id, NaN last.
constexpr bool ranks_before(const scored_item& a, const scored_item& b) {
  return ranks_before(a.score, a.item, b.score, b.item);
}

}  // namespace funnel
