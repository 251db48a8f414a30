// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Index from each category to the positions of its items in one user's history (behavior
/// sequence). It is built once per request and looked up once per candidate. It also works for
/// clusters, authors or any other id of the items.
///
/// Shapes      categories [n], oldest first, one per item of the history.
/// Order       `find` returns positions newest first.
/// Units       the id `missing` (default: 0) means that an item has no category: such items are in
///             no list, and `find(missing)` returns nothing.
/// Errors      std::invalid_argument if n >= 2^32; std::bad_alloc if memory runs out. The index is
///             unchanged then.
/// Cost        `assign` is O(n) expected for any ids; `find` is O(1) expected. Reserves 28 to 44
///             bytes per item, of which a history with few categories uses 12. `assign` does not
///             allocate if the index held as many items before.
/// Source      the hard search of Pi et al., CIKM 2020; docs/formulas.md#history-search.
class category_index {
 public:
  category_index() = default;
  explicit category_index(std::span<const category_id> categories, category_id missing = 0) {
    assign(categories, missing);
  }
  category_index(const category_index&) = default;
  category_index(category_index&&) noexcept = default;
  /// Copies the whole index; if memory runs out, this index is unchanged.
  category_index& operator=(const category_index& other) {
    *this = category_index(other);
    return *this;
  }
  category_index& operator=(category_index&&) noexcept = default;

  /// Replaces the history by a new one.
  void assign(std::span<const category_id> categories, category_id missing = 0) {
    const std::size_t n = categories.size();
    detail::check_size_of_32_bits("category_index", "categories", n);
    // Allocate everything before anything changes.
    positions_.reserve(n);
    ends_.reserve(n);
    kinds_.reserve(n);
    slots_.reserve(most_slots(n));

    missing_ = missing;
    positions_.resize(n);
    // Small ids are used as list numbers directly; other ids are numbered in order of appearance.
    const std::size_t bound = n > 0 ? std::size_t{largest(categories)} + 1 : 0;
    if (bound <= n / parts_of_many) {
      slots_.clear();
      make_lists(categories.data(), bound);
    } else {
      const std::size_t count = number_kinds(categories);
      make_lists(kinds_.data(), count);
    }
  }

  /// Returns the positions of a category, newest first; empty if the category is missing or
  /// unknown. The span is valid until the next `assign`.
  std::span<const std::uint32_t> find(category_id category) const {
    if (positions_.empty() || category == missing_) return {};
    std::size_t kind = category;
    if (!slots_.empty()) {
      const slot& place = slots_[find_slot(category)];
      if (place.number == 0) return {};
      kind = place.number - 1;
    }
    if (kind >= ends_.size() / parts_) return {};
    const std::uint32_t begin = kind == 0 ? 0 : ends_[kind * parts_ - 1];
    return std::span(positions_).subspan(begin, ends_[(kind + 1) * parts_ - 1] - begin);
  }

 private:
  struct slot {
    category_id category = 0;
    std::uint32_t number = 0;  // 1 + the number of the category's list; 0: a free slot
  };

  // Adjacent items often have the same category, and loading a counter right after storing it is
  // slow. So four parts of the history are counted side by side, each with its own counters.
  static constexpr std::size_t parts_of_many = 4;

  // At most half full, which keeps probing short.
  static std::size_t most_slots(std::size_t n) { return std::bit_ceil(2 * n + 2); }

  static category_id largest(std::span<const category_id> categories) {
    category_id found = 0;
    constexpr std::size_t block = 64;  // a constant size lets the compiler use SIMD instructions
    std::size_t i = 0;
    for (; i + block <= categories.size(); i += block) {
      for (std::size_t j = 0; j < block; ++j) found = std::max(found, categories[i + j]);
    }
    for (; i < categories.size(); ++i) found = std::max(found, categories[i]);
    return found;
  }

  /// The slot where probing for a category starts.
  std::size_t home_of(category_id category) const { return category * multiplier_ >> shift_; }
  /// The slot of the category, or the free slot where it would be inserted.
  std::size_t find_slot(category_id category) const {
    std::size_t i = home_of(category);
    while (slots_[i].number != 0 && slots_[i].category != category) i = (i + 1) & mask_;
    return i;
  }
  /// Puts a new category into the free slot i. Returns false if the slot is so far from its home
  /// slot that the ids must have been chosen against the multiplier.
  bool take_slot(std::size_t i, category_id category, std::size_t number) noexcept {
    constexpr std::size_t furthest = 256;  // 10^6 random ids reach about 70
    slots_[i] = {category, static_cast<std::uint32_t>(number)};
    return ((i - home_of(category)) & mask_) <= furthest;
  }

  /// Clears the table, sets its number of slots to `size` and inserts the categories again.
  void rebuild(std::size_t size, std::span<const category_id> kinds) noexcept {
    for (;; multiplier_ = multiplier_ * 0xbf58476d1ce4e5b9ULL + 2) {  // stays odd
      slots_.assign(size, {});                                        // within the capacity
      mask_ = size - 1;
      shift_ = 64 - static_cast<std::size_t>(std::countr_zero(size));
      std::size_t k = 0;
      while (k < kinds.size() && take_slot(find_slot(kinds[k]), kinds[k], k + 1)) ++k;
      if (k == kinds.size()) return;
    }
  }

  /// Writes the list number of each item to `kinds_` and returns the number of lists.
  std::size_t number_kinds(std::span<const category_id> categories) noexcept {
    const std::size_t n = categories.size();
    const std::size_t most = most_slots(n);
    kinds_.resize(n);
    std::uint32_t* const category_of =
        positions_.data();  // category of each list; unused until the lists are made
    std::size_t count = 0;
    rebuild(std::min<std::size_t>(64, most), {});
    for (std::size_t i = 0; i < n; ++i) {
      const category_id category = categories[i];
      const std::size_t at = find_slot(category);
      if (slots_[at].number == 0) {
        category_of[count++] = category;
        const bool fits = take_slot(at, category, count);
        const bool full = 4 * count > slots_.size() && slots_.size() < most;
        if (full || !fits)
          rebuild(full ? std::min(4 * slots_.size(), most) : slots_.size(), {category_of, count});
        kinds_[i] = static_cast<std::uint32_t>(count - 1);
      } else {
        kinds_[i] = slots_[at].number - 1;
      }
    }
    return count;
  }

  /// Writes the lists one after another; `kinds` holds the list number of each item, below `count`.
  void make_lists(const std::uint32_t* kinds, std::size_t count) noexcept {
    if (count <= positions_.size() / parts_of_many) {
      make_lists<parts_of_many>(kinds, count);
    } else {
      make_lists<1>(kinds, count);
    }
  }
  template <std::size_t Parts>
  void make_lists(const std::uint32_t* kinds, std::size_t count) noexcept {
    const std::size_t n = positions_.size();
    const std::size_t part =
        n / Parts;  // part p is [n - (p + 1) part, n - p part); the last part also has the rest
    parts_ = Parts;
    ends_.assign(count * Parts, 0);
    std::uint32_t* const ends = ends_.data();
    std::uint32_t* const positions = positions_.data();
    const auto in_each_part = [&]<std::size_t... P>(const auto& body, std::index_sequence<P...>) {
      for (std::size_t i = 1; i <= part; ++i) (body(n - P * part - i, P), ...);
      for (std::size_t i = n - Parts * part; i-- > 0;) body(i, Parts - 1);
    };
    constexpr auto all = std::make_index_sequence<Parts>();
    in_each_part([&](std::size_t i, std::size_t p) { ++ends[kinds[i] * Parts + p]; }, all);
    std::uint32_t begin = 0;
    for (std::uint32_t& end : ends_) begin += std::exchange(end, begin);
    in_each_part(
        [&](std::size_t i, std::size_t p) {
          positions[ends[kinds[i] * Parts + p]++] = static_cast<std::uint32_t>(i);
        },
        all);
  }

  category_id missing_ = 0;
  std::size_t parts_ = 1;
  std::vector<std::uint32_t> positions_;  // [n], list by list, newest first
  std::vector<std::uint32_t> ends_;       // [lists, parts]: where the positions of a part end
  std::vector<std::uint32_t> kinds_;      // [n]: the list of each item, if lists are numbered
  std::vector<slot> slots_;  // hash table, a power of two; empty if ids are the list numbers
  std::uint64_t multiplier_ = 0x9e3779b97f4a7c15ULL;  // 2^64 / golden ratio
  std::size_t mask_ = 0;
  std::size_t shift_ = 0;
};

}  // namespace funnel
