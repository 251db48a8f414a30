// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <vector>

namespace funnel {

/// Options of `vocabulary`.
struct vocabulary_options {
  /// Minimum count: ids that occur fewer times do not get a row and share row 0.
  std::size_t min_count = 1;
};

/// Vocabulary: maps raw ids to consecutive rows of an embedding table, 1, 2, ... in order of first
/// occurrence. Row 0 is for all unknown ids.
///
/// Errors      std::invalid_argument if more than 2^32 - 1 rows are needed.
/// Cost        O(1) per call, one cache miss in a large table; 40 to 72 bytes per id, plus 2 KB.
///             Ids chosen to collide in the hash table cost 128 steps and O(log n) per call.
/// Source      docs/formulas.md#vocabulary.
class vocabulary {
 public:
  vocabulary() = default;
  /// Makes a vocabulary of the ids that occur `min_count` times or more.
  explicit vocabulary(std::span<const std::uint64_t> ids, const vocabulary_options& options = {}) {
    const std::size_t min_count = options.min_count;
    if (min_count <= 1) {
      for (const std::uint64_t id : ids) add(id);
      return;
    }
    vocabulary every(ids);
    std::vector<std::size_t> counts(every.rows(), 0);
    for (const std::uint64_t id : ids) ++counts[every.find(id)];
    for (std::uint32_t row = 1; row < every.rows(); ++row)
      if (counts[row] >= min_count) add(every.id(row));
  }

  vocabulary(const vocabulary&) = default;
  vocabulary(vocabulary&&) noexcept = default;
  /// Copies the whole vocabulary; if memory runs out, this object is unchanged.
  vocabulary& operator=(const vocabulary& other) {
    *this = vocabulary(other);
    return *this;
  }
  vocabulary& operator=(vocabulary&&) noexcept = default;

  /// Returns the row of an id; an unknown id is added first.
  std::uint32_t add(std::uint64_t id) {
    if (2 * (ids_.size() + 1) + longest_walk - 1 > slots_.size()) grow();
    const slot* place = position(slots_, id);
    if (place == nullptr) {
      const auto found = crowded_.find(id);
      if (found != crowded_.end()) return found->second;
    } else if (place->row != 0) {
      return place->row;
    }
    if (ids_.size() >= std::numeric_limits<std::uint32_t>::max() - 1)
      detail::fail("funnel::vocabulary: the vocabulary has ", ids_.size(),
                   " ids, expected fewer: rows are numbered in 32 bits");
    const auto row = static_cast<std::uint32_t>(ids_.size() + 1);
    ids_.push_back(id);
    if (place != nullptr) {
      slots_[static_cast<std::size_t>(place - slots_.data())] = {id, row};
      return row;
    }
    try {
      crowded_.emplace(id, row);
    } catch (...) {
      ids_.pop_back();
      throw;
    }
    return row;
  }

  /// Returns the row of an id; 0 if it is unknown.
  std::uint32_t find(std::uint64_t id) const {
    if (slots_.empty()) return 0;
    if (const slot* place = position(slots_, id)) return place->row;
    const auto found = crowded_.find(id);
    return found == crowded_.end() ? 0 : found->second;
  }

  /// Asks the processor for the memory that `find` and `add` read of an id: call it for some ids
  /// before looking them up.
  FUNNEL_INLINE void prefetch(std::uint64_t id) const {
    if (!slots_.empty()) prefetch_in(slots_, id);
  }

  /// Number of rows of the table, row 0 included: one more than the number of ids.
  std::size_t rows() const { return ids_.size() + 1; }

  /// Returns the id of a row in [1, rows()).
  std::uint64_t id(std::uint32_t row) const {
    FUNNEL_ASSERT(row > 0 && row < rows());
    return ids_[row - 1];
  }

  /// The ids of rows 1, 2, ...
  std::span<const std::uint64_t> ids() const { return ids_; }

  /// See `HasState`. Throws a format_error if an id that was loaded is there twice.
  void visit_state(auto&& visit) {
    if (is_loading(visit)) {
      std::vector<std::uint64_t> ids;
      visit("ids", ids);
      *this = loaded(ids);
    } else {
      visit("ids", ids_);
    }
  }

 private:
  struct slot {
    std::uint64_t id = 0;
    std::uint32_t row = 0;  // 0: free slot
  };

  using tree = std::map<std::uint64_t, std::uint32_t>;

  static constexpr std::size_t longest_walk = 128;

  /// Returns the slot of the id, or the free slot where it would be inserted; null if probing finds
  /// neither within longest_walk steps.
  ///
  /// The table size is a power of two plus longest_walk - 1 slots, for walks that begin near the
  /// end. At most half full, it has no walk that long for up to about 10^10 random ids.
  static const slot* position(const detail::aligned_vector<slot>& slots, std::uint64_t id) {
    const slot* place = slots.data() + (mix_key(id) & (slots.size() - longest_walk));
    for (const slot* end = place + longest_walk; place != end; ++place)
      if (place->row == 0 || place->id == id) return place;
    return nullptr;
  }

  FUNNEL_INLINE static void prefetch_in(const detail::aligned_vector<slot>& slots,
                                        std::uint64_t id) {
    detail::prefetch_bytes<false>(slots.data() + (mix_key(id) & (slots.size() - longest_walk)),
                                  sizeof(slot));
  }

  /// A vocabulary of ids that were loaded.
  static vocabulary loaded(std::span<const std::uint64_t> ids) {
    vocabulary all;
    detail::check_loaded([&] { all = vocabulary(ids); });
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (i >= all.ids_.size() || all.ids_[i] != ids[i])
        throw format_error(detail::join_text("vocabulary: ids[", i, "] is ", ids[i],
                                             " again, expected each id once"));
    return all;
  }

  void grow() {
    const std::size_t size = slots_.empty() ? 16 : 2 * (slots_.size() - (longest_walk - 1));
    detail::aligned_vector<slot> slots(size + longest_walk - 1);
    tree crowded;
    constexpr std::size_t ahead = 16;
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      if (i + ahead < ids_.size()) prefetch_in(slots, ids_[i + ahead]);
      const slot* place = position(slots, ids_[i]);
      const auto row = static_cast<std::uint32_t>(i + 1);
      if (place == nullptr)
        crowded.emplace(ids_[i], row);
      else
        slots[static_cast<std::size_t>(place - slots.data())] = {ids_[i], row};
    }
    slots_.swap(slots);
    crowded_.swap(crowded);
  }

  detail::aligned_vector<slot> slots_;
  tree crowded_;  // ids that found no slot within longest_walk steps: only chosen ids do that
  std::vector<std::uint64_t> ids_;
};

}  // namespace funnel
