// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace funnel {
namespace detail {

/// A full register of values of an array, starting at position i.
template <class Arch, class T>
struct whole_register {
  std::size_t i;

  pack<Arch, T> load(const T* p) const { return pack<Arch, T>::load_unaligned(p + i); }
  void store(const pack<Arch, T>& a, T* p) const { a.store_unaligned(p + i); }
};

/// The last values of an array, fewer than a register holds.
template <class Arch, class T>
struct part_of_register {
  std::size_t i;
  std::size_t count;

  pack<Arch, T> load(const T* p) const { return load_first<Arch, T>(p + i, count); }
  void store(const pack<Arch, T>& a, T* p) const { store_first<Arch, T>(a, p + i, count); }
};

/// Calls `body(at)` for every register of arrays of n values; `at` loads and stores one.
template <class Arch, class T, class Body>
void for_each_register(std::size_t n, const Body& body) {
  constexpr std::size_t width = lanes<Arch, T>;
  std::size_t i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    body(whole_register<Arch, T>{i});
    body(whole_register<Arch, T>{i + width});
  }
  if (i + width <= n) {
    body(whole_register<Arch, T>{i});
    i += width;
  }
  if (i < n) body(part_of_register<Arch, T>{i, n - i});
}

}  // namespace detail

/// Largest size of a gradient before it is squared: 2^63 in float, 2^511 in double. Larger
/// gradients, including infinity, are limited to it, so that squares and means of squares are
/// finite. NaN stays NaN.
template <class T>
inline constexpr T largest_gradient = sizeof(T) == sizeof(float) ? T(0x1p63) : T(0x1p511);

/// The smallest epsilon that a step uses: the square root of the smallest normal number. With a
/// smaller one, the squares of gradients would underflow and a quotient could be 0/0.
template <class T>
inline constexpr T smallest_epsilon = sizeof(T) == sizeof(float) ? T(0x1p-63) : T(0x1p-511);

namespace detail {

/// Clamps x to [-limit, limit]; NaN stays NaN.
template <class Pack, class T>
Pack within(const Pack& x, T limit) {
  return at_most(at_least(x, Pack(-limit)), Pack(limit));
}

}  // namespace detail

/// Numbers of one step of SGD with momentum.
template <class T>
struct sgd_step {
  T rate;      ///< learning rate
  T momentum;  ///< fraction of the velocity that carries over
  T decay;     ///< weight decay
};

/// SGD step with momentum: v <- momentum v + g, p <- p - rate (v + decay p) for i < n. If v is
/// null, g is used in its place. A velocity beyond the range of T is limited to the largest number.
template <class Arch, class T>
void sgd_kernel(Arch, const sgd_step<T>& step, const T* g, T* v, T* p, std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  const register_type back(-step.rate);
  const register_type momentum(step.momentum);
  const register_type decay(-step.rate * step.decay);
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    register_type move = at.load(g);
    if (v != nullptr) {
      move = detail::within(register_type(fma(momentum, at.load(v), move)),
                            std::numeric_limits<T>::max());
      at.store(move, v);
    }
    const register_type value = at.load(p);
    at.store(fma(back, move, fma(decay, value, value)), p);
  });
}

/// Numbers of one step of Adagrad.
template <class T>
struct adagrad_step {
  T rate;     ///< learning rate
  T epsilon;  ///< added to the square root, `smallest_epsilon` or more
  T decay;    ///< weight decay
};

/// Adagrad step: s <- s + g^2, p <- p - rate (g / (sqrt(s) + epsilon) + decay p) for i < n.
///
/// Numerics    Gradients are limited to `largest_gradient`, and sums to the largest number of T.
template <class Arch, class T>
void adagrad_kernel(Arch, const adagrad_step<T>& step, const T* g, T* s, T* p,
                    std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  const register_type back(-step.rate);
  const register_type epsilon(step.epsilon);
  const register_type decay(-step.rate * step.decay);
  const register_type largest(std::numeric_limits<T>::max());
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    const register_type gradient = detail::within(at.load(g), largest_gradient<T>);
    const register_type sum =
        detail::at_most(register_type(fma(gradient, gradient, at.load(s))), largest);
    at.store(sum, s);
    const register_type value = at.load(p);
    const register_type move = detail::quotient(gradient, detail::square_root(sum) + epsilon);
    at.store(fma(back, move, fma(decay, value, value)), p);
  });
}

namespace detail {

/// Adds a mean of squares to the sum of a row, in double. Returns the factor of the gradients in
/// the step.
template <class Arch, class T, class Sum>
T row_adagrad_factor(Arch, const adagrad_step<T>& step, double mean, Sum& s) noexcept {
  constexpr double largest_sum = static_cast<double>(std::numeric_limits<Sum>::max());
  constexpr double largest = static_cast<double>(std::numeric_limits<T>::max());
  const double sum = std::min(static_cast<double>(s) + mean, largest_sum);
  s = static_cast<Sum>(sum);
  return static_cast<T>(std::min(static_cast<double>(step.rate) /
                                     (std::sqrt(sum) + static_cast<double>(step.epsilon)),
                                 largest));
}

/// `row_adagrad_kernel` for a row in which a gradient may be beyond `largest_gradient` or NaN.
template <class Arch, class T, class Sum>
void far_row_adagrad(Arch arch, const adagrad_step<T>& step, const T* g, Sum& s, T* p,
                     std::size_t n) noexcept {
  const auto gradient = [g](std::size_t i) {
    return std::clamp(g[i], -largest_gradient<T>, largest_gradient<T>);
  };
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double value = static_cast<double>(gradient(i));
    mean += value * value / static_cast<double>(n);
  }
  const T factor = row_adagrad_factor(arch, step, mean, s);
  for (std::size_t i = 0; i < n; ++i) p[i] -= step.rate * step.decay * p[i] + factor * gradient(i);
}

}  // namespace detail

/// Row-wise Adagrad step, with one sum for the whole row: s <- s + mean(g^2), p <- p - rate
/// (g / (sqrt(s) + epsilon) + decay p). The sum is computed in double; Sum may be double or T.
template <class Arch, class T, class Sum>
void row_adagrad_kernel(Arch arch, const adagrad_step<T>& step, const T* g, Sum& s, T* p,
                        std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  if (n == 0) return;
  const T squares = dot_kernel(arch, g, g, n);
  // If this is false, no gradient is beyond the largest one. NaN makes it true.
  if (!(squares < largest_gradient<T> * largest_gradient<T>)) [[unlikely]]
    return detail::far_row_adagrad(arch, step, g, s, p, n);
  const double mean = static_cast<double>(squares) / static_cast<double>(n);
  const register_type back(-detail::row_adagrad_factor(arch, step, mean, s));
  const register_type decay(-step.rate * step.decay);
  const auto moved = [&](const auto& gradient, const auto& value) {
    return fma(back, gradient, fma(decay, value, value));
  };
  detail::map(arch, n, p, moved, g, p);
}

/// Numbers of one step of Adam.
template <class T>
struct adam_step {
  T first;    ///< 1 - beta_1
  T second;   ///< 1 - beta_2
  T rate;     ///< learning rate / (1 - beta_1^t)
  T unbias;   ///< 1 / (1 - beta_2^t)
  T epsilon;  ///< added to the square root, `smallest_epsilon` or more
  T decay;    ///< learning rate * weight decay
};

/// Adam step, for i < n:
///
///     m <- beta_1 m + first g
///     v <- beta_2 v + second g^2
///     p <- p - rate m / (sqrt(unbias v) + epsilon) - decay p
///
/// Numerics    beta m is computed as m - (1 - beta) m and rounded once, so that nothing cancels.
///             Gradients are limited to `largest_gradient`.
template <class Arch, class T>
void adam_kernel(Arch, const adam_step<T>& step, const T* g, T* m, T* v, T* p,
                 std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  const register_type first(step.first);
  const register_type forget_first(-step.first);
  const register_type second(step.second);
  const register_type forget_second(-step.second);
  const register_type back(-step.rate);
  const register_type unbias(step.unbias);
  const register_type epsilon(step.epsilon);
  const register_type decay(-step.decay);
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    const register_type gradient = detail::within(at.load(g), largest_gradient<T>);
    register_type mean = at.load(m);
    mean = fma(first, gradient, fma(forget_first, mean, mean));
    at.store(mean, m);
    register_type square = at.load(v);
    square = fma(second, gradient * gradient, fma(forget_second, square, square));
    at.store(square, v);
    const register_type value = at.load(p);
    const register_type move =
        detail::quotient(mean, detail::square_root(square * unbias) + epsilon);
    at.store(fma(back, move, fma(decay, value, value)), p);
  });
}

}  // namespace funnel
