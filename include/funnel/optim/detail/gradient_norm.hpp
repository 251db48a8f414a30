// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

namespace funnel::detail {

/// The Euclidean norm of gradients whose squares add up to `squares`. `for_each(visit)` calls
/// `visit(g, n)` for pieces of them: needed if the squares left the range of double.
template <class ForEach>
double gradient_norm(double squares, const ForEach& for_each) {
  if (squares > std::numeric_limits<double>::min() / std::numeric_limits<double>::epsilon() &&
      std::isfinite(squares)) {
    return std::sqrt(squares);
  }
  // The squares left the range of double, as those of 1e160 and 1e-160 do.
  double largest = 0;
  for_each([&](const auto* g, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const double size = std::abs(static_cast<double>(g[i]));
      largest = size <= largest ? largest : size;  // NaN stays
    }
  });
  if (!(largest > 0 && std::isfinite(largest))) return std::sqrt(squares);
  double sum = 0;
  for_each([&](const auto* g, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const double part = static_cast<double>(g[i]) / largest;
      sum += part * part;
    }
  });
  return largest * std::sqrt(sum);
}

/// Calls `scale(factor)` with factors whose product is max_norm / norm. There are several if one
/// would be too small to be a normal number.
template <class T, class Scale>
void for_each_clip_factor(double norm, double max_norm, const Scale& scale) {
  constexpr double least = static_cast<double>(std::numeric_limits<T>::min());
  constexpr double step = 0x1p-60;
  double length = norm;
  for (; max_norm / length < least; length *= step) scale(T(step));
  scale(static_cast<T>(max_norm / length));
}

}  // namespace funnel::detail
