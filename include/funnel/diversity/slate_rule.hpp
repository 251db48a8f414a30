// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// Page rule for `mmr` and `dpp`: among any `window` neighboring slots of the page, at most
/// `max_count` may have the same label. The rules are passed as a list, the most important first.
///
///     no category of the 5 items before          {.labels = categories, .window = 6}
///     at most 5 of one type in a row             {.labels = types, .window = 6, .max_count = 5}
///     at most 1 promoted among 9                 {.labels = promoted, .window = 9, .hard = true}
///     no advertisement in the first slot         {.labels = ads, .window = 1, .max_count = 0,
///                                                 .first_slots = 1, .hard = true}
///
/// Each slot is filled with the best item that breaks no rule. If every remaining item breaks a
/// rule, the last rule of the list is ignored for this slot, then the last but one, and so on. Hard
/// rules are never ignored.
///
/// Cost        per slot and rule O(n m + W^2), where W is the window and m the number of labels
///             that reached `max_count` in it.
/// Source      docs/formulas.md#page-rules.
struct slate_rule {
  /// One label per item, [n]. 0 means no label; an item without a label never breaks the rule.
  std::span<const category_id> labels;
  /// Number of neighboring slots that are counted together, 1 or more.
  std::size_t window = 1;
  /// How many of these slots may have the same label; 0 or more.
  std::size_t max_count = 1;
  /// The rule applies to this many slots at the top of the page; 0 means all slots.
  std::size_t first_slots = 0;
  /// A hard rule is never ignored. Hard rules come first in the list.
  bool hard = false;
};

}  // namespace funnel
