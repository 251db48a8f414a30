// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/find.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

namespace funnel::detail {

/// `value` in float, rounded up: a little more than `value` or equal.
inline float rounded_up(double value) {
  constexpr double ulps = 8 * static_cast<double>(std::numeric_limits<float>::epsilon());
  constexpr double most = static_cast<double>(std::numeric_limits<float>::max());
  const double more = value + ulps * std::abs(value);
  return more > most ? std::numeric_limits<float>::infinity()
                     : static_cast<float>(std::max(more, -most));
}

/// Position of the first of `values` that equals `wanted`; there must be one.
template <class Arch>
std::size_t first_equal(const float* values, float wanted) {
  using wide = pack<Arch, float>;
  std::size_t i = 0;
  std::uint32_t equal = 0;
  while ((equal = lane_bits(wide::load_unaligned(values + i) == wide(wanted))) == 0)
    i += wide::size;
  return i + static_cast<std::size_t>(std::countr_zero(equal));
}

/// Bit mask of the lanes of one register of bounds that are at least about `enough` and not
/// -infinity.
template <class Arch>
std::uint32_t lanes_that_reach(double enough, const float* bounds) {
  using wide = pack<Arch, float>;
  const wide values = wide::load_unaligned(bounds);
  return lane_bits(wide(-rounded_up(-enough)) <= values) &
         lane_bits(wide(-std::numeric_limits<float>::infinity()) < values);
}

/// Maximum of many bounds that change one at a time: a tree in which each node holds the largest of
/// the 16 values below it.
template <class Arch>
class bound_maximum {
 public:
  static constexpr float none = -std::numeric_limits<float>::infinity();

  bound_maximum(std::size_t count, arena& scratch) {
    do {
      count = (count / block + 1) * block;
      levels_[height_] = scratch.allocate<float>(count);
      std::fill_n(levels_[height_++], count, none);
      count /= block;
    } while (count > 1);
  }

  /// Bound i.
  float operator[](std::size_t i) const { return levels_[0][i]; }

  /// Sets bound i.
  void set(std::size_t i, float bound) {
    float before = std::exchange(levels_[0][i], bound);
    for (std::size_t level = 1; level < height_; ++level) {
      i /= block;
      float& largest = levels_[level][i];
      if (bound < largest) {
        if (before < largest) return;  // another one is the largest
        bound = largest_of<Arch, block>(levels_[level - 1] + i * block);
      }
      if (bound == largest) return;
      before = std::exchange(largest, bound);
    }
  }

  /// Sets bound i to `bound(i)`, for i < count.
  template <class F>
  void assign(std::size_t count, const F& bound) {
    for (std::size_t i = 0; i < count; ++i) levels_[0][i] = bound(i);
    for (std::size_t level = 1; level < height_; ++level) {
      count = (count + block - 1) / block;
      for (std::size_t i = 0; i < count; ++i)
        levels_[level][i] = largest_of<Arch, block>(levels_[level - 1] + i * block);
    }
  }

  /// Index of the largest bound; the first one of equal bounds.
  std::size_t find() const {
    std::size_t i = 0;
    const float largest = largest_of<Arch, block>(levels_[height_ - 1]);
    for (std::size_t level = height_; level-- > 0;) {
      i *= block;
      i += first_equal<Arch>(levels_[level] + i, largest);
    }
    return i;
  }

 private:
  static constexpr std::size_t block = 16;

  float* levels_[16] = {};  // room for 16^16 bounds, more than there can be
  std::size_t height_ = 0;
};

}  // namespace funnel::detail
