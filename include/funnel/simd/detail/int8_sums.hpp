// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>
#include <funnel/simd/detail/pack.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace funnel {

/// Number of values of an int8 item that stand side by side in a panel: what one 32-bit lane holds.
inline constexpr std::size_t int8_group = 4;

namespace detail {

/// The instructions that multiply bytes.
enum class byte_products { standard, sse2, avx2, avx512bw, avx512vnni };

template <class Arch>
constexpr byte_products byte_products_of() {
#if defined(__AVX512VNNI__)
  if constexpr (std::derived_from<Arch, xsimd::avx512bw>) return byte_products::avx512vnni;
#endif
#if defined(__AVX512BW__)
  if constexpr (std::derived_from<Arch, xsimd::avx512bw>) return byte_products::avx512bw;
#endif
#if defined(__AVX2__)
  if constexpr (std::derived_from<Arch, xsimd::avx2> || std::derived_from<Arch, xsimd::avx512f>)
    return byte_products::avx2;
#endif
#if defined(__SSE2__)
  if constexpr (std::derived_from<Arch, xsimd::sse2>) return byte_products::sse2;
#endif
  return byte_products::standard;
}

/// Sums of products of bytes, one sum per 32-bit lane; exact. `load` loads groups of four unsigned
/// bytes, one per lane. `add` adds the four products of each group with values of a query, the same
/// for all lanes, which come in `words` words: as four bytes in one word, or as 16-bit numbers,
/// (value 0, value 2) and (value 1, value 3).
template <class Arch, byte_products = byte_products_of<Arch>()>
struct int8_sums {
  static constexpr std::size_t width = lanes<Arch, float>;
  static constexpr std::size_t words = 1;

  struct loaded {
    std::uint8_t bytes[width * int8_group];
  };
  static loaded load(const std::uint8_t* from) {
    loaded items;
    std::memcpy(items.bytes, from, sizeof items);
    return items;
  }
  void set(std::int32_t start) {
    for (std::int32_t& s : sum) s = start;
  }
  void add(const loaded& items, const std::uint32_t* query) {
    for (std::size_t b = 0; b < int8_group; ++b) {
      const auto byte = static_cast<std::int32_t>(*query >> 8 * b & 255);
      const std::int32_t value = (byte ^ 128) - 128;  // with its sign
      for (std::size_t i = 0; i < width; ++i) sum[i] += items.bytes[i * int8_group + b] * value;
    }
  }
  void store(std::int32_t* to) const { std::memcpy(to, sum, sizeof sum); }

  std::int32_t sum[width];
};

#if defined(__SSE2__)
template <class Arch>
struct int8_sums<Arch, byte_products::sse2> {
  static constexpr std::size_t width = 4;
  static constexpr std::size_t words = 2;

  struct loaded {
    __m128i even, odd;
  };
  static FUNNEL_INLINE loaded load(const std::uint8_t* from) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return {_mm_and_si128(bytes, _mm_set1_epi16(255)), _mm_srli_epi16(bytes, 8)};
  }
  FUNNEL_INLINE void set(std::int32_t start) { sum = _mm_set1_epi32(start); }
  FUNNEL_INLINE void add(const loaded& items, const std::uint32_t* query) {
    const __m128i even = _mm_set1_epi32(static_cast<int>(query[0]));
    const __m128i odd = _mm_set1_epi32(static_cast<int>(query[1]));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(items.even, even));
    sum = _mm_add_epi32(sum, _mm_madd_epi16(items.odd, odd));
  }
  FUNNEL_INLINE void store(std::int32_t* to) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), sum);
  }

  __m128i sum;
};
#endif

#if defined(__AVX2__)
template <class Arch>
struct int8_sums<Arch, byte_products::avx2> {
  static constexpr std::size_t width = 8;
  static constexpr std::size_t words = 2;

  struct loaded {
    __m256i even, odd;
  };
  static FUNNEL_INLINE loaded load(const std::uint8_t* from) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return {_mm256_and_si256(bytes, _mm256_set1_epi16(255)), _mm256_srli_epi16(bytes, 8)};
  }
  FUNNEL_INLINE void set(std::int32_t start) { sum = _mm256_set1_epi32(start); }
  FUNNEL_INLINE void add(const loaded& items, const std::uint32_t* query) {
    const __m256i even = _mm256_set1_epi32(static_cast<int>(query[0]));
    const __m256i odd = _mm256_set1_epi32(static_cast<int>(query[1]));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(items.even, even));
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(items.odd, odd));
  }
  FUNNEL_INLINE void store(std::int32_t* to) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), sum);
  }

  __m256i sum;
};
#endif

#if defined(__AVX512BW__)
template <class Arch>
struct int8_sums<Arch, byte_products::avx512bw> {
  static constexpr std::size_t width = 16;
  static constexpr std::size_t words = 2;

  struct loaded {
    __m512i even, odd;
  };
  static FUNNEL_INLINE loaded load(const std::uint8_t* from) {
    const __m512i bytes = _mm512_loadu_si512(from);
    return {_mm512_and_si512(bytes, _mm512_set1_epi16(255)), _mm512_srli_epi16(bytes, 8)};
  }
  FUNNEL_INLINE void set(std::int32_t start) { sum = _mm512_set1_epi32(start); }
  FUNNEL_INLINE void add(const loaded& items, const std::uint32_t* query) {
    const __m512i even = _mm512_set1_epi32(static_cast<int>(query[0]));
    const __m512i odd = _mm512_set1_epi32(static_cast<int>(query[1]));
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(items.even, even));
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(items.odd, odd));
  }
  FUNNEL_INLINE void store(std::int32_t* to) const { _mm512_storeu_si512(to, sum); }

  __m512i sum;
};
#endif

#if defined(__AVX512VNNI__)
template <class Arch>
struct int8_sums<Arch, byte_products::avx512vnni> {
  static constexpr std::size_t width = 16;
  static constexpr std::size_t words = 1;

  using loaded = __m512i;
  static FUNNEL_INLINE loaded load(const std::uint8_t* from) { return _mm512_loadu_si512(from); }
  FUNNEL_INLINE void set(std::int32_t start) { sum = _mm512_set1_epi32(start); }
  FUNNEL_INLINE void add(const loaded& items, const std::uint32_t* query) {
    sum = _mm512_dpbusd_epi32(sum, items, _mm512_set1_epi32(static_cast<int>(*query)));
  }
  FUNNEL_INLINE void store(std::int32_t* to) const { _mm512_storeu_si512(to, sum); }

  __m512i sum;
};
#endif

}  // namespace detail
}  // namespace funnel
