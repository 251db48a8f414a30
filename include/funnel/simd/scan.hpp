// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/pack.hpp>

#include <cstddef>

namespace funnel {

/// The first i in [begin, n) whose value is not <= `bound`: larger, or one of the two is NaN; n if
/// there is none.
///
/// Cost        a comparison a register, and one a value in the register that holds i.
template <class Arch, class T>
std::size_t find_above_kernel(Arch, const T* values, std::size_t begin, std::size_t n,
                              T bound) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, T>;
  std::size_t i = begin;
  if constexpr (width > 1) {
    using p = detail::pack<Arch, T>;
    const p bounds(bound);
    for (; i + width <= n; i += width) {
      if (any(!(p::load_unaligned(values + i) <= bounds))) break;
    }
  }
  while (i < n && values[i] <= bound) ++i;
  return i;
}

}  // namespace funnel
