// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>

// Rows and columns of values, with broadcasting of one-row values.
namespace funnel::detail {

/// Row i of a value, or its only row if it has one row.
template <class T>
T* row_of(matrix_view<T> values, std::size_t i) {
  return values.data() + (values.rows() == 1 ? 0 : i * values.stride());
}

/// Adds values to row i of a gradient, or to its only row if it has one row. Does nothing if there
/// is no gradient.
template <class T>
void add_to_row(matrix_view<T> gradient, std::size_t i, const T* values) {
  if (gradient.data() == nullptr) return;
  T* to = row_of(gradient, i);
  for (std::size_t j = 0; j < gradient.cols(); ++j) to[j] += values[j];
}

/// Number of rows of an operation's result: two values have equal numbers of rows, or one of them
/// has one row and is broadcast.
/// Errors      std::invalid_argument otherwise; the message calls a `argument` and b `other`.
template <class A, class B>
std::size_t common_rows(std::string_view function, std::string_view argument, const A& a,
                        const B& b, std::string_view other) {
  if (a.rows() != b.rows() && a.rows() != 1 && b.rows() != 1) {
    fail("funnel::", function, ": ", argument, " has ", a.rows(), " rows, expected 1, or ",
         b.rows(), " as in ", other);
  }
  return a.rows() == 1 ? b.rows() : a.rows();
}

/// Columns [begin, begin + count) of a value, as a value.
template <class T>
matrix_view<T> columns(matrix_view<T> value, std::size_t begin, std::size_t count) {
  return value.middle_cols(begin, count);
}
template <class Variable>
requires requires(const Variable& v) {
  v.gradient;
}
Variable columns(const Variable& value, std::size_t begin, std::size_t count) {
  return {value.values.middle_cols(begin, count), value.gradient.middle_cols(begin, count)};
}

/// Copies the rows of `from` into `to`, starting at row `begin` of `to`.
template <class T>
void copy_rows(matrix_view<const T> from, matrix_view<T> to, std::size_t begin) {
  for (std::size_t i = 0; i < from.rows(); ++i)
    std::ranges::copy(from.row(i), to.row(begin + i).begin());
}

}  // namespace funnel::detail
