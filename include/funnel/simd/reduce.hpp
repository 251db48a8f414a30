// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/elementwise.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

namespace funnel {

/// Inner product of a and b, both [n]. Each lane is summed in order, then the lanes.
template <class Arch, class T>
T dot_kernel(Arch, const T* a, const T* b, std::size_t n) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  p sum0(T(0));
  p sum1(T(0));
  p sum2(T(0));
  p sum3(T(0));
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {  // four sums hide the 4 cycles of an FMA
    sum0 = fma(p::load_unaligned(a + i), p::load_unaligned(b + i), sum0);
    sum1 = fma(p::load_unaligned(a + i + width), p::load_unaligned(b + i + width), sum1);
    sum2 = fma(p::load_unaligned(a + i + 2 * width), p::load_unaligned(b + i + 2 * width), sum2);
    sum3 = fma(p::load_unaligned(a + i + 3 * width), p::load_unaligned(b + i + 3 * width), sum3);
  }
  for (; i + width <= n; i += width) {
    sum0 = fma(p::load_unaligned(a + i), p::load_unaligned(b + i), sum0);
  }
  if (i < n) {
    sum1 = fma(detail::load_first<Arch, T>(a + i, n - i), detail::load_first<Arch, T>(b + i, n - i),
               sum1);
  }
  return detail::sum_lanes((sum0 + sum1) + (sum2 + sum3));
}

/// Sum of squares of x, [n], in double.
template <class Arch, class T>
double squares_kernel(Arch, const T* x, std::size_t n) noexcept {
  using p = detail::pack<Arch, double>;
  constexpr std::size_t width = detail::lanes<Arch, double>;
  p sum[4];  // four sums hide the 4 cycles of an FMA
  for (p& s : sum) s = p(0.);
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    for (std::size_t v = 0; v < 4; ++v) {
      const p value = detail::load_widened<Arch>(x + i + v * width);
      sum[v] = fma(value, value, sum[v]);
    }
  }
  double rest = 0;
  for (; i < n; ++i) rest += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return detail::sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

/// y[i] += factor * x[i] (axpy).
template <class Arch, class T>
void axpy_kernel(Arch arch, T factor, const T* x, T* y, std::size_t n) noexcept {
  const detail::pack<Arch, T> f(factor);
  detail::map(
      arch, n, y, [&](const auto& a, const auto& b) { return fma(f, a, b); }, x, y);
}

/// y[i] = factor * x[i]; x and y may be the same array.
template <class Arch, class T>
void scale_kernel(Arch arch, T factor, const T* x, T* y, std::size_t n) noexcept {
  const detail::pack<Arch, T> f(factor);
  detail::map(
      arch, n, y, [&](const auto& a) { return f * a; }, x);
}

/// Maximum of n values; -infinity if n is 0, NaN if a value is NaN.
template <class Arch, class T>
T max_kernel(Arch, const T* x, std::size_t n) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  constexpr T none = -std::numeric_limits<T>::infinity();
  const auto larger = [](const p& v, const p& so_far) {
    return select(v <= so_far, so_far, select(so_far == so_far, v, so_far));  // either NaN stays
  };
  p largest(none);
  std::size_t i = 0;
  for (; i + width <= n; i += width) largest = larger(p::load_unaligned(x + i), largest);
  if (i < n) largest = larger(detail::load_first<Arch, T>(x + i, n - i, none), largest);
  T values[width];
  largest.store_unaligned(values);
  T result = none;
  for (const T value : values) result = value > result || value != value ? value : result;
  return result;
}

/// Sum of exp(x[i] - shift), in double. If y is not null, the terms are written to it; y may be x.
template <class Arch, class T>
double exp_sum_kernel(Arch, const T* x, T shift, T* y, std::size_t n) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  const p s(shift);
  detail::pack<Arch, double> sum(0.0);
  std::size_t i = 0;
  for (; i + width <= n; i += width) {
    const p e = detail::exp_of(p::load_unaligned(x + i) - s);
    if (y != nullptr) e.store_unaligned(y + i);
    sum = detail::add_widened(sum, e);
  }
  if (i < n) {
    constexpr T none = -std::numeric_limits<T>::infinity();  // adds 0 to the sum
    const p e = detail::exp_of(detail::load_first<Arch, T>(x + i, n - i, none) - s);
    if (y != nullptr) detail::store_first<Arch, T>(e, y + i, n - i);
    sum = detail::add_widened(sum, e);
  }
  return detail::sum_lanes(sum);
}

/// Log-sum-exp, ln(sum_i e^x[i]), summed in double; -infinity if n is 0, NaN if a value is NaN.
template <class Arch, class T>
double log_sum_exp_kernel(Arch arch, const T* x, std::size_t n) noexcept {
  const T largest = max_kernel(arch, x, n);
  const T shift = std::isfinite(largest) ? largest : T(0);
  return static_cast<double>(shift) +
         std::log(exp_sum_kernel(arch, x, shift, static_cast<T*>(nullptr), n));
}

}  // namespace funnel
