// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

// Cosine similarity, as re-ranking and the diversity metric of a page compute it.
namespace funnel::detail {

/// Adds 16 partial sums and the rest in one fixed order.
inline double sum_of_sums(const double* s, double rest) {
  double four[4];
  for (std::size_t i = 0; i < 4; ++i) four[i] = (s[i] + s[4 + i]) + (s[8 + i] + s[12 + i]);
  return (four[0] + four[2]) + (four[1] + four[3]) + rest;
}

/// Inner products in double, in plain C++; `register_products` computes the same bits faster.
///
/// A product of two floats is exact in double. With float a fused multiply-add therefore has the
/// same bits as a multiplication followed by an addition, and the sum is the same on every
/// instruction set.
struct plain_products {
  /// The inner product of lift_a * a and lift_b * b, two vectors of the same length; with float the
  /// factors are not used. It has the same bits for (b, a). It depends only on the order of the
  /// values: value f is added to partial sum f % 16, and the values after the last full 16 to a sum
  /// called `rest`.
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

/// Scale factors that turn a vector into its unit vector: value * `lift` * `inverse`.
struct unit_scale {
  /// A power of 2 that brings the squares into the range of double; 1 for float.
  double lift = 1;
  /// 1 / (lift |row|). 0 if the vector is zero or has a value that is not finite: it has no
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
  // Within these bounds, squares and products of two rows are far from overflow and underflow.
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

/// Writes the unit vector of `row` to `out`, of the same length. Returns false, and writes zeros, if it
/// has no direction.
template <class T>
bool write_unit_vector(std::span<const T> row, std::span<T> out) {
  const unit_scale scale = unit_scale_of(row);
  for (std::size_t k = 0; k < row.size(); ++k)
    out[k] = scale.has_direction() ? static_cast<T>(scale(row[k])) : T(0);
  return scale.has_direction();
}

/// Cosine of two vectors in double, the same for (b, a); 0 if one of them has no direction.
template <class Products = plain_products, class T>
double cosine_of(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
                 const unit_scale& scale_b) {
  if (!scale_a.has_direction() || !scale_b.has_direction()) return 0;
  return Products::inner(a, b, scale_a.lift, scale_b.lift) * (scale_a.inverse * scale_b.inverse);
}

/// Cosine of two vectors, rounded once to float. Vectors in the same direction have equal cosines
/// with any other vector, whatever their lengths.
template <class Products = plain_products, class T>
float rounded_cosine(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
                     const unit_scale& scale_b) {
  return static_cast<float>(cosine_of<Products>(a, scale_a, b, scale_b));
}

}  // namespace funnel::detail
