// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

// The cosine that re-ranking and the diversity of a page compute with.
namespace funnel::detail {

/// Four times four sums and a last one, added up in the one order of all sums here.
inline double sum_of_sums(const double* s, double rest) {
  double four[4];
  for (std::size_t i = 0; i < 4; ++i) four[i] = (s[i] + s[4 + i]) + (s[8 + i] + s[12 + i]);
  return (four[0] + four[2]) + (four[1] + four[3]) + rest;
}

/// Inner products in double, in plain C++; `register_products` computes the same bits faster.
///
/// Products of two floats are exact in double, so that with float a fused multiplication and addition
/// gives the same bits as one after the other: the sum is the same on every instruction set.
struct plain_products {
  /// That of a and b, as long, times lift_a and lift_b: the same for (b, a). It depends on the order
  /// of values alone: value f is added to sum f % 16, and those past the last 16 to one of their own.
  template <class T>
  static double inner(std::span<const T> a, std::span<const T> b, double lift_a, double lift_b) {
    const auto term = [&](std::size_t f) {
      const double x = static_cast<double>(a[f]), y = static_cast<double>(b[f]);
      if constexpr (std::is_same_v<T, float>) return x * y;
      return x * lift_a * (y * lift_b);
    };
    const std::size_t whole = a.size() / 16 * 16;
    double sums[16] = {}, rest = 0;
    for (std::size_t f = 0; f < whole; f += 16)
      for (std::size_t i = 0; i < 16; ++i) sums[i] += term(f + i);
    for (std::size_t f = whole; f < a.size(); ++f) rest += term(f);
    return sum_of_sums(sums, rest);
  }
  template <class T>
  static double squares(std::span<const T> row, double lift) {
    return inner(row, row, lift, lift);
  }
};

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

template <class Products = plain_products, class T>
unit_scale unit_scale_of(std::span<const T> row) {
  // Squares within these bounds are far from both ends of double, and so are products of two rows.
  constexpr double least = 1e-280, most = 1e280;
  double squares = Products::squares(row, 1);
  double lift = 1;
  if constexpr (!std::is_same_v<T, float>)
    if (!(squares >= least && squares <= most)) {
      lift = squares < least ? 0x1p600 : 0x1p-600;
      squares = Products::squares(row, lift);
    }
  const double inverse = 1 / std::sqrt(squares);
  return {lift, std::isfinite(inverse) ? inverse : 0};
}

/// The cosine of two vectors in double, the same for (b, a); 0 where one has no direction.
template <class Products = plain_products, class T>
double cosine_of(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
                 const unit_scale& scale_b) {
  if (!scale_a.has_direction() || !scale_b.has_direction()) return 0;
  return Products::inner(a, b, scale_a.lift, scale_b.lift) * (scale_a.inverse * scale_b.inverse);
}

/// The cosine of two vectors, rounded once to float. Vectors of one direction are
/// equally alike to any other, whatever their lengths.
template <class Products = plain_products, class T>
float rounded_cosine(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
                     const unit_scale& scale_b) {
  return static_cast<float>(cosine_of<Products>(a, scale_a, b, scale_b));
}

}  // namespace funnel::detail
