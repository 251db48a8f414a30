// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// What a page must not look like: of any `window` neighboring slots, at most `most` may carry the
/// same label. `mmr` and `dpp` take a list of rules, the most important first.
///
///     no item of the category of the 5 before    {.labels = categories, .window = 6}
///     at most 5 of one type in a row             {.labels = types, .window = 6, .most = 5}
///     at most 1 promoted among 9                 {.labels = promoted, .window = 9, .hard = true}
///     no advertisement in the first slot         {.labels = ads, .window = 1, .most = 0,
///                                                 .first_slots = 1, .hard = true}
///
/// A slot is given to the best of the items that break no rule. If every item left breaks one, the
/// last rule of the list is dropped for this slot, then the last but one, and so on; hard rules are
/// never dropped.
///
/// Cost        O(n m) a slot for a rule whose window shows m labels as often as it may, and O(W^2).
/// Source      docs/formulas.md#page-rules.
struct slate_rule {
  /// One label an item, [n]; 0 is none, and an item without a label breaks nothing.
  std::span<const category_id> labels;
  /// How many neighboring slots are looked at together, >= 1.
  std::size_t window = 1;
  /// How many of them may carry one label.
  std::size_t most = 1;
  /// The rule holds for this many slots from the top of the page; 0 for all of them.
  std::size_t first_slots = 0;
  /// Never dropped. Hard rules stand before the others.
  bool hard = false;
};

}  // namespace funnel
