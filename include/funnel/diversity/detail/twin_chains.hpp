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

/// Linked lists (chains) of items with equal vectors. An item is given by its place, its rank by
/// relevance. It is at least as good as the items after it in its chain, whatever was picked, so
/// those can be skipped until it is taken. The chains are found by a hash table with open
/// addressing. If there is no free slot nearby, a place gets no chain; that is safe, as its item is
/// then just not skipped.
template <class Units>
class twin_chains {
 public:
  /// For the items of `units`. Items whose labels differ in a rule are not equal.
  twin_chains(const Units& units, const bool* taken, std::span<const slate_rule> rules,
              arena& scratch)
      : units_(units), taken_(taken), rules_(rules), slots_(std::bit_ceil(2 * units.size() + 1)),
        shift_(64 - std::countr_zero(slots_)), heads_(scratch.allocate<std::uint32_t>(slots_)),
        keys_(scratch.allocate<std::uint32_t>(units.size())),
        tails_(scratch.allocate<std::uint32_t>(units.size())),
        next_(scratch.allocate<std::uint32_t>(units.size())) {}

  /// Must be called before the first place is added.
  void clear() { std::fill_n(heads_, slots_, none); }

  /// Adds the place of an item that is not taken; true if it comes after one that is not taken
  /// either. `key` is equal for equal vectors, and rarely for others.
  FUNNEL_INLINE bool goes_behind(std::size_t p, float key) {
    const std::size_t twin = add(p, std::bit_cast<std::uint32_t>(key));
    return twin != p && !taken_[units_.item(twin)];
  }

  /// The place after p in its chain; p itself if it is the last one.
  std::size_t next(std::size_t p) const { return next_[p] == none ? p : next_[p]; }

 private:
  static constexpr std::uint32_t none = 0xfffffffe;
  static constexpr int most_tries = 8;

  /// Adds p; returns the place before it in its chain, or p itself if p is the first one.
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
  std::uint32_t* heads_;  // per slot: the first place of a chain
  std::uint32_t* keys_;   // per place: its key
  std::uint32_t* tails_;  // per place: the last place of the chain that begins there
  std::uint32_t* next_;   // per place: the next one of its chain
};

}  // namespace funnel::detail
