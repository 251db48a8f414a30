// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/unroll.hpp>
#include <funnel/simd/pack.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

// The cosine that re-ranking and the diversity of a page compute with.
namespace funnel::detail {

/// The inner product in double of a and b, as long, times lift_a and lift_b: the same for (b, a).
/// Products of two floats are exact in double, so that with float a fused multiplication and addition
/// gives the same bits as one after the other: the sum is the same on every instruction set.
///
/// `Squares` promises that b is a.
template <class Arch, bool Squares = false, class T>
double inner_product(std::span<const T> a, std::span<const T> b, double lift_a, double lift_b) {
  const auto term = [&](std::size_t f) {
    return static_cast<double>(a[f]) * lift_a * (static_cast<double>(b[f]) * lift_b);
  };
  // Sixteen sums, then the terms that are left: an order that depends on the size alone.
  const std::size_t whole = a.size() / 16 * 16;
  double sum = 0;
  if (whole > 0) {
    double s[16];
    if constexpr (std::is_same_v<T, float>) {
      using wide = pack<Arch, double>;
      constexpr std::size_t count = 16 / wide::size;
      wide sums[count];
      unroll<count>([&](auto i) FUNNEL_INLINE { sums[i] = wide(0.); });
      for (std::size_t f = 0; f < whole; f += 16)
        unroll<count>([&](auto i) FUNNEL_INLINE {
          const wide left = load_widened<Arch>(a.data() + f + i * wide::size);
          const wide right = Squares ? left : load_widened<Arch>(b.data() + f + i * wide::size);
          sums[i] = fma(left, right, sums[i]);
        });
      unroll<count>([&](auto i) FUNNEL_INLINE { sums[i].store_unaligned(s + i * wide::size); });
    } else {
      std::fill_n(s, 16, 0.);
      for (std::size_t f = 0; f < whole; f += 16)
        for (std::size_t i = 0; i < 16; ++i) s[i] += term(f + i);
    }
    double four[4];
    for (std::size_t i = 0; i < 4; ++i) four[i] = (s[i] + s[4 + i]) + (s[8 + i] + s[12 + i]);
    sum = (four[0] + four[2]) + (four[1] + four[3]);
  }
  if (whole == a.size()) return sum;
  double rest = 0;
  for (std::size_t f = whole; f < a.size(); ++f) rest += term(f);
  return sum + rest;
}

/// What makes a vector a unit vector: its values times `lift` times `inverse`.
struct unit_scale {
  /// A power of 2 that brings squares into the range of double; 1 for float.
  double lift = 1;
  /// 1 / (lift |row|); 0 for a vector that is zero or has a value that is not finite, and so has no
  /// direction.
  double inverse = 0;

  bool has_direction() const { return inverse != 0; }

  template <class T>
  double operator()(T value) const {
    if constexpr (std::is_same_v<T, float>)
      return static_cast<double>(value) * inverse;
    else
      return static_cast<double>(value) * lift * inverse;
  }
};

template <class Arch, class T>
unit_scale unit_scale_of(std::span<const T> row) {
  // Squares within these bounds are far from both ends of double, and so are products of two rows.
  constexpr double least = 1e-280, most = 1e280;
  double squares = inner_product<Arch, true>(row, row, 1, 1);
  double lift = 1;
  if constexpr (!std::is_same_v<T, float>)
    if (!(squares >= least && squares <= most)) {
      lift = squares < least ? 0x1p600 : 0x1p-600;
      squares = inner_product<Arch, true>(row, row, lift, lift);
    }
  const double inverse = 1 / std::sqrt(squares);
  return {lift, std::isfinite(inverse) ? inverse : 0};
}

/// The cosine of two vectors in double, the same for (b, a); 0 where one has no direction.
template <class Arch, class T>
double cosine_of(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
                 const unit_scale& scale_b) {
  if (!scale_a.has_direction() || !scale_b.has_direction()) return 0;
  return inner_product<Arch>(a, b, scale_a.lift, scale_b.lift) *
         (scale_a.inverse * scale_b.inverse);
}

/// The likeness of two vectors: their cosine, rounded once to float. Vectors of one direction are
/// equally alike to any other, whatever their lengths.
template <class Arch, class T>
float likeness(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
               const unit_scale& scale_b) {
  return static_cast<float>(cosine_of<Arch>(a, scale_a, b, scale_b));
}

}  // namespace funnel::detail
