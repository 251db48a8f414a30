// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

namespace funnel {

/// Feature coverage: the fraction of values that are not missing (NaN); 0 if there are no values.
///
/// Source      docs/formulas.md#missing-values.
template <detail::Numbers Values>
double feature_coverage(const Values& values) {
  const auto all = detail::as_span(values);
  std::size_t present = 0;
  for (const auto value : all) present += value == value;
  return all.empty() ? 0 : static_cast<double>(present) / static_cast<double>(all.size());
}

/// Writes a missing-value indicator for each value: 1 if it is missing (NaN), otherwise 0. Use the
/// indicators together with `standardizer`, which replaces missing values by 0.
///
/// Shapes      values [n, d]; out [n, d].
/// Errors      std::invalid_argument if the shapes differ.
template <detail::Matrix Values, detail::Matrix Out>
void missing_indicators(const Values& values, Out&& out) {
  const auto from = detail::as_view(values);
  using t = typename std::remove_cvref_t<Out>::value_type;
  const matrix_view<t> to = out;
  detail::check_shape("missing_indicators", "out", to, from.rows(), from.cols(), "values");
  for (std::size_t i = 0; i < from.rows(); ++i)
    for (std::size_t j = 0; j < from.cols(); ++j) to(i, j) = std::isnan(from(i, j)) ? t{1} : t{0};
}

}  // namespace funnel
