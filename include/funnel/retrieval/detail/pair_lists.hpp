// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/retrieval/detail/latest_entries.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel::detail {

/// What is summed for pairs of items and changes with every event. Each item has a list of its own of
/// the items that it forms a pair with, so a pair is in two lists: a hash table with open addressing,
/// which is read as a whole for the neighbors of the item. Items are rows 0, 1, ...
///
/// `reserve` makes room and is the only function of the changing ones that may run out of memory.
///
/// Cost        a change is one cache miss, if the list was prefetched none; 16 bytes per slot, 3/8 to
///             3/4 of the slots of a list that only grows are taken.
class pair_lists {
 public:
  struct pair {
    std::uint32_t other = 0;
    std::uint32_t users = 0;  ///< 0: a free slot
    double sum = 0;
  };
  struct scored_pair {
    double score;
    pair of;
  };

  pair_lists() = default;
  /// Lists are full at `most` + 1 pairs, and before that when they reach `first_check` pairs and each
  /// time that they have doubled since.
  pair_lists(std::size_t most, std::size_t first_check)
      : most_(std::min(most, no_limit - 1)), first_check_(std::min(first_check, most_ + 1)) {}

  std::size_t size() const { return lists_.size(); }
  /// The number of pairs in all lists.
  std::size_t pairs() const {
    std::size_t sum = 0;
    for (const list& l : lists_) sum += l.used;
    return sum;
  }

  /// Adds an item without pairs. If memory runs out, nothing has changed.
  void add_row() {
    reserve_one_more(lists_);
    lists_.push_back({{}, 0, static_cast<std::uint32_t>(first_check_)});
  }
  void remove_last_row() noexcept { lists_.pop_back(); }

  /// Makes room for more pairs of an item. If memory runs out, no pair has changed.
  void reserve(std::size_t row, std::size_t more) {
    list& l = lists_[row];
    const std::size_t needed = l.used + more;
    if (needed >= l.full_at && scratch_.capacity() < needed) scratch_.reserve(2 * needed);
    if (needed <= l.slots.size() / 4 * 3) return;
    std::vector<pair> slots(std::bit_ceil(std::max<std::size_t>(4, needed + needed / 3 + 1)));
    for (const pair& p : l.slots)
      if (p.users != 0) slots[place(slots, p.other)] = p;
    l.slots.swap(slots);
  }
  FUNNEL_INLINE void prefetch(std::size_t row) const noexcept {
    prefetch_bytes<false>(lists_.data() + row, sizeof(list));
  }
  /// Of a list that has room: the slot where the search for an item starts, and the three behind it.
  FUNNEL_INLINE void prefetch(std::size_t row, std::size_t other) const noexcept {
    const std::vector<pair>& slots = lists_[row].slots;
    if (!slots.empty())
      prefetch_lines<1, false>(slots.data() + home(slots, other), true, 3 * sizeof(pair));
  }

  /// Adds to the users and to the sum of `other` in the list of an item. A pair that is not there
  /// begins with users above 0 and is left alone otherwise: it was pruned. A pair without users is
  /// taken out; sums stay at 0 or above.
  void change(std::size_t row, std::size_t other, std::int64_t users, double sum) noexcept {
    list& l = lists_[row];
    if (l.slots.empty()) return;
    const std::size_t at = place(l.slots, other);
    pair& p = l.slots[at];
    const std::int64_t left = std::int64_t{p.users} + users;
    if (p.users == 0) {
      if (users <= 0) return;
      ++l.used;
      p.other = static_cast<std::uint32_t>(other);
    }
    if (left <= 0) {
      remove(l, at);
      return;
    }
    constexpr std::int64_t most_users = std::numeric_limits<std::uint32_t>::max();
    p.users = static_cast<std::uint32_t>(std::min(left, most_users));
    p.sum = std::max(0., p.sum + sum);
  }

  /// The pair of two items; users 0 if they are none.
  pair find(std::size_t row, std::size_t other) const {
    const std::vector<pair>& slots = lists_[row].slots;
    return slots.empty() ? pair{} : slots[place(slots, other)];
  }
  template <class Visit>
  void for_each(std::size_t row, const Visit& visit) const {
    for (const pair& p : lists_[row].slots)
      if (p.users != 0) visit(p);
  }

  bool is_full(std::size_t row) const { return lists_[row].used >= lists_[row].full_at; }
  /// Takes pairs out of a full list. `trim(pairs)` may reorder the scored pairs and returns how many of
  /// them, from the first on, may stay. If these are more than `most`, the best half of `most` do; of
  /// equal ones those with the item that came first.
  template <class Score, class Trim>
  void prune(std::size_t row, const Score& score, const Trim& trim) noexcept {
    list& l = lists_[row];
    for_each(row, [&](const pair& p) { scratch_.push_back({score(p), p}); });
    std::size_t kept = trim(std::span(scratch_));
    if (kept > most_) {
      const std::size_t best = most_ - most_ / 2;
      select_best(std::span(scratch_).first(kept), best);
      kept = best;
    }
    std::ranges::fill(l.slots, pair{});
    for (std::size_t i = 0; i < kept; ++i)
      l.slots[place(l.slots, scratch_[i].of.other)] = scratch_[i].of;
    scratch_.clear();
    l.used = static_cast<std::uint32_t>(kept);
    l.full_at = static_cast<std::uint32_t>(
        std::min(most_ + 1, first_check_ > most_ ? most_ + 1 : std::max(first_check_, 2 * kept)));
  }
  /// Brings the best n pairs to the front, the worst of them to the last place of these.
  static void select_best(std::span<scored_pair> all, std::size_t n) noexcept {
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n - 1), all.end(),
                     [](const scored_pair& a, const scored_pair& b) {
                       return a.score != b.score ? a.score > b.score : a.of.other < b.of.other;
                     });
  }

  /// Multiplies all sums.
  void scale(double factor) noexcept {
    for (list& l : lists_)
      for (pair& p : l.slots) p.sum *= factor;
  }

  void visit_state(auto&& visit) {
    std::vector<std::uint64_t> offsets{0};
    std::vector<std::uint32_t> others, users, full_at;
    std::vector<double> sums;
    if (!is_loading(visit)) {
      std::vector<pair> sorted;
      for (std::size_t row = 0; row < size(); ++row) {
        sorted.clear();
        for_each(row, [&](const pair& p) { sorted.push_back(p); });
        std::ranges::sort(sorted, {}, &pair::other);
        for (const pair& p : sorted) {
          others.push_back(p.other);
          users.push_back(p.users);
          sums.push_back(p.sum);
        }
        offsets.push_back(others.size());
        full_at.push_back(lists_[row].full_at);
      }
    }
    visit("offsets", offsets), visit("others", others), visit("users", users);
    visit("sums", sums), visit("full_at", full_at);
    if (!is_loading(visit)) return;
    const auto damaged = [] {
      throw format_error("lists of pairs are damaged: their arrays do not fit together");
    };
    const std::size_t rows = full_at.size(), n = others.size();
    if (offsets.size() != rows + 1 || offsets[0] != 0 || offsets.back() != n || users.size() != n ||
        sums.size() != n)
      damaged();
    pair_lists loaded(most_, first_check_);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::uint64_t begin = offsets[row], end = offsets[row + 1];
      if (begin > end || end > n || full_at[row] > most_ + 1 || full_at[row] < first_check_ ||
          end - begin >= full_at[row])
        damaged();
      loaded.add_row();
      loaded.reserve(row, end - begin);
      list& l = loaded.lists_[row];
      for (std::uint64_t i = begin; i < end; ++i) {
        if (others[i] >= rows || others[i] == row || (i > begin && others[i] <= others[i - 1]) ||
            users[i] == 0 || !(sums[i] >= 0 && std::isfinite(sums[i])))
          damaged();
        l.slots[place(l.slots, others[i])] = {others[i], users[i], sums[i]};
        ++l.used;
      }
      l.full_at = full_at[row];
    }
    *this = std::move(loaded);
  }

 private:
  struct list {
    std::vector<pair> slots;  // a power of two
    std::uint32_t used = 0, full_at = 0;
  };

  static constexpr std::size_t no_limit = std::numeric_limits<std::uint32_t>::max() - 1;

  static std::size_t home(const std::vector<pair>& slots, std::size_t other) noexcept {
    const std::uint32_t hash = static_cast<std::uint32_t>(other) * 2654435769u;
    return (std::uint64_t{hash} * slots.size()) >> 32;
  }
  /// The slot of an item, or the free one where it belongs.
  static std::size_t place(const std::vector<pair>& slots, std::size_t other) noexcept {
    std::size_t at = home(slots, other);
    while (slots[at].users != 0 && slots[at].other != other) at = (at + 1) & (slots.size() - 1);
    return at;
  }
  /// Frees a slot and moves those behind it that would not be found any more.
  static void remove(list& l, std::size_t at) noexcept {
    const std::size_t mask = l.slots.size() - 1;
    for (std::size_t next = (at + 1) & mask; l.slots[next].users != 0; next = (next + 1) & mask) {
      if (((next - home(l.slots, l.slots[next].other)) & mask) < ((next - at) & mask)) continue;
      l.slots[at] = l.slots[next];
      at = next;
    }
    l.slots[at] = {};
    --l.used;
  }

  std::size_t most_ = no_limit - 1, first_check_ = no_limit;
  std::vector<list> lists_;           // by item
  std::vector<scored_pair> scratch_;  // empty between calls
};

}  // namespace funnel::detail
