// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/cosine.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/unroll.hpp>

#include <cstddef>
#include <span>
#include <type_traits>

namespace funnel::detail {

/// `plain_products` with SIMD registers; the results have the same bits.
template <class Arch>
struct register_products {
  template <class T>
  static double inner(std::span<const T> a, std::span<const T> b, double lift_a, double lift_b) {
    if constexpr (std::is_same_v<T, float>)
      return of_floats<false>(a, b);
    else
      return plain_products::inner(a, b, lift_a, lift_b);
  }
  template <class T>
  static double squares(std::span<const T> row, double lift) {
    if constexpr (std::is_same_v<T, float>)
      return of_floats<true>(row, row);
    else
      return plain_products::squares(row, lift);
  }

 private:
  // Not inlined: in a loop over rows, its constants and sums would not fit 16 registers.
  template <bool Squares>
  [[gnu::noinline]] static double of_floats(std::span<const float> a, std::span<const float> b) {
    using wide = pack<Arch, double>;
    constexpr std::size_t count = 16 / wide::size;
    wide registers[count];
    unroll<count>([&](auto i) FUNNEL_INLINE { registers[i] = wide(0.); });
    const std::size_t whole = a.size() / 16 * 16;
    for (std::size_t f = 0; f < whole; f += 16)
      unroll<count>([&](auto i) FUNNEL_INLINE {
        const wide left = load_widened<Arch>(a.data() + f + i * wide::size);
        const wide right = Squares ? left : load_widened<Arch>(b.data() + f + i * wide::size);
        registers[i] = fma(left, right, registers[i]);
      });
    double sums[16];
    unroll<count>([&](auto i)
                      FUNNEL_INLINE { registers[i].store_unaligned(sums + i * wide::size); });
    double rest = 0;
    for (std::size_t f = whole; f < a.size(); ++f)
      rest += static_cast<double>(a[f]) * static_cast<double>(b[f]);
    return sum_of_sums(sums, rest);
  }
};

}  // namespace funnel::detail
