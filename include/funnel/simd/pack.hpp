// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <xsimd/xsimd.hpp>

namespace funnel {

/// The instruction set the compiler's flags allow: the default of every `class Arch` parameter.
using default_arch = xsimd::default_arch;

/// One value at a time, in standard C++: the twin every kernel is tested against and the fallback
/// without SIMD.
struct scalar_arch {};

namespace detail {

/// One value with the operations of a SIMD register.
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
  friend scalar_pack operator/(scalar_pack a, scalar_pack b) { return a.value / b.value; }
  friend scalar_pack fma(scalar_pack a, scalar_pack b, scalar_pack c) {
    return std::fma(a.value, b.value, c.value);
  }
  friend scalar_pack max(scalar_pack a, scalar_pack b) {
    return a.value > b.value ? a : b;
  }  // NaN: b, as x86 does
  friend scalar_pack exp(scalar_pack a) { return std::exp(a.value); }
  friend scalar_pack tanh(scalar_pack a) { return std::tanh(a.value); }
  friend scalar_pack erf(scalar_pack a) { return std::erf(a.value); }
};

template <class Arch, class T>
struct pack_of {
  using type = xsimd::batch<T, Arch>;
};
template <class T>
struct pack_of<scalar_arch, T> {
  using type = scalar_pack<T>;
};
// xsimd names the absence of an instruction set so.
template <class T>
struct pack_of<xsimd::unavailable, T> : pack_of<scalar_arch, T> {};

/// As many values of T as one instruction of Arch works on.
template <class Arch, class T>
using pack = typename pack_of<Arch, T>::type;

template <class Arch, class T>
inline constexpr std::size_t lanes = pack<Arch, T>::size;

/// The sum of the lanes, in a fixed order.
template <class T>
T sum_lanes(scalar_pack<T> a) {
  return a.value;
}
template <class T, class Arch>
T sum_lanes(const xsimd::batch<T, Arch>& a) {
#if XSIMD_VERSION_MAJOR >= 9
  return xsimd::reduce_add(a);
#else
  return xsimd::hadd(a);
#endif
}

/// The first `count` < lanes values, and zeros after them. Reads nothing past them.
template <class Arch, class T>
pack<Arch, T> load_first(const T* p, std::size_t count) {
  T values[lanes<Arch, T>] = {};
  for (std::size_t i = 0; i < count; ++i) values[i] = p[i];
  return pack<Arch, T>::load_unaligned(values);
}

template <class Arch, class T>
void store_first(const pack<Arch, T>& a, T* p, std::size_t count) {
  T values[lanes<Arch, T>];
  a.store_unaligned(values);
  for (std::size_t i = 0; i < count; ++i) p[i] = values[i];
}

}  // namespace detail
}  // namespace funnel
