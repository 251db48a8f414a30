// SPDX-License-Identifier: MIT
#pragma once

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
void axpy_kernel(Arch, T factor, const T* x, T* y, std::size_t n) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  const p f(factor);
  std::size_t i = 0;
  for (; i + width <= n; i += width) {
    fma(f, p::load_unaligned(x + i), p::load_unaligned(y + i)).store_unaligned(y + i);
  }
  if (i < n) {
    const p last = fma(f, detail::load_first<Arch, T>(x + i, n - i),
                       detail::load_first<Arch, T>(y + i, n - i));
    detail::store_first<Arch, T>(last, y + i, n - i);
  }
}

/// y[i] = exp(x[i] - shift).
template <class Arch, class T>
void shifted_exp_kernel(Arch, const T* x, T shift, T* y, std::size_t n) noexcept {
  using p = detail::pack<Arch, T>;
  using std::exp;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  const p s(shift);
  std::size_t i = 0;
  for (; i + width <= n; i += width) exp(p::load_unaligned(x + i) - s).store_unaligned(y + i);
  if (i < n) {
    const p last = exp(detail::load_first<Arch, T>(x + i, n - i) - s);
    detail::store_first<Arch, T>(last, y + i, n - i);
  }
}

}  // namespace funnel
