// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/features/hashing.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <vector>

namespace funnel {

/// Options of `vocabulary`.
struct vocabulary_options {
  /// Ids that occur fewer times get no row of their own.
  std::size_t min_count = 1;
};

/// Gives raw ids dense rows of an embedding table: 1, 2, ... in the order they come; row 0 stands
/// for every id it was not given.
///
/// Order       rows follow first occurrence.
/// Errors      std::invalid_argument past 2^32 - 1 rows.
/// Cost        O(1) a call, one cache miss in a large table; 40 to 72 bytes an id, and 2 KB. Ids
///             chosen to meet in the hash cost 128 steps and O(log n) a call.
/// Source      docs/formulas.md#vocabulary.
class vocabulary {
 public:
  vocabulary() = default;
  /// The ids that occur `min_count` times or more.
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
  /// Copies all of it or, where memory runs out, nothing.
  vocabulary& operator=(const vocabulary& other) {
    *this = vocabulary(other);
    return *this;
  }
  vocabulary& operator=(vocabulary&&) noexcept = default;

  /// The id's row, a new one if it had none.
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
      detail::fail("funnel::vocabulary: no row is left after ", ids_.size(), " ids");
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

  /// The id's row, 0 if it has none.
  std::uint32_t find(std::uint64_t id) const {
    if (slots_.empty()) return 0;
    if (const slot* place = position(slots_, id)) return place->row;
    const auto found = crowded_.find(id);
    return found == crowded_.end() ? 0 : found->second;
  }

  /// Rows of the table, row 0 included: one more than there are ids.
  std::size_t rows() const { return ids_.size() + 1; }

  /// The id of a row in [1, rows()).
  std::uint64_t id(std::uint32_t row) const {
    FUNNEL_ASSERT(row > 0 && row < rows());
    return ids_[row - 1];
  }

  /// The ids of rows 1, 2, ...; what to store, and what makes the same vocabulary again.
  std::span<const std::uint64_t> ids() const { return ids_; }

 private:
  struct slot {
    std::uint64_t id = 0;
    std::uint32_t row = 0;  // 0: free
  };

  using tree = std::map<std::uint64_t, std::uint32_t>;

  static constexpr std::size_t longest_walk = 128;

  /// Where the id is, or the free slot where it would go; null where the walk meets neither.
  ///
  /// The table is a power of two and, for the walks that begin at its end, longest_walk - 1 slots
  /// more. Half full at most, it has no walk that long up to some 10^10 random ids.
  static const slot* position(const std::vector<slot>& slots, std::uint64_t id) {
    const slot* place = slots.data() + (mix_key(id) & (slots.size() - longest_walk));
    for (const slot* end = place + longest_walk; place != end; ++place)
      if (place->row == 0 || place->id == id) return place;
    return nullptr;
  }

  void grow() {
    const std::size_t size = slots_.empty() ? 16 : 2 * (slots_.size() - (longest_walk - 1));
    std::vector<slot> slots(size + longest_walk - 1);
    tree crowded;
    for (std::size_t i = 0; i < ids_.size(); ++i) {
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

  std::vector<slot> slots_;
  tree crowded_;  // the ids that found no slot near their own: chosen ones
  std::vector<std::uint64_t> ids_;
};

}  // namespace funnel
