// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/elementwise.hpp>

#include <cstddef>
#include <type_traits>

namespace funnel {

/// Activation functions, such as a dense layer applies to each of its outputs.
enum class activation { identity, relu, sigmoid, tanh, silu, gelu };

namespace detail {

/// Applies an activation to every lane. NaN stays NaN.
template <class Arch, class T>
pack<Arch, T> activate(const pack<Arch, T>& x, activation function) {
  using p = pack<Arch, T>;
  switch (function) {
  case activation::identity:
    return x;
  case activation::relu:
    return at_least(x, p(T(0)));
  case activation::sigmoid:
    return sigmoid_of(x);
  case activation::tanh:
    return tanh_of(x);
  case activation::silu:
    return x * sigmoid_of(x);
  case activation::gelu:
    return x * normal_of<Arch, T>(x).cumulative;
  }
  return x;
}

/// Derivative of an activation in every lane, at the input x with the output y.
template <class Arch, class T>
pack<Arch, T> activation_slope(const pack<Arch, T>& x, const pack<Arch, T>& y,
                               activation function) {
  using p = pack<Arch, T>;
  const p one(T(1));
  switch (function) {
  case activation::identity:
    return one;
  case activation::relu:
    return select(x > p(T(0)), one, p(T(0)));
  case activation::sigmoid:
    return y * (one - y);
  case activation::tanh:
    return fma(-y, y, one);
  case activation::silu: {
    const p s = sigmoid_of(x);
    return fma(y, one - s, s);
  }
  case activation::gelu: {
    const auto normal = normal_of<Arch, T>(x);
    return fma(x, normal.density, normal.cumulative);
  }
  }
  return one;
}

/// Calls `use` with the activation as a compile-time constant, so that the loop inside has no
/// branch.
template <class Use>
void with_constant(activation function, const Use& use) {
  using enum activation;
  switch (function) {
  case identity:
    return use(std::integral_constant<activation, identity>());
  case relu:
    return use(std::integral_constant<activation, relu>());
  case sigmoid:
    return use(std::integral_constant<activation, sigmoid>());
  case tanh:
    return use(std::integral_constant<activation, tanh>());
  case silu:
    return use(std::integral_constant<activation, silu>());
  case gelu:
    return use(std::integral_constant<activation, gelu>());
  }
}

}  // namespace detail

/// Applies an activation to an array: y[i] = f(x[i]) for i < n. x and y may be the same array. gelu
/// is the exact x * Phi(x).
///
/// Numerics    Bounds in docs/numerics.md. The result for a value has the same bits at every
///             position.
/// Source      docs/formulas.md#activations.
template <class Arch, class T>
void activation_kernel(Arch arch, const T* x, T* y, std::size_t n, activation function) noexcept {
  detail::with_constant(function, [&](auto f) {
    detail::map(
        arch, n, y, [f](const auto& v) { return detail::activate<Arch, T>(v, f()); }, x);
  });
}

/// Gradient of an activation: x_gradient[i] += g[i] * f'(x[i]), with y[i] = f(x[i]).
template <class Arch, class T>
void activation_backward_kernel(Arch arch, const T* x, const T* y, const T* g, T* x_gradient,
                                std::size_t n, activation function) noexcept {
  detail::with_constant(function, [&](auto f) {
    detail::map(
        arch, n, x_gradient,
        [f](const auto& at, const auto& gave, const auto& slope, const auto& sum) {
          return fma(slope, detail::activation_slope<Arch, T>(at, gave, f()), sum);
        },
        x, y, g, x_gradient);
  });
}

}  // namespace funnel
