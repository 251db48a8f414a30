// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>

#include <cstddef>
#include <type_traits>

namespace funnel::detail {

/// Folds two registers of floats: [a0 + a2, b0 + b2, a1 + a3, b1 + b3] in every 128 bits.
template <class Pack>
FUNNEL_INLINE inline Pack fold([[maybe_unused]] const Pack& a,
                               [[maybe_unused]] const Pack& b) noexcept {
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(Pack) == 64)
    return Pack(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
#endif
#if XSIMD_WITH_AVX
  if constexpr (sizeof(Pack) == 32)
    return Pack(_mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)));
#endif
#if XSIMD_WITH_SSE2
  if constexpr (sizeof(Pack) == 16)
    return Pack(_mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)));
#endif
}

/// Sums the lanes of x[0] to x[3] within every 128 bits, side by side.
template <class Pack>
FUNNEL_INLINE inline Pack fold_four(const Pack* x) noexcept {
  return fold(fold(x[0], x[2]), fold(x[1], x[3]));
}

/// Sums the lanes of as many registers as a register has lanes: lane i of the result is the sum of
/// the lanes of x[i]. All sums are added in the same order. For floats on x86 and 64-bit ARM it
/// takes 3 (lanes - 1) instructions or fewer; `sum_lanes` would take about 7 per register.
template <class T, class Arch>
FUNNEL_INLINE inline pack<Arch, T> sum_registers(Arch, const pack<Arch, T>* x) noexcept {
  using p = pack<Arch, T>;
#if XSIMD_WITH_AVX512F
  if constexpr (std::is_same_v<T, float> && sizeof(p) == 64) {
    __m512 s[4];
    for (int i = 0; i < 4; ++i) s[i] = fold_four(x + 4 * i);
    const __m512 low = _mm512_add_ps(_mm512_shuffle_f32x4(s[0], s[1], 0x44),
                                     _mm512_shuffle_f32x4(s[0], s[1], 0xee));
    const __m512 high = _mm512_add_ps(_mm512_shuffle_f32x4(s[2], s[3], 0x44),
                                      _mm512_shuffle_f32x4(s[2], s[3], 0xee));
    return p(_mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88),
                           _mm512_shuffle_f32x4(low, high, 0xdd)));
  }
#endif
#if XSIMD_WITH_AVX
  if constexpr (std::is_same_v<T, float> && sizeof(p) == 32) {
    const __m256 a = fold_four(x);
    const __m256 b = fold_four(x + 4);
    return p(_mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)));
  }
#endif
#if XSIMD_WITH_SSE2
  if constexpr (std::is_same_v<T, float> && sizeof(p) == 16) return fold_four(x);
#endif
#if XSIMD_WITH_NEON64
  if constexpr (std::is_same_v<T, float> && sizeof(p) == 16)
    return p(vpaddq_f32(vpaddq_f32(x[0], x[1]), vpaddq_f32(x[2], x[3])));
#endif
  T sums[lanes<Arch, T>];
  for (std::size_t i = 0; i < lanes<Arch, T>; ++i) sums[i] = sum_lanes(x[i]);
  return p::load_unaligned(sums);
}

}  // namespace funnel::detail
