// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>
#include <funnel/simd/detail/unroll.hpp>

#include <cstddef>

namespace funnel::detail {

/// Prefetches `Lines` cache lines, starting at p, and if `one_more` is true also the line of
/// p[last]. Any address is allowed. If `Far` is true, prefetches into L2 only, which has more
/// outstanding reads at a time than L1.
///
/// Inlining is forced: g++ treats a function that only prefetches as one without effects, and
/// removes the calls.
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

/// The same for all lines of `bytes` bytes.
template <bool Far>
FUNNEL_INLINE inline void prefetch_bytes([[maybe_unused]] const void* p,
                                         [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__GNUC__)
  const auto* from = static_cast<const std::byte*>(p);
  for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, Far ? 2 : 3);
#endif
}

/// How many rows ahead a row is prefetched: `far` rows ahead into L2, because memory takes 100 ns,
/// and `near` rows ahead into L1. Measured with rows of 4 lines: 8 and 32 rows ahead take 2/3 of
/// the time of 12 rows ahead into L1 only.
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
