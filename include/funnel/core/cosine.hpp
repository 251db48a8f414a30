// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/build.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

// The cosine that re-ranking and the diversity of a page compute with.
namespace funnel::detail {

/// term(0) + ... + term(n - 1), in an order that depends on n alone.
template <class Term>
double sum_of_terms(std::size_t n, const Term& term) {
  constexpr std::size_t width = 4;  // four times four sums, which compilers turn into SIMD lanes
  double a[width], b[width], c[width], d[width];
  const std::size_t whole = n / (4 * width) * (4 * width);
  double sum = 0;
  if (whole > 0) {
    for (std::size_t i = 0; i < width; ++i) a[i] = b[i] = c[i] = d[i] = 0;
    for (std::size_t f = 0; f < whole; f += 4 * width) {
      for (std::size_t i = 0; i < width; ++i) a[i] += term(f + i);
      for (std::size_t i = 0; i < width; ++i) b[i] += term(f + width + i);
      for (std::size_t i = 0; i < width; ++i) c[i] += term(f + 2 * width + i);
      for (std::size_t i = 0; i < width; ++i) d[i] += term(f + 3 * width + i);
    }
    for (std::size_t i = 0; i < width; ++i) a[i] = (a[i] + b[i]) + (c[i] + d[i]);
    sum = (a[0] + a[2]) + (a[1] + a[3]);
  }
  if (whole == n) return sum;
  double rest = 0;
  for (std::size_t f = whole; f < n; ++f) rest += term(f);
  return sum + rest;
}

/// The inner product in double of a and b, as long, times lift_a and lift_b: the same for (b, a).
/// Products of two floats are exact in double, so that with float a fused multiplication and addition
/// gives the same bits as one after the other: the sum is the same on every instruction set.
template <class T>
double inner_product(std::span<const T> a, std::span<const T> b, double lift_a, double lift_b) {
  if constexpr (std::is_same_v<T, float>)
    return sum_of_terms(a.size(), [&](std::size_t f) {
      return static_cast<double>(a[f]) * static_cast<double>(b[f]);
    });
  else
    return sum_of_terms(a.size(), [&](std::size_t f) {
      return static_cast<double>(a[f]) * lift_a * (static_cast<double>(b[f]) * lift_b);
    });
}

template <class T>
double sum_of_squares(std::span<const T> row, double lift = 1) {
  return sum_of_terms(row.size(), [&](std::size_t f) {
    const double value = static_cast<double>(row[f]);
    if constexpr (std::is_same_v<T, float>) return value * value;
    return value * lift * (value * lift);
  });
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

template <class T>
unit_scale unit_scale_of(std::span<const T> row) {
  // Squares within these bounds are far from both ends of double, and so are products of two rows.
  constexpr double least = 1e-280, most = 1e280;
  double squares = sum_of_squares(row);
  double lift = 1;
  if constexpr (!std::is_same_v<T, float>)
    if (!(squares >= least && squares <= most)) {
      lift = squares < least ? 0x1p600 : 0x1p-600;
      squares = sum_of_squares(row, lift);
    }
  const double inverse = 1 / std::sqrt(squares);
  return {lift, std::isfinite(inverse) ? inverse : 0};
}

/// The cosine of two vectors in double, the same for (b, a); 0 where one has no direction.
template <class T>
double cosine_of(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
                 const unit_scale& scale_b) {
  if (!scale_a.has_direction() || !scale_b.has_direction()) return 0;
  return inner_product(a, b, scale_a.lift, scale_b.lift) * (scale_a.inverse * scale_b.inverse);
}

/// The likeness of two vectors: their cosine, rounded once to float. Vectors of one direction are
/// equally alike to any other, whatever their lengths.
template <class T>
float likeness(std::span<const T> a, const unit_scale& scale_a, std::span<const T> b,
               const unit_scale& scale_b) {
  return static_cast<float>(cosine_of(a, scale_a, b, scale_b));
}

}  // namespace funnel::detail
