// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace funnel {

/// Returns ln(1 + x) of a count, and 0 if the count is negative or NaN.
///
/// Source      docs/formulas.md#logarithm-of-counts.
template <std::floating_point T>
T log1p_count(T count) {
  return count > 0 ? std::log1p(count) : T{0};
}

/// Writes `log1p_count` of each value; `out` may be the same array as `counts`.
///
/// Shapes      counts [n]; out [n].
/// Errors      std::invalid_argument if the sizes differ.
template <std::floating_point T = float>
void log1p_counts(std::span<const std::type_identity_t<T>> counts,
                  std::span<std::type_identity_t<T>> out) {
  detail::check_size("log1p_counts", "out", out.size(), counts.size(), "counts");
  for (std::size_t i = 0; i < counts.size(); ++i) out[i] = log1p_count(counts[i]);
}

}  // namespace funnel
