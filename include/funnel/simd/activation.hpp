// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/pack.hpp>

#include <cstddef>
#include <numbers>

namespace funnel {

/// The function a dense layer applies to each of its outputs.
enum class activation { identity, relu, sigmoid, tanh, silu, gelu };

namespace detail {

template <class Pack>
Pack sigmoid_of(const Pack& x) {
  using std::exp;
  return Pack(1) / (Pack(1) + exp(-x));
}

/// The activation of every lane; a NaN stays a NaN.
template <class Arch, class T>
pack<Arch, T> activate(const pack<Arch, T>& x, activation function) {
  using p = pack<Arch, T>;
  using std::tanh;
  switch (function) {
  case activation::identity:
    return x;
  case activation::relu:
    return max(p(T(0)), x);
  case activation::sigmoid:
    return sigmoid_of(x);
  case activation::tanh:
    return tanh(x);
  case activation::silu:
    return x * sigmoid_of(x);
  case activation::gelu: {
    using std::erf;
    return p(T(0.5)) * x * (p(T(1)) + erf(x * p(static_cast<T>(1 / std::numbers::sqrt2))));
  }
  }
  return x;
}

}  // namespace detail

/// y[i] = f(x[i]) for i < n; x and y may be the same array. gelu is the exact x * Phi(x).
template <class Arch, class T>
void activation_kernel(Arch, const T* x, T* y, std::size_t n, activation function) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, T>;
  using p = detail::pack<Arch, T>;
  std::size_t i = 0;
  for (; i + width <= n; i += width) {
    detail::activate<Arch, T>(p::load_unaligned(x + i), function).store_unaligned(y + i);
  }
  if (i < n) {
    const p last = detail::activate<Arch, T>(detail::load_first<Arch, T>(x + i, n - i), function);
    detail::store_first<Arch, T>(last, y + i, n - i);
  }
}

}  // namespace funnel
