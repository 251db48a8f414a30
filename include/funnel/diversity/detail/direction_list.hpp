// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/simd/interleaved_dot.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// A list of directions (vectors), interleaved in the blocks that `interleaved_dot_kernel` reads.
template <class Arch>
class direction_list {
 public:
  direction_list(std::size_t d, std::size_t capacity, arena& scratch) : d_(d), capacity_(capacity) {
    const std::size_t blocks = (capacity + direction_block - 1) / direction_block;
    data_ = scratch.allocate<float>(blocks * direction_block * d + direction_slack);
    rows_ = scratch.allocate<float>(direction_block * d);
    std::fill_n(data_, blocks * direction_block * d + direction_slack,
                0.f);  // the kernel may read past the last direction
    std::fill_n(rows_, direction_block * d, 0.f);
  }

  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  const float* data() const { return data_; }

  /// Appends the direction factor * values, [d].
  template <class Value>
  void add(const Value* values, Value factor = 1) {
    float* to = data_ + size_ / direction_block * direction_block * d_ + size_ % direction_block;
    for (std::size_t f = 0; f < d_; ++f)
      to[f * direction_block] = static_cast<float>(values[f] * factor);
    ++size_;
  }

  /// Copies direction s to `values`, [d].
  void read(std::size_t s, float* values) const {
    const float* from = data_ + s / direction_block * direction_block * d_ + s % direction_block;
    for (std::size_t f = 0; f < d_; ++f) values[f] = from[f * direction_block];
  }

  /// Replaces the list by `count` directions, direction s being factor * values(s).
  template <class Value, class Values>
  void assign(std::size_t count, const Values& values, Value factor = 1) {
    for (std::size_t begin = 0; begin < count; begin += direction_block) {
      for (std::size_t s = begin; s < std::min(count, begin + direction_block); ++s) {
        const Value* from = values(s);
        float* row = rows_ + (s - begin) * d_;
        for (std::size_t f = 0; f < d_; ++f) row[f] = static_cast<float>(from[f] * factor);
      }
      interleave_rows_kernel<direction_block>(Arch{}, rows_, d_, data_ + begin * d_);
    }
    size_ = count;
  }

 private:
  std::size_t d_;
  std::size_t capacity_;
  float* data_;
  float* rows_;  // one block before it is interleaved
  std::size_t size_ = 0;
};

}  // namespace funnel::detail
