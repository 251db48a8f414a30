// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>

namespace funnel {

/// Feature coverage: the fraction of values that are not missing (NaN); 0 if there are no values.
///
/// Source      docs/formulas.md#missing-values.
template <std::floating_point T = float>
double feature_coverage(std::span<const std::type_identity_t<T>> values) {
  std::size_t present = 0;
  for (const T value : values) present += !std::isnan(value);
  return values.empty() ? 0 : static_cast<double>(present) / static_cast<double>(values.size());
}

/// Writes a missing-value indicator for each value: 1 if it is missing (NaN), otherwise 0. Use the
/// indicators together with `standardizer`, which replaces missing values by 0.
///
/// Shapes      values [n, d]; out [n, d].
/// Errors      std::invalid_argument if the shapes differ.
template <std::floating_point T = float>
void missing_indicators(matrix_view<const std::type_identity_t<T>> values,
                        matrix_view<std::type_identity_t<T>> out) {
  detail::check_shape("missing_indicators", "out", out, values.rows(), values.cols(), "values");
  for (std::size_t i = 0; i < values.rows(); ++i)
    for (std::size_t j = 0; j < values.cols(); ++j)
      out(i, j) = std::isnan(values(i, j)) ? T{1} : T{0};
}

}  // namespace funnel
