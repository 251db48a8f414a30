// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/detail/row_index.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/optim/detail/sum_parts.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel::detail {

/// The rows of an embedding table that the parts of a batch have gradients of. A row that several
/// parts have counts as one of the first of them; the others are linked to it.
///
/// An entry is a row of a part: the parts' lists one after another.
template <class T>
class merged_rows {
 public:
  /// The gradient of the table in each part; null where a part has none.
  explicit merged_rows(std::span<parameter_gradient<T>* const> parts)
      : parts_(parts.begin(), parts.end()), begins_{0} {
    for (const parameter_gradient<T>* part : parts_)
      begins_.push_back(begins_.back() + (part == nullptr ? 0 : part->touched().size()));
    if (begins_.back() >= later) {
      fail("funnel::optimizer: the parts of the batch have ", begins_.back(),
           " rows of one table, expected fewer than 2^31");
    }
    next_.resize(begins_.back());
  }

  /// Links the entries of every `slices`-th row. Different slices may run on different threads.
  void link(std::size_t slice, std::size_t slices) {
    row_index last;  // the last entry of each row so far
    last.reserve(begins_.back() / slices);
    std::size_t count = 0;
    for (std::size_t part = 0; part < parts_.size(); ++part) {
      if (parts_[part] == nullptr) continue;
      const std::span<const std::uint32_t> rows = parts_[part]->touched();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (slices > 1 && slice_of(rows[i], slices) != slice) continue;
        if (!last.has_room(count + 1)) last.reserve(2 * (count + 1));
        const std::uint32_t entry = static_cast<std::uint32_t>(begins_[part] + i);
        std::uint32_t& kept = last[rows[i]];
        if (kept == row_index::none) {
          ++count;
        } else {
          next_[kept] |= entry;
          next_[entry] = later;
        }
        kept = entry;
      }
    }
  }

  /// True if an earlier part has the row too.
  bool counts_earlier(std::size_t part, std::size_t i) const {
    return (next_[begins_[part] + i] & later) != 0;
  }
  /// Sums the gradients that the parts have of a row, into that of the first of them, along the tree
  /// of `sum_parts`. Those of the others are overwritten.
  template <class Arch>
  void sum(Arch arch, std::size_t part, std::size_t i) noexcept {
    std::uint32_t entry = next_[begins_[part] + i] & ~later;
    if (entry == 0) return;  // no other part has it; entry 0 is nobody's next
    const std::size_t cols = parts_[part]->values().cols();
    // Sums that wait for their right side, from left to right, each with its first part. The common
    // node of two parts is the higher, the higher the first bit in which their numbers differ.
    std::array<T*, std::bit_width(most_parts)> sums;
    std::array<std::size_t, std::bit_width(most_parts)> first;
    std::size_t waiting = 1;
    const auto add_to_left = [&](std::size_t at) {
      T* const left = sums[at - 1];
      const T* const right = sums[at];
      map(
          arch, cols, left, [](const auto& x, const auto& y) { return x + y; },
          static_cast<const T*>(left), right);
    };
    sums[0] = parts_[part]->values().row(i).data();
    first[0] = part;
    for (std::size_t other = part; entry != 0; entry = next_[entry] & ~later) {
      const std::size_t last = other;
      while (begins_[other + 1] <= entry) ++other;
      while (waiting > 1 && (first[waiting - 2] ^ first[waiting - 1]) < (last ^ other))
        add_to_left(--waiting);
      sums[waiting] = parts_[other]->values().row(entry - begins_[other]).data();
      first[waiting++] = other;
    }
    while (waiting > 1) add_to_left(--waiting);
  }

 private:
  static constexpr std::uint32_t later = std::uint32_t{1} << 31;

  /// Rows that are next to each other belong to different slices.
  static std::size_t slice_of(std::uint32_t row, std::size_t slices) {
    return (std::uint64_t{row * 0x85ebca6bU} * slices) >> 32;
  }

  std::vector<parameter_gradient<T>*> parts_;
  std::vector<std::size_t> begins_;  // the first entry of each part
  // The entry of the same row in the next part that has it, or 0; and `later` if there is one in an
  // earlier part.
  std::vector<std::uint32_t> next_;
};

}  // namespace funnel::detail
