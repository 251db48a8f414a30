// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/slate_rule.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel::detail {

/// Chains of places that hold the same vector. One is at least as good as those behind it in its
/// chain, whatever was picked, so that they need not be looked at before it is taken.
///
/// A hash table with open addressing, which leaves out what it does not find room for nearby: a
/// place without a chain is looked at, no more.
template <class Units>
class twin_chains {
 public:
  /// Of the items of `units`; those that rules tell apart by their labels are not the same.
  twin_chains(const Units& units, const bool* taken, std::span<const slate_rule> rules,
              arena& scratch)
      : units_(units), taken_(taken), rules_(rules), slots_(std::bit_ceil(2 * units.size() + 1)),
        shift_(64 - std::countr_zero(slots_)), heads_(scratch.allocate<std::uint32_t>(slots_)),
        keys_(scratch.allocate<std::uint32_t>(units.size())),
        tails_(scratch.allocate<std::uint32_t>(units.size())),
        next_(scratch.allocate<std::uint32_t>(units.size())) {}

  /// To be called before the first place is added.
  void clear() { std::fill_n(heads_, slots_, none); }

  /// Adds a place that is not taken; true if it goes behind one that is not taken either. `key` is the
  /// same for vectors that are, and hardly ever for others.
  FUNNEL_INLINE bool goes_behind(std::size_t p, float key) {
    const std::size_t twin = add(p, std::bit_cast<std::uint32_t>(key));
    return twin != p && !taken_[units_.item(twin)];
  }

  /// The place behind p in its chain, p itself if it is the last.
  std::size_t next(std::size_t p) const { return next_[p] == none ? p : next_[p]; }

 private:
  static constexpr std::uint32_t none = 0xfffffffe;
  static constexpr int most_tries = 8;

  /// The place that p goes behind; p itself if there is none.
  FUNNEL_INLINE std::size_t add(std::size_t p, std::uint32_t key) {
    const auto place = static_cast<std::uint32_t>(p);
    next_[p] = none;
    keys_[p] = key;
    std::size_t slot = slot_of(key);
    for (int tries = 0; tries < most_tries; ++tries, slot = (slot + 1) & (slots_ - 1)) {
      const std::uint32_t head = heads_[slot];
      if (head == none) {
        heads_[slot] = tails_[p] = place;
        return p;
      }
      if (keys_[head] == key && same(p, head)) {
        const std::uint32_t before = tails_[head];
        next_[before] = tails_[head] = place;
        return before;
      }
    }
    return p;
  }

  FUNNEL_INLINE bool same(std::size_t p, std::size_t q) const {
    return units_.same(p, q) && std::all_of(rules_.begin(), rules_.end(), [&](const auto& rule) {
             return rule.labels[units_.item(p)] == rule.labels[units_.item(q)];
           });
  }

  std::size_t slot_of(std::uint32_t key) const {
    return static_cast<std::size_t>((key * 0x9e3779b97f4a7c15ULL) >> shift_);
  }

  const Units& units_;
  const bool* taken_;
  std::span<const slate_rule> rules_;
  std::size_t slots_;
  int shift_;
  std::uint32_t* heads_;  // the first of a chain
  std::uint32_t* keys_;   // of a place
  std::uint32_t* tails_;  // the last of the chain that begins at a place
  std::uint32_t* next_;
};

}  // namespace funnel::detail
