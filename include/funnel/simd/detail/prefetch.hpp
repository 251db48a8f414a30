// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>
#include <funnel/simd/detail/unroll.hpp>

#include <cstddef>

namespace funnel::detail {

/// Asks for `Lines` cache lines from p on, and for the line of p[last] where that may be one more.
/// No address is wrong. `Far` asks for them in the second level of the cache alone, which waits for
/// more lines at a time than the first.
///
/// Inlined by force: g++ takes a function that only prefetches for one without effects, and drops
/// the calls.
template <std::size_t Lines, bool Far>
FUNNEL_INLINE inline void prefetch_lines([[maybe_unused]] const void* p,
                                         [[maybe_unused]] bool one_more,
                                         [[maybe_unused]] std::size_t last) noexcept {
#if defined(__GNUC__)
  constexpr int locality = Far ? 2 : 3;
  const auto* from = static_cast<const std::byte*>(p);
  for (std::size_t line = 0; line < Lines; ++line)
    __builtin_prefetch(from + 64 * line, 0, locality);
  if (one_more) __builtin_prefetch(from + last, 0, locality);
#endif
}

/// The same for as many lines as `bytes` bytes take.
template <bool Far>
FUNNEL_INLINE inline void prefetch_bytes([[maybe_unused]] const void* p,
                                         [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__GNUC__)
  const auto* from = static_cast<const std::byte*>(p);
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, Far ? 2 : 3);
#endif
}

/// How many rows ahead a row of some bytes is asked for: into the second level of the cache long
/// before, as memory takes 100 ns, and into the first soon before. Measured on rows of 4 lines: 8 and
/// 32 rows take 2/3 of the time of 12 into the first level alone.
struct rows_ahead {
  std::size_t near;
  std::size_t far;

  explicit constexpr rows_ahead(std::size_t bytes)
      : near(bytes <= 64    ? 32
             : bytes >= 512 ? 4
                            : 2048 / bytes),
        far(4 * near) {}
};

}  // namespace funnel::detail
