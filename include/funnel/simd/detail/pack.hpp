// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>
#include <funnel/simd/arch.hpp>

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace funnel {

namespace detail {

#ifdef XSIMD_NO_SUPPORTED_ARCHITECTURE
// xsimd declares no registers then, but the functions that take them are still declared.
template <class T, class Arch>
class batch;
template <class T, class Arch>
class batch_bool;
#else
using xsimd::batch;
using xsimd::batch_bool;
#endif

/// A single value with the operations of a SIMD register.
template <class T>
struct scalar_pack {
  static constexpr std::size_t size = 1;
  T value;

  scalar_pack() = default;
  scalar_pack(T v) : value(v) {}
  static scalar_pack load_unaligned(const T* p) { return *p; }
  void store_unaligned(T* p) const { *p = value; }
  friend scalar_pack operator+(scalar_pack a, scalar_pack b) { return a.value + b.value; }
  friend scalar_pack operator-(scalar_pack a, scalar_pack b) { return a.value - b.value; }
  friend scalar_pack operator-(scalar_pack a) { return -a.value; }
  friend scalar_pack operator*(scalar_pack a, scalar_pack b) { return a.value * b.value; }
  friend scalar_pack fma(scalar_pack a, scalar_pack b, scalar_pack c) {
    return std::fma(a.value, b.value, c.value);
  }
  friend scalar_pack max(scalar_pack a, scalar_pack b) {
    return a.value > b.value ? a : b;
  }  // b if one is NaN, as on x86
  friend scalar_pack min(scalar_pack a, scalar_pack b) { return a.value < b.value ? a : b; }
  friend scalar_pack abs(scalar_pack a) { return std::abs(a.value); }
  friend bool operator<(scalar_pack a, scalar_pack b) { return a.value < b.value; }
  friend bool operator<=(scalar_pack a, scalar_pack b) { return a.value <= b.value; }
  friend bool operator>(scalar_pack a, scalar_pack b) { return a.value > b.value; }
  friend bool operator==(scalar_pack a, scalar_pack b) { return a.value == b.value; }
  friend scalar_pack select(bool chosen, scalar_pack a, scalar_pack b) { return chosen ? a : b; }
  friend scalar_pack log1p(scalar_pack a) { return std::log1p(a.value); }
};

template <class Arch, class T>
struct pack_of {
  using type = batch<T, Arch>;
};
template <class T>
struct pack_of<scalar_arch, T> {
  using type = scalar_pack<T>;
};

/// SIMD register: as many values of T as one instruction of Arch works on.
template <class Arch, class T>
using pack = typename pack_of<Arch, T>::type;

template <class Arch, class T>
inline constexpr std::size_t lanes = pack<Arch, T>::size;

#if XSIMD_WITH_AVX512F
// xsimd before 11 uses a multiplication and an addition here. g++ fuses them by itself; clang++
// does not.
template <class Arch>
batch<float, Arch> fma(const batch<float, Arch>& a, const batch<float, Arch>& b,
                       const batch<float, Arch>& c) requires(lanes<Arch, float> == 16) {
  return _mm512_fmadd_ps(a, b, c);
}
template <class Arch>
batch<double, Arch> fma(const batch<double, Arch>& a, const batch<double, Arch>& b,
                        const batch<double, Arch>& c) requires(lanes<Arch, double> == 8) {
  return _mm512_fmadd_pd(a, b, c);
}
#endif

/// Quotient a / b and square root of a, each rounded once as in IEEE 754. The division operator and
/// the square root of xsimd are not used directly: for floats on ARM they are approximations, whose
/// bits differ from those of a value that is computed alone.
template <class T>
scalar_pack<T> quotient(scalar_pack<T> a, scalar_pack<T> b) {
  return a.value / b.value;
}
template <class T>
scalar_pack<T> square_root(scalar_pack<T> a) {
  return std::sqrt(a.value);
}
template <class T, class Arch>
batch<T, Arch> quotient(const batch<T, Arch>& a, const batch<T, Arch>& b) {
#if XSIMD_WITH_NEON64
  if constexpr (std::is_base_of_v<xsimd::neon, Arch> && std::is_same_v<T, float>)
    return batch<T, Arch>(vdivq_f32(a, b));
#endif
  return a / b;
}
template <class T, class Arch>
batch<T, Arch> square_root(const batch<T, Arch>& a) {
#if XSIMD_WITH_NEON64
  if constexpr (std::is_base_of_v<xsimd::neon, Arch> && std::is_same_v<T, float>)
    return batch<T, Arch>(vsqrtq_f32(a));
#endif
  return sqrt(a);
}

/// Maximum (at_least) and minimum (at_most) of x and a bound. If x is NaN it stays NaN; max and min
/// of xsimd return either argument, depending on the version.
template <class Pack>
Pack at_least(const Pack& x, const Pack& bound) {
#if XSIMD_VERSION_MAJOR >= 9
  return select(x < bound, bound, x);
#else
  return max(bound, x);  // one instruction; returns the second argument if one is NaN
#endif
}
template <class Pack>
Pack at_most(const Pack& x, const Pack& bound) {
#if XSIMD_VERSION_MAJOR >= 9
  return select(x > bound, bound, x);
#else
  return min(bound, x);
#endif
}

/// The sum of the lanes, in a fixed order.
template <class T>
T sum_lanes(scalar_pack<T> a) {
  return a.value;
}
template <class T, class Arch>
T sum_lanes(const batch<T, Arch>& a) {
#if XSIMD_VERSION_MAJOR >= 9
  return reduce_add(a);
#else
  return hadd(a);
#endif
}

/// Maximum of N values; N is a power of 2.
template <class Arch, std::size_t N, class T>
T largest_of(const T* values) {
  if constexpr (N == 1) {
    return values[0];
  } else {
    T larger[N / 2];  // loops of constant size become single instructions
    for (std::size_t i = 0; i < N / 2; ++i)
      larger[i] = values[i] > values[i + N / 2] ? values[i] : values[i + N / 2];
    return largest_of<Arch, N / 2>(larger);
  }
}
/// Maximum of the lanes. If one of them is NaN, it is any of the lanes.
template <class T>
T max_lane(const scalar_pack<T>& a) {
  return a.value;
}
template <class T, class Arch>
T max_lane(const batch<T, Arch>& a) {
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(a) == 64 && std::is_same_v<T, float>)
    return _mm512_reduce_max_ps(a);
  else if constexpr (sizeof(a) == 64 && std::is_same_v<T, double>)
    return _mm512_reduce_max_pd(a);
#endif
  T values[batch<T, Arch>::size];
  a.store_unaligned(values);
  return largest_of<Arch, batch<T, Arch>::size>(values);
}

/// Adds all lanes of `b`, converted to double, to `a`: the step of a sum in double over values of
/// T.
template <class T>
scalar_pack<double> add_widened(scalar_pack<double> a, scalar_pack<T> b) {
  return a.value + static_cast<double>(b.value);
}
template <class Arch>
batch<double, Arch> add_widened(const batch<double, Arch>& a, const batch<double, Arch>& b) {
  return a + b;
}
template <class Arch>
batch<double, Arch> add_widened(const batch<double, Arch>& a, const batch<float, Arch>& b) {
  using wide = batch<double, Arch>;
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(wide) == 64) {
    const __m512 all = b;
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(all), 1));
    return a + (wide(_mm512_cvtps_pd(_mm512_castps512_ps256(all))) + wide(_mm512_cvtps_pd(high)));
  }
#endif
#if XSIMD_WITH_AVX
  if constexpr (sizeof(wide) == 32) {
    const __m256 all = b;
    return a + (wide(_mm256_cvtps_pd(_mm256_castps256_ps128(all))) +
                wide(_mm256_cvtps_pd(_mm256_extractf128_ps(all, 1))));
  }
#endif
  float narrow[lanes<Arch, float>];
  b.store_unaligned(narrow);
  double values[2][lanes<Arch, double>];
  for (std::size_t i = 0; i < lanes<Arch, double>; ++i) {
    values[0][i] = static_cast<double>(narrow[i]);
    values[1][i] = static_cast<double>(narrow[lanes<Arch, double> + i]);
  }
  return a + (wide::load_unaligned(values[0]) + wide::load_unaligned(values[1]));
}

/// Loads values, starting at p, as doubles: as many as a register has lanes of double.
template <class Arch, class T>
pack<Arch, double> load_widened(const T* p) {
  using wide = pack<Arch, double>;
  if constexpr (std::is_same_v<T, double>) {
    return wide::load_unaligned(p);
  } else {
#if XSIMD_WITH_AVX512F
    if constexpr (sizeof(wide) == 64) return wide(_mm512_cvtps_pd(_mm256_loadu_ps(p)));
#endif
#if XSIMD_WITH_AVX
    if constexpr (sizeof(wide) == 32) return wide(_mm256_cvtps_pd(_mm_loadu_ps(p)));
#endif
    double values[wide::size];
    for (std::size_t i = 0; i < wide::size; ++i) values[i] = static_cast<double>(p[i]);
    return wide::load_unaligned(values);
  }
}

/// Unsigned integer of the same size as T, for the bits of a value.
template <class T>
using bits_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T, class Arch>
batch<bits_of<T>, Arch> as_bits(const batch<T, Arch>& a) {
  return std::bit_cast<batch<bits_of<T>, Arch>>(a);
}
template <class T, class Arch>
batch<T, Arch> from_bits(const batch<bits_of<T>, Arch>& a) {
  return std::bit_cast<batch<T, Arch>>(a);
}

/// Copies `count` < N values in pieces of constant size, without a loop. (It names Arch, like
/// everything that kernels call: units compiled for different instruction sets must not share it.)
template <class Arch, std::size_t N, class T>
void copy_first(const T* from, T* to, std::size_t count) {
  if constexpr (N > 1) {
    constexpr std::size_t half = N / 2;
    const bool has_half = count >= half;
    if (has_half) std::memcpy(to, from, half * sizeof(T));
    const std::size_t done = has_half ? half : 0;
    copy_first<Arch, half>(from + done, to + done, count - done);
  }
}

/// Masks of the first `count` of 8 lanes, for maskload: the mask is the 8 values that start at
/// 8 - count.
inline constexpr std::int32_t first_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

/// Loads the first `count` < lanes values, and `rest` in the other lanes. Reads nothing beyond
/// them.
template <class Arch, class T>
pack<Arch, T> load_first(const T* p, std::size_t count, T rest = T(0)) {
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(pack<Arch, T>) == 64 && std::is_floating_point_v<T>) {
    const auto mask = (1u << count) - 1;
    const pack<Arch, T> others(rest);
    if constexpr (std::is_same_v<T, float>)
      return pack<Arch, T>(_mm512_mask_loadu_ps(others, static_cast<__mmask16>(mask), p));
    else
      return pack<Arch, T>(_mm512_mask_loadu_pd(others, static_cast<__mmask8>(mask), p));
  }
#endif
#if XSIMD_WITH_AVX
  if constexpr (sizeof(pack<Arch, T>) == 32 && std::is_floating_point_v<T>) {
    const auto mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(
        first_lanes + 8 - count * sizeof(T) / sizeof(first_lanes[0])));
    const pack<Arch, T> others(rest);
    if constexpr (std::is_same_v<T, float>) {
      return pack<Arch, T>(
          _mm256_blendv_ps(others, _mm256_maskload_ps(p, mask), _mm256_castsi256_ps(mask)));
    } else {
      return pack<Arch, T>(
          _mm256_blendv_pd(others, _mm256_maskload_pd(p, mask), _mm256_castsi256_pd(mask)));
    }
  }
#endif
  T values[lanes<Arch, T>];
  for (T& value : values) value = rest;
  copy_first<Arch, lanes<Arch, T>>(p, values, count);
  return pack<Arch, T>::load_unaligned(values);
}

/// Stores the first `count` < lanes values. Writes nothing beyond them.
template <class Arch, class T>
void store_first(const pack<Arch, T>& a, T* p, std::size_t count) {
#if XSIMD_WITH_AVX512F
  if constexpr (sizeof(pack<Arch, T>) == 64 && std::is_floating_point_v<T>) {
    const auto mask = (1u << count) - 1;
    if constexpr (std::is_same_v<T, float>)
      return _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), a);
    else
      return _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), a);
  }
#endif
  T values[lanes<Arch, T>];
  a.store_unaligned(values);
  copy_first<Arch, lanes<Arch, T>>(values, p, count);
}

}  // namespace detail

#if XSIMD_WITH_AVX512F
using detail::fma;
#endif

}  // namespace funnel
