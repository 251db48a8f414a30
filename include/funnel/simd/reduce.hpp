// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/pack.hpp>

#include <cstddef>

namespace funnel {

/// Inner product of a and b, [n] each: lane sums in order, then the lanes.
template <class Arch, class T>
T dot_kernel(Arch, const T* a, const T* b, std::size_t n) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  p sum0(T(0));
  p sum1(T(0));
  p sum2(T(0));
  p sum3(T(0));
  std::size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {  // four sums hide the 4 cycles an FMA takes
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

/// y[i] += factor * x[i].
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

/// y[i] = exp(x[i] - shift).
template <class Arch, class T>
void shifted_exp_kernel(Arch arch, const T* x, T shift, T* y, std::size_t n) noexcept {
  const detail::pack<Arch, T> s(shift);
  detail::map(
      arch, n, y, [&](const auto& a) { return detail::exp_of(a - s); }, x);
}

}  // namespace funnel
