// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/error.hpp>
#include <funnel/diversity/slate_rule.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace funnel::detail {

/// Throws if a rule is invalid for n items.
inline void check_rules(std::string_view function, std::size_t n,
                        std::span<const slate_rule> rules) {
  for (std::size_t r = 0; r < rules.size(); ++r) {
    if (rules[r].labels.size() != n)
      fail("funnel::", function, ": rules[", r, "].labels has ", rules[r].labels.size(),
           " values, expected ", n, ", the number of items");
    if (rules[r].window == 0)
      fail("funnel::", function, ": rules[", r, "].window is 0, expected 1 or more");
    if (r > 0 && rules[r].hard && !rules[r - 1].hard)
      fail("funnel::", function, ": rules[", r, "] is hard, expected hard rules before the others");
  }
}

/// The items that the page rules admit for the next slot.
class slate {
 public:
  slate(std::span<const slate_rule> rules, std::size_t n, std::size_t k, arena& scratch)
      : rules_(rules), n_(n), admitted_(scratch.allocate<bool>(n)) {
    if (!rules.empty()) {
      first_broken_ = scratch.allocate<std::size_t>(n);
      full_ = scratch.allocate<category_id>(k);
    }
  }

  /// Marks the items admitted for the slot after the picks `shown`; null if there are none.
  const bool* admit(std::span<const std::size_t> shown, const bool* taken) {
    if (rules_.empty()) {
      for (std::size_t i = 0; i < n_; ++i) admitted_[i] = !taken[i];
      return admitted_;
    }
    std::fill_n(first_broken_, n_, rules_.size());
    for (std::size_t r = rules_.size(); r-- > 0;) mark_broken(r, shown);
    // Drop rules from the end until some item breaks none of the rules that are left.
    std::size_t kept = 0;
    while (kept < rules_.size() && rules_[kept].hard) ++kept;
    bool any = false;
    for (std::size_t i = 0; i < n_; ++i)
      if (!taken[i] && first_broken_[i] >= kept) {
        kept = first_broken_[i];
        any = true;
      }
    for (std::size_t i = 0; i < n_; ++i) admitted_[i] = !taken[i] && first_broken_[i] >= kept;
    return any ? admitted_ : nullptr;
  }

 private:
  void mark_broken(std::size_t r, std::span<const std::size_t> shown) {
    const slate_rule& rule = rules_[r];
    if (rule.first_slots != 0 && shown.size() >= rule.first_slots) return;
    if (rule.max_count == 0) {
      for (std::size_t i = 0; i < n_; ++i)
        if (rule.labels[i] != 0) first_broken_[i] = r;
      return;
    }
    // Labels that the slots before have as often as the rule allows.
    const auto before = shown.last(std::min(shown.size(), rule.window - 1));
    std::size_t full = 0;
    for (const std::size_t a : before) {
      const category_id label = rule.labels[a];
      std::size_t count = 0;
      for (const std::size_t b : before) count += rule.labels[b] == label;
      if (label != 0 && count >= rule.max_count &&
          std::find(full_, full_ + full, label) == full_ + full)
        full_[full++] = label;
    }
    if (full == 0) return;
    for (std::size_t i = 0; i < n_; ++i)
      if (std::find(full_, full_ + full, rule.labels[i]) != full_ + full) first_broken_[i] = r;
  }

  std::span<const slate_rule> rules_;
  std::size_t n_;
  bool* admitted_;
  std::size_t* first_broken_ = nullptr;  // the most important rule an item breaks
  category_id* full_ = nullptr;
};

}  // namespace funnel::detail
