// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cstddef>

// Rows and columns of values.
namespace funnel::detail {

/// Columns [begin, begin + count) of a value, as a value.
template <class T>
matrix_view<T> middle_cols(matrix_view<T> value, std::size_t begin, std::size_t count) {
  return value.middle_cols(begin, count);
}
template <class Variable>
requires requires(const Variable& v) {
  v.gradient;
}
Variable middle_cols(const Variable& value, std::size_t begin, std::size_t count) {
  return {value.values.middle_cols(begin, count),
          value.has_gradient() ? value.gradient.middle_cols(begin, count) : value.gradient};
}

/// Rows [begin, begin + count) of a value, as a value.
template <class T>
matrix_view<T> middle_rows(matrix_view<T> value, std::size_t begin, std::size_t count) {
  return value.middle_rows(begin, count);
}
template <class Variable>
requires requires(const Variable& v) {
  v.gradient;
}
Variable middle_rows(const Variable& value, std::size_t begin, std::size_t count) {
  if (!value.has_gradient()) return {value.values.middle_rows(begin, count), {}};
  return {value.values.middle_rows(begin, count), value.gradient.middle_rows(begin, count)};
}

/// Copies the rows of `from` into `to`, starting at row `begin` of `to`.
template <class T>
void copy_rows(matrix_view<const T> from, matrix_view<T> to, std::size_t begin) {
  for (std::size_t i = 0; i < from.rows(); ++i)
    std::ranges::copy(from.row(i), to.row(begin + i).begin());
}

}  // namespace funnel::detail
