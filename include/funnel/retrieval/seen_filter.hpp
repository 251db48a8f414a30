// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/retrieval/bloom_filter.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <string_view>
#include <vector>

namespace funnel {

/// How `seen_filter` keeps what was seen.
enum class seen_method : std::uint8_t {
  bloom,  ///< in few bits; sometimes an item that was not seen is taken for one that was
  exact,  ///< as ids, in hash tables
};

/// Options of `seen_filter`.
struct seen_filter_options {
  seen_method method = seen_method::bloom;
  /// For so many days at least an item stays seen, 1 or more.
  std::size_t days = 30;
  /// Length of a day in the unit of the times, above 0; 86'400 seconds by default.
  std::int64_t day = 86'400;
  /// Items of one user and one day that fit into a block, 1 or more. A user who sees more of them gets
  /// another block. n.
  std::size_t capacity = 64;
  /// Probability that an item that a user has not seen is taken for one that was, if the user saw
  /// `capacity` items on each day; in (0, 1). For `bloom` alone. delta.
  double false_positives = .01;
};

/// What users have seen in the last days, so that they are not shown it again. An item that was added
/// is always found, until it is older than the window.
///
/// Each user has one block of memory for each day with something seen: a small Bloom filter, or a small
/// hash table. Blocks whose day has passed are given to other users by `expire`, which is called once a
/// day; nothing else forgets. Events may come in any order: each belongs to the day of its own time,
/// also if that is before the last call of `expire`, and one from a clock that is wrong expires nothing.
///
/// `contains` is const: any number of threads may ask a filter that no thread changes.
///
/// Errors      std::bad_alloc; the filter is unchanged then.
/// Cost        a block has 16 bytes, and with `bloom` capacity log2(G / delta) / ln 2 bits for the
///             G = days + 1 blocks of a user, with `exact` 6 bytes per item of the capacity; 4 bytes
///             per user id. A question looks into all blocks of the user. Adding allocates no memory
///             while blocks that expired are left.
/// Source      docs/formulas.md#seen-filter.
class seen_filter {
 public:
  /// Errors      std::invalid_argument if an option is out of range.
  explicit seen_filter(const seen_filter_options& options = {})
      : method_(options.method), days_(options.days), day_(options.day),
        capacity_(options.capacity) {
    constexpr std::string_view name = "seen_filter";
    const double delta = options.false_positives;
    if (method_ > seen_method::exact)
      detail::fail("funnel::seen_filter: method is ", static_cast<int>(method_),
                   ", expected below 2");
    detail::check_at_least_one(name, "days", options.days);
    detail::check_that(name, "day", options.day, options.day > 0, "above 0");
    detail::check_at_least_one(name, "capacity", options.capacity);
    detail::check_that(name, "capacity", options.capacity,
                       options.capacity <= std::numeric_limits<std::uint32_t>::max() / 2,
                       "below 2^31");
    detail::check_that(name, "false_positives", delta, delta > 0 && delta < 1,
                       "a number in (0, 1)");
    if (method_ == seen_method::exact) {
      words_of_block_ = detail::blocks_of(options.capacity + (options.capacity + 1) / 2, 2);
      return;
    }
    // All blocks together are wrong with probability delta. The lower bound is for a delta that
    // rounds to 0 when it is divided.
    const double blocks = static_cast<double>(options.days) + 1;
    const double of_block = std::max(-std::expm1(std::log1p(-delta) / blocks), 1e-300);
    const detail::bloom_size size = detail::bloom_size_of(name, options.capacity, of_block);
    words_of_block_ = size.words;
    hashes_ = size.hashes;
  }
  seen_filter(const seen_filter&) = default;
  seen_filter(seen_filter&&) noexcept = default;
  seen_filter& operator=(const seen_filter& other) {
    *this = seen_filter(other);
    return *this;
  }
  seen_filter& operator=(seen_filter&&) noexcept = default;

  /// Adds an item that a user saw at a time.
  ///
  /// Errors      std::invalid_argument if the item is 2^32 - 1.
  void add(user_id user, item_id item, std::int64_t time) {
    detail::check_below("seen_filter::add", "item", item, std::numeric_limits<item_id>::max());
    const std::int64_t day = day_of(time);
    const places at = places_of(user, item);
    std::uint32_t place = none;
    for (std::uint32_t b = first_of(user); b != none; b = blocks_[b].next) {
      if (blocks_[b].day >= day && is_in(b, item, at)) return;  // seen as late, or later
      if (blocks_[b].day == day && blocks_[b].count < capacity_) place = b;
    }
    if (place == none) {
      if (user >= first_.size()) first_.resize(std::size_t{user} + 1, none);
      if (free_ >= blocks_.size()) grow();  // none, or what a move left
      place = free_;
      free_ = blocks_[place].next;
      blocks_[place] = {day, first_[user], 0};
      first_[user] = place;
    }
    ++blocks_[place].count;
    std::uint64_t* words = words_.data() + place * words_of_block_;
    if (method_ == seen_method::bloom) {
      for (std::uint32_t i = 0; i < hashes_; ++i)
        words[at.bits[i] / 64] |= std::uint64_t{1} << at.bits[i] % 64;
      return;
    }
    std::uint64_t slot = at.slot;
    while (id_in(words, slot) != 0) slot = slot_after(slot);
    words[slot / 2] |= (std::uint64_t{item} + 1) << slot % 2 * 32;
  }

  /// True for every item that was added for the user and is not older than the window; with `bloom`
  /// also for others, with the probability `false_positive_rate(user)`.
  bool contains(user_id user, item_id item) const {
    std::uint32_t b = first_of(user);
    if (b == none) return false;
    const places at = places_of(user, item);
    for (; b != none; b = blocks_[b].next)
      if (is_in(b, item, at)) return true;
    return false;
  }
  /// What a user has not seen, as a filter for searches. The object must live as long.
  auto not_seen_by(user_id user) const {
    return [this, user](item_id item) { return !contains(user, item); };
  }

  /// Forgets the days that are more than `days` days before that of `now`. Call it once a day.
  ///
  /// Cost        looks at all blocks. Allocates nothing.
  void expire(std::int64_t now) {
    const std::int64_t today = day_of(now);
    for (std::uint32_t& first : first_) {
      std::uint32_t* link = &first;
      while (*link != none) {
        const std::uint32_t b = *link;
        // The difference of two times as an unsigned number.
        const bool old = blocks_[b]
                             .day<today&& static_cast<std::uint64_t>(today) -
                                  static_cast<std::uint64_t>(blocks_[b].day)>
                                 days_;
        if (!old) {
          link = &blocks_[b].next;
          continue;
        }
        *link = blocks_[b].next;
        for (std::size_t w = 0; w < words_of_block_; ++w) words_[b * words_of_block_ + w] = 0;
        blocks_[b] = {0, free_, 0};
        free_ = b;
      }
    }
  }

  /// The probability that an item that the user has not seen is taken for one that was, as it is now.
  double false_positive_rate(user_id user) const {
    double right = 1;
    for (std::uint32_t b = first_of(user); b != none && hashes_ > 0; b = blocks_[b].next) {
      int set = 0;
      for (std::size_t w = 0; w < words_of_block_; ++w)
        set += std::popcount(words_[b * words_of_block_ + w]);
      right *= 1 - std::pow(set / static_cast<double>(64 * words_of_block_), hashes_);
    }
    return 1 - right;
  }
  /// Memory of a block.
  std::size_t bytes_of_block() const { return sizeof(block) + 8 * words_of_block_; }
  /// Memory in use: that of all blocks, and 4 bytes per user id.
  std::size_t bytes() const { return blocks_.size() * bytes_of_block() + 4 * first_.size(); }

  void visit_state(auto&& visit) {
    visit("method", method_);
    visit("window", days_);
    visit("day", day_);
    visit("capacity", capacity_);
    visit("words_of_block", words_of_block_);
    visit("hashes", hashes_);
    visit("free", free_);
    visit("first", first_);
    visit("words", words_);
    // Arrays of numbers can be saved, blocks cannot.
    std::vector<std::int64_t> days;
    std::vector<std::uint32_t> next, counts;
    for (const block& b : blocks_) {
      days.push_back(b.day);
      next.push_back(b.next);
      counts.push_back(b.count);
    }
    visit("days", days);
    visit("next", next);
    visit("counts", counts);
    if (!is_loading(visit)) return;
    if (next.size() != days.size() || counts.size() != days.size()) refuse_state();
    blocks_.resize(days.size());
    for (std::size_t i = 0; i < days.size(); ++i) blocks_[i] = {days[i], next[i], counts[i]};
    check_state();
  }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  /// One day of one user, or one of the blocks that are free.
  struct block {
    std::int64_t day = 0;
    std::uint32_t next = none;
    std::uint32_t count = 0;  ///< items that were added
  };

  std::int64_t day_of(std::int64_t time) const { return time / day_ - (time % day_ < 0 ? 1 : 0); }
  std::uint32_t first_of(user_id user) const { return user < first_.size() ? first_[user] : none; }

  /// Where an item of a user is in a block, the same in all of them: all of the bits, or the slot or one
  /// after it.
  struct places {
    std::uint64_t bits[64];
    std::uint64_t slot;
  };
  places places_of(user_id user, item_id item) const {
    places at;
    if (method_ == seen_method::exact) {
      at.slot = (mix_key(item) >> 32) * slots() >> 32;
      return at;
    }
    std::uint32_t n = 0;
    // With the user, so that not all users have the same mistakes.
    detail::for_each_bloom_bit(pair_key(user, item), 64 * words_of_block_, hashes_,
                               [&](std::uint64_t bit) {
                                 at.bits[n++] = bit;
                                 return true;
                               });
    return at;
  }
  /// A table is never full.
  std::uint64_t slots() const { return 2 * words_of_block_; }
  std::uint64_t slot_after(std::uint64_t slot) const { return slot + 1 == slots() ? 0 : slot + 1; }
  /// Item + 1, or 0: an empty slot.
  static std::uint32_t id_in(const std::uint64_t* words, std::uint64_t slot) {
    return static_cast<std::uint32_t>(words[slot / 2] >> slot % 2 * 32);
  }
  bool is_in(std::uint32_t b, item_id item, const places& at) const {
    const std::uint64_t* words = words_.data() + b * words_of_block_;
    if (method_ == seen_method::bloom) {
      std::uint32_t i = 0;
      while (i < hashes_ && (words[at.bits[i] / 64] >> at.bits[i] % 64 & 1) != 0) ++i;
      return i == hashes_;
    }
    std::uint64_t slot = at.slot;
    while (id_in(words, slot) != 0 && id_in(words, slot) - 1 != item) slot = slot_after(slot);
    return id_in(words, slot) != 0;
  }

  /// Makes a free block.
  void grow() {
    if (blocks_.size() >= none) throw std::bad_alloc();
    words_.resize((blocks_.size() + 1) * words_of_block_);
    blocks_.emplace_back();
    free_ = static_cast<std::uint32_t>(blocks_.size() - 1);
  }

  [[noreturn]] void refuse_state() {
    *this = seen_filter();  // half of a state must not be read
    throw format_error("a seen filter is damaged: its arrays do not fit together");
  }
  void check_state() {
    const bool bloom = method_ == seen_method::bloom;
    if (method_ > seen_method::exact || days_ < 1 || day_ < 1 || capacity_ < 1 ||
        words_of_block_ < 1 || (bloom ? hashes_ < 1 || hashes_ > 64 : hashes_ != 0) ||
        (!bloom && words_of_block_ <= capacity_ / 2) || words_.size() % words_of_block_ != 0 ||
        words_.size() / words_of_block_ != blocks_.size())
      refuse_state();
    // Each block is in one list.
    std::size_t listed = 0;
    const auto follow = [&](std::uint32_t b) {
      for (; b != none; b = blocks_[b].next)
        if (b >= blocks_.size() || blocks_[b].count > capacity_ || ++listed > blocks_.size())
          refuse_state();
    };
    follow(free_);
    for (const std::uint32_t b : first_) follow(b);
    if (listed != blocks_.size()) refuse_state();
    // Tables have the items that were counted: one that is full would be searched for ever.
    for (std::size_t b = 0; b < blocks_.size() && !bloom; ++b) {
      std::uint32_t count = 0;
      for (std::uint64_t slot = 0; slot < slots(); ++slot)
        count += id_in(words_.data() + b * words_of_block_, slot) != 0 ? 1u : 0u;
      if (count != blocks_[b].count) refuse_state();
    }
  }

  seen_method method_;
  std::uint64_t days_;
  std::int64_t day_;
  std::uint64_t capacity_;
  std::uint64_t words_of_block_ = 0;
  std::uint32_t hashes_ = 0;  // 0 if exact
  std::uint32_t free_ = none;
  std::vector<std::uint32_t> first_;  // block by user
  std::vector<block> blocks_;
  std::vector<std::uint64_t> words_;  // of block after block
};

}  // namespace funnel
