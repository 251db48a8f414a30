// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/pack.hpp>
#include <funnel/simd/reduce.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>

namespace funnel {
namespace detail {

/// A full register of an array, from position i on.
template <class Arch, class T>
struct whole_register {
  std::size_t i;

  pack<Arch, T> load(const T* p) const { return pack<Arch, T>::load_unaligned(p + i); }
  void store(const pack<Arch, T>& a, T* p) const { a.store_unaligned(p + i); }
};

/// The last values of an array, fewer than a register has.
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
  for (; i + width <= n; i += width) body(whole_register<Arch, T>{i});
  if (i < n) body(part_of_register<Arch, T>{i, n - i});
}

/// The first values from p on, as many as a register of doubles has lanes.
template <class Arch, class T>
pack<Arch, double> load_doubles(const T* p) {
  using to = pack<Arch, double>;
  if constexpr (std::same_as<T, double>) {
    return to::load_unaligned(p);
  } else {
#if defined(__AVX512F__)
    if constexpr (std::derived_from<Arch, xsimd::avx512f>)
      return to(_mm512_cvtps_pd(_mm256_loadu_ps(p)));
#endif
#if defined(__AVX__)
    if constexpr (std::derived_from<Arch, xsimd::avx>) return to(_mm256_cvtps_pd(_mm_loadu_ps(p)));
#endif
    double values[lanes<Arch, double>];
    for (std::size_t i = 0; i < lanes<Arch, double>; ++i) values[i] = static_cast<double>(p[i]);
    return to::load_unaligned(values);
  }
}

}  // namespace detail

/// The sum of the squares of x, [n], in double.
template <class Arch, class T>
double squares_kernel(Arch, const T* x, std::size_t n) noexcept {
  using p = detail::pack<Arch, double>;
  constexpr std::size_t width = detail::lanes<Arch, double>;
  p sum[4];  // hide the 4 cycles an FMA takes
  for (p& s : sum) s = p(0.);
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    for (std::size_t v = 0; v < 4; ++v) {
      const p value = detail::load_doubles<Arch>(x + i + v * width);
      sum[v] = fma(value, value, sum[v]);
    }
  }
  double rest = 0;
  for (; i < n; ++i) rest += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return detail::sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

/// A step of gradient descent with momentum; the numbers of one step.
template <class T>
struct sgd_step {
  T rate;      ///< size of the step
  T momentum;  ///< how much of the last step is taken again
  T decay;     ///< fraction of a value taken off per unit of rate
};

/// v <- momentum v + g, p <- p - rate (v + decay p) for i < n; without a v, g stands for it.
template <class Arch, class T>
void sgd_kernel(Arch, const sgd_step<T>& step, const T* g, T* v, T* p, std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  const register_type rate(step.rate);
  const register_type momentum(step.momentum);
  const register_type decay(step.decay);
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    register_type move = at.load(g);
    if (v != nullptr) {
      move = fma(momentum, at.load(v), move);
      at.store(move, v);
    }
    const register_type value = at.load(p);
    at.store(value - rate * fma(decay, value, move), p);
  });
}

/// A step of Adagrad; the numbers of one step.
template <class T>
struct adagrad_step {
  T rate;     ///< size of the step
  T epsilon;  ///< added to the root
  T decay;    ///< fraction of a value taken off per unit of rate
};

/// s <- s + g^2, p <- p - rate (g / (sqrt(s) + epsilon) + decay p) for i < n.
template <class Arch, class T>
void adagrad_kernel(Arch, const adagrad_step<T>& step, const T* g, T* s, T* p,
                    std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  const register_type rate(step.rate);
  const register_type epsilon(step.epsilon);
  const register_type decay(step.decay);
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    const register_type gradient = at.load(g);
    const register_type sum = fma(gradient, gradient, at.load(s));
    at.store(sum, s);
    const register_type value = at.load(p);
    const register_type move = detail::quotient(gradient, detail::square_root(sum) + epsilon);
    at.store(value - rate * fma(decay, value, move), p);
  });
}

/// The same for a row with one sum: s <- s + mean(g^2).
template <class Arch, class T>
void row_adagrad_kernel(Arch arch, const adagrad_step<T>& step, const T* g, T& s, T* p,
                        std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  s += dot_kernel(arch, g, g, n) / static_cast<T>(n);
  const register_type factor(step.rate / (std::sqrt(s) + step.epsilon));
  const register_type decay(step.rate * step.decay);
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    const register_type value = at.load(p);
    at.store(value - fma(factor, at.load(g), decay * value), p);
  });
}

/// A step of Adam; the numbers of one step.
template <class T>
struct adam_step {
  T first;    ///< 1 - beta_1
  T second;   ///< 1 - beta_2
  T rate;     ///< size of the step / (1 - beta_1^t)
  T unbias;   ///< 1 / (1 - beta_2^t)
  T epsilon;  ///< added to the root
  T decay;    ///< fraction of a value taken off
};

/// m <- m + first (g - m), v <- v + second (g^2 - v),
/// p <- p - rate m / (sqrt(unbias v) + epsilon) - decay p for i < n.
template <class Arch, class T>
void adam_kernel(Arch, const adam_step<T>& step, const T* g, T* m, T* v, T* p,
                 std::size_t n) noexcept {
  using register_type = detail::pack<Arch, T>;
  const register_type first(step.first);
  const register_type second(step.second);
  const register_type rate(step.rate);
  const register_type unbias(step.unbias);
  const register_type epsilon(step.epsilon);
  const register_type decay(step.decay);
  detail::for_each_register<Arch, T>(n, [&](const auto at) {
    const register_type gradient = at.load(g);
    register_type mean = at.load(m);
    mean = fma(first, gradient - mean, mean);
    at.store(mean, m);
    register_type square = at.load(v);
    square = fma(second, gradient * gradient - square, square);
    at.store(square, v);
    const register_type value = at.load(p);
    const register_type move =
        detail::quotient(rate * mean, detail::square_root(square * unbias) + epsilon);
    at.store(value - fma(decay, value, move), p);
  });
}

}  // namespace funnel
