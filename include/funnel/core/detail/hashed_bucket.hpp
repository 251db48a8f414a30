// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>

namespace funnel::detail {

/// One of `buckets` for an id, by Fibonacci hashing: the upper half of the product, in which all bits
/// of the id count, scaled to the number of buckets. With more than 2^32 buckets some are never used.
template <std::unsigned_integral Size>
constexpr Size hashed_bucket(std::uint64_t id, Size buckets) {
  const std::uint64_t upper = id * 0x9e3779b97f4a7c15ULL >> 32;
  return static_cast<Size>(upper * buckets >> 32);
}

}  // namespace funnel::detail
