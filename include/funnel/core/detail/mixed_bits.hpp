// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace funnel::detail {

/// The finalizer of splitmix64, a bijection: every bit of the argument changes about half of the bits
/// of the result. Source: Steele, Lea and Flood, OOPSLA 2014.
constexpr std::uint64_t mixed_bits(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace funnel::detail
