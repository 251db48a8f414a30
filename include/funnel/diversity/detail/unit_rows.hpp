// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/diversity/similarity.hpp>

#include <cstddef>
#include <limits>
#include <numbers>
#include <span>

namespace funnel::detail {

/// <row, direction>, added up in an order that depends on d alone.
template <class Sum, class T>
Sum direction_dot(const T* row, const Sum* direction, std::size_t d) {
  constexpr std::size_t width = 8;  // independent sums, which a compiler turns into SIMD lanes
  Sum lanes[width] = {};
  std::size_t j = 0;
  for (; j + width <= d; j += width)
    for (std::size_t lane = 0; lane < width; ++lane)
      lanes[lane] += static_cast<Sum>(row[j + lane]) * direction[j + lane];
  Sum rest = 0;
  for (; j < d; ++j) rest += static_cast<Sum>(row[j]) * direction[j];
  return (((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
          ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))) +
         rest;
}

/// Vectors as unit vectors, without a copy of them, in a space where the similarity of two items is
/// one inner product whatever the range: (1 + cosine) / 2 is <[u_i; 1], [u_j; 1]> / 2.
///
/// `Sum` is the type of the products. Rows that are zero, or whose length is not finite in `Sum`,
/// count as u = 0.
template <class T, class Sum>
class unit_rows {
 public:
  unit_rows(matrix_view<const T> vectors, cosine_range range, arena& scratch)
      : vectors_(vectors), scales_(scratch.allocate<Sum>(vectors.rows())) {
    double scale = 1;
    if (range == cosine_range::zero_to_one) {
      scale = 1 / std::numbers::sqrt2;
      last_ = static_cast<Sum>(scale);
    }
    for (std::size_t i = 0; i < vectors.rows(); ++i) {
      const double s = scale * inverse_norm(vectors.row(i));
      using limits = std::numeric_limits<Sum>;
      const bool representable =
          s >= static_cast<double>(limits::min()) && s <= static_cast<double>(limits::max());
      scales_[i] = representable ? static_cast<Sum>(s) : Sum(0);
    }
  }

  std::size_t rows() const { return vectors_.rows(); }
  /// Values in a unit vector.
  std::size_t width() const { return vectors_.cols() + 1; }

  /// Unit vector j, [width()].
  void read(std::size_t j, Sum* unit) const {
    const std::span<const T> row = vectors_.row(j);
    for (std::size_t f = 0; f < row.size(); ++f)
      unit[f] = scales_[j] == 0 ? Sum(0) : static_cast<Sum>(row[f]) * scales_[j];
    unit[row.size()] = last_;
  }

  /// products[i] = <unit vector i, direction>, for every i.
  void multiply(const Sum* direction, Sum* products) const {
    const std::size_t d = vectors_.cols();
    const Sum shift = last_ * direction[d];
    for (std::size_t i = 0; i < vectors_.rows(); ++i) {
      const T* row = vectors_.data() + i * vectors_.stride();
      products[i] =
          (scales_[i] == 0 ? Sum(0) : direction_dot(row, direction, d) * scales_[i]) + shift;
    }
  }

 private:
  matrix_view<const T> vectors_;
  Sum* scales_;
  Sum last_ = 0;
};

}  // namespace funnel::detail
