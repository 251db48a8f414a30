// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>

#include <cstddef>
#include <type_traits>

namespace funnel::detail {

/// Transposes 4 scaled rows: to[k][i] = factors[i] rows[i][k] for i, k < 4.
template <class Arch, class T>
void transpose_4_rows(Arch, const T* const (&rows)[4], const T (&factors)[4], T* to,
                      std::size_t to_stride) noexcept {
#if XSIMD_WITH_SSE2
  if constexpr (std::is_same_v<T, float> && lanes<Arch, T> >= 4) {
    __m128 a = _mm_loadu_ps(rows[0]);
    __m128 b = _mm_loadu_ps(rows[1]);
    __m128 c = _mm_loadu_ps(rows[2]);
    __m128 d = _mm_loadu_ps(rows[3]);
    const __m128 ab_low = _mm_unpacklo_ps(a, b);
    const __m128 ab_high = _mm_unpackhi_ps(a, b);
    const __m128 cd_low = _mm_unpacklo_ps(c, d);
    const __m128 cd_high = _mm_unpackhi_ps(c, d);
    const __m128 factor = _mm_loadu_ps(factors);
    _mm_storeu_ps(to, _mm_mul_ps(_mm_movelh_ps(ab_low, cd_low), factor));
    _mm_storeu_ps(to + to_stride, _mm_mul_ps(_mm_movehl_ps(cd_low, ab_low), factor));
    _mm_storeu_ps(to + 2 * to_stride, _mm_mul_ps(_mm_movelh_ps(ab_high, cd_high), factor));
    _mm_storeu_ps(to + 3 * to_stride, _mm_mul_ps(_mm_movehl_ps(cd_high, ab_high), factor));
    return;
  }
#endif
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t k = 0; k < 4; ++k) to[k * to_stride + i] = factors[i] * rows[i][k];
  }
}

#if XSIMD_WITH_AVX
/// The same for 8 rows and i, k < 8; to[k] is at to + 8 k.
template <class Arch>
void transpose_8_rows(const float* const* rows, std::size_t from, __m256 factors,
                      float* to) noexcept {
  __m256 r[8], pairs[8], fours[8];
  for (std::size_t i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows[i] + from);
  for (std::size_t i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (std::size_t i = 0; i < 8; i += 4)
    for (std::size_t k = 0; k < 2; ++k) {
      fours[i + 2 * k] = _mm256_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0x44);
      fours[i + 2 * k + 1] = _mm256_shuffle_ps(pairs[i + k], pairs[i + k + 2], 0xee);
    }
  for (std::size_t k = 0; k < 4; ++k) {
    const __m256 low = _mm256_permute2f128_ps(fours[k], fours[k + 4], 0x20);
    const __m256 high = _mm256_permute2f128_ps(fours[k], fours[k + 4], 0x31);
    _mm256_storeu_ps(to + 8 * k, _mm256_mul_ps(low, factors));
    _mm256_storeu_ps(to + 8 * (k + 4), _mm256_mul_ps(high, factors));
  }
}
#endif

/// Transposes a scaled 4 x 4 matrix: to[k][i] = scale from[i][k] for i, k < 4.
template <class Arch, class T>
void transpose_4x4(Arch arch, const T* from, std::size_t from_stride, T scale, T* to,
                   std::size_t to_stride) noexcept {
  transpose_4_rows(arch, {from, from + from_stride, from + 2 * from_stride, from + 3 * from_stride},
                   {scale, scale, scale, scale}, to, to_stride);
}

}  // namespace funnel::detail
