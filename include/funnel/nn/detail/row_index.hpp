// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

namespace funnel::detail {

/// Hash table from rows of an embedding table to numbers below 2^32 - 1, such as positions in a list
/// of rows. Its size follows the number of rows in it, not that of the table.
class row_index {
 public:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  /// Makes room for `count` rows.
  void reserve(std::size_t count) {
    if (has_room(count)) return;
    row_index larger;
    larger.entries_.resize(std::bit_ceil(2 * std::max<std::size_t>(count, 8)));
    larger.shift_ = 32 - std::countr_zero(larger.entries_.size());
    for (const entry& e : entries_)
      if (e.value != none) larger[e.row] = e.value;
    *this = std::move(larger);
  }
  /// True if `count` rows fit.
  bool has_room(std::size_t count) const { return 2 * count <= entries_.size(); }

  /// The number of a row; `none` if it has none, which the caller then sets. There must be room.
  std::uint32_t& operator[](std::uint32_t row) {
    std::size_t i = home_of(row);
    while (entries_[i].value != none && entries_[i].row != row) i = (i + 1) & (entries_.size() - 1);
    entries_[i].row = row;
    return entries_[i].value;
  }
  void clear() { std::ranges::fill(entries_, entry{}); }

 private:
  struct entry {
    std::uint32_t row = 0;
    std::uint32_t value = none;
  };

  /// Where the search for a row begins: the first bits of a product, which differ also for rows in
  /// sequence.
  std::size_t home_of(std::uint32_t row) const {
    return static_cast<std::size_t>((row * 0x9e3779b1U) >> shift_);
  }

  aligned_vector<entry> entries_;  // a power of two, at most half of them in use
  int shift_ = 0;
};

}  // namespace funnel::detail
