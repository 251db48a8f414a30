// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace funnel {
namespace detail {

/// Bit mask of a comparison: bit i is the result of lane i.
inline std::uint32_t lane_bits(bool holds) {
  return holds;
}
template <class T, class Arch>
std::uint32_t lane_bits(const batch_bool<T, Arch>& lanes_that_hold) {
#if XSIMD_VERSION_MAJOR >= 9
  return static_cast<std::uint32_t>(lanes_that_hold.mask());
#else
  const typename batch_bool<T, Arch>::register_type r = lanes_that_hold;
  if constexpr (sizeof(r) <= 8) {
    return static_cast<std::uint32_t>(r);  // a mask register
#if XSIMD_WITH_AVX
  } else if constexpr (sizeof(r) == 32 && sizeof(T) == 4) {
    return static_cast<std::uint32_t>(_mm256_movemask_ps(std::bit_cast<__m256>(r)));
#endif
#if XSIMD_WITH_SSE2
  } else if constexpr (sizeof(r) == 16 && sizeof(T) == 4) {
    return static_cast<std::uint32_t>(_mm_movemask_ps(std::bit_cast<__m128>(r)));
#endif
  } else {
    constexpr std::size_t width = batch_bool<T, Arch>::size;
    bool values[width];
    lanes_that_hold.store_unaligned(values);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < width; ++i) bits |= std::uint32_t{values[i]} << i;
    return bits;
  }
#endif
}

}  // namespace detail

/// Finds the first i in [begin, n) whose value is not <= `bound`: it is larger, or one of the two
/// is NaN. Returns n if there is none.
///
/// Cost        one comparison per register.
template <class Arch, class T>
std::size_t find_above_kernel(Arch, const T* values, std::size_t begin, std::size_t n,
                              T bound) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, T>;
  std::size_t i = begin;
  if constexpr (width > 1) {
    using p = detail::pack<Arch, T>;
    const p bounds(bound);
    for (; i + width <= n; i += width) {
      const std::uint32_t above = detail::lane_bits(!(p::load_unaligned(values + i) <= bounds));
      if (above != 0) return i + static_cast<std::size_t>(std::countr_zero(above));
    }
  }
  while (i < n && values[i] <= bound) ++i;
  return i;
}

/// Finds the last positions at which one of `N` arrays of ids has its wanted value.
///
/// Writes the positions i < n where ids[l][i] == wanted[l] for any l: the last `most` of them, from
/// last to first. Returns their number.
///
/// Cost        reads the arrays from their ends until enough positions are found: one comparison
///             per register and array, and one step per position.
template <class Arch, std::size_t N>
std::size_t find_last_equal_kernel(Arch, const std::uint32_t* const (&ids)[N],
                                   const std::uint32_t (&wanted)[N], std::size_t n,
                                   std::uint32_t* positions, std::size_t most) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, std::uint32_t>;
  [[maybe_unused]] constexpr std::size_t ahead = 1024;  // ids: 4 KB
  std::size_t count = 0;
  std::size_t i = n;
  if constexpr (width > 1) {
    using p = detail::pack<Arch, std::uint32_t>;
    const auto equal = [&](std::size_t at) {
      auto any_of = p::load_unaligned(ids[0] + at) == p(wanted[0]);
      for (std::size_t l = 1; l < N; ++l)
        any_of = any_of | (p::load_unaligned(ids[l] + at) == p(wanted[l]));
      return any_of;
    };
    for (; i >= 4 * width && count < most; i -= 4 * width) {
      // The hardware prefetcher is less effective when memory is read backward.
      for (std::size_t l = 0; l < N && i > ahead + 4 * width; ++l)
        for (std::size_t v = 1; v <= 4; ++v)
          detail::prefetch_bytes<false>(ids[l] + i - ahead - v * width, 1);
      std::uint64_t bits = 0;
      for (std::size_t v = 1; v <= 4; ++v)
        bits = bits << width | detail::lane_bits(equal(i - v * width));
      for (; bits != 0 && count < most; ++count) {
        const auto last = static_cast<std::size_t>(std::countl_zero(bits)) ^ 63;
        positions[count] = static_cast<std::uint32_t>(i - 4 * width + last);
        bits ^= std::uint64_t{1} << last;
      }
    }
  }
  for (; i > 0 && count < most; --i) {
    bool found = false;
    for (std::size_t l = 0; l < N; ++l) found = found || ids[l][i - 1] == wanted[l];
    if (found) positions[count++] = static_cast<std::uint32_t>(i - 1);
  }
  return count;
}

}  // namespace funnel
