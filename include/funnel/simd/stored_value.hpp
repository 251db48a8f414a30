// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/float16.hpp>
#include <funnel/simd/detail/pack.hpp>

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace funnel {

/// Converts to float; exact.
inline float to_float(std::int8_t value) {
  return static_cast<float>(value);
}

namespace detail {

/// Type for computing with stored values: float or double for themselves, float for all others.
template <class Storage>
using computed = std::conditional_t<std::floating_point<Storage>, Storage, float>;

/// Converts float16 values, each in the upper two bytes of a lane, to float: `to_float` for
/// machines without an instruction for it.
template <class Arch>
batch<float, Arch> floats_of_halves(const batch<std::uint32_t, Arch>& words) {
  using floats = batch<float, Arch>;
  using bits = batch<std::uint32_t, Arch>;
  const bits sign = words & bits(0x80000000u);
  const bits magnitude = (words & bits(0x7fffffffu)) >> 3;
  const bits rebased(std::uint32_t{112} << 23);  // from an exponent of base 15 to one of base 127
  const floats normal = from_bits<float>(magnitude + rebased);
  // Exponent 0: subnormal, without an implicit leading bit. Exponent 31: infinity or NaN.
  const floats small =
      from_bits<float>(magnitude + bits(std::uint32_t{113} << 23)) - floats(0x1p-14f);
  const floats special = from_bits<float>(magnitude + rebased + rebased) + floats(0.f);
  const floats value =
      select(normal < floats(0x1p-14f), small, select(normal < floats(0x1p16f), normal, special));
  return from_bits<float>(as_bits(value) | sign);
}

/// Loads stored values, starting at p, and converts them to their computed type: as many as a
/// register has lanes.
template <class Arch, class Storage>
pack<Arch, computed<Storage>> load_stored(const Storage* p) {
  using to = pack<Arch, computed<Storage>>;
  if constexpr (std::floating_point<Storage>) {
    return to::load_unaligned(p);
  } else {
#if defined(__AVX512F__)
    if constexpr (std::derived_from<Arch, xsimd::avx512f>) {
      if constexpr (std::same_as<Storage, std::int8_t>) {
        const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return to(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)));
      } else {
        const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        if constexpr (std::same_as<Storage, float16>) return to(_mm512_cvtph_ps(halves));
        const __m512i words = _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
        return to(_mm512_castsi512_ps(words));
      }
    }
#endif
#if defined(__AVX2__)
    if constexpr (std::derived_from<Arch, xsimd::avx2>) {
      if constexpr (std::same_as<Storage, std::int8_t>) {
        const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        return to(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)));
      }
      const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      if constexpr (std::same_as<Storage, bfloat16>) {
        const __m256i words = _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
        return to(_mm256_castsi256_ps(words));
      }
#if defined(__F16C__)
      return to(_mm256_cvtph_ps(halves));
#else
      return floats_of_halves(as_bits(load_stored<Arch>(reinterpret_cast<const bfloat16*>(p))));
#endif
    }
#endif
#if defined(__SSE2__)
    if constexpr (std::derived_from<Arch, xsimd::sse2>) {
      const __m128i zero = _mm_setzero_si128();
      if constexpr (std::same_as<Storage, std::int8_t>) {
        int four;
        std::memcpy(&four, p, sizeof four);
        // Each code is moved to the upper byte of a word, then shifted down with its sign.
        const __m128i bytes = _mm_unpacklo_epi8(zero, _mm_cvtsi32_si128(four));
        return to(_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(zero, bytes), 24)));
      } else {
        const __m128i halves = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
        const to words(_mm_castsi128_ps(_mm_unpacklo_epi16(zero, halves)));
        if constexpr (std::same_as<Storage, bfloat16>) return words;
        return floats_of_halves(as_bits(words));
      }
    }
#endif
    float values[lanes<Arch, float>];
    for (std::size_t i = 0; i < lanes<Arch, float>; ++i) values[i] = to_float(p[i]);
    return to::load_unaligned(values);
  }
}

}  // namespace detail
}  // namespace funnel
