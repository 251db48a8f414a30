// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace funnel {

/// Concatenation of values along their columns, [n, d_1 + d_2 + ...], without copying them. A part
/// with one row, or with one row per request, is not repeated: a dense layer multiplies each of its
/// rows only once.
template <class Value, std::size_t N>
struct concatenated {
  std::array<Value, N> parts;

  std::size_t rows() const {
    std::size_t n = 1;
    for (const Value& part : parts) {
      if (part.rows() != 1) n = n == 1 ? part.rows() : std::max(n, part.rows());
    }
    return n;
  }
  std::size_t cols() const {
    std::size_t d = 0;
    for (const Value& part : parts) d += part.cols();
    return d;
  }
};

namespace detail {

/// Returns a value unchanged, and the caller's matrix as an input.
template <Context C>
value_of<C> as_value(C&, const value_of<C>& x) {
  return x;
}
template <Context C>
value_of<C> as_value(C& context, matrix_view<const scalar_of<C>> x) requires(C::is_training) {
  return context.input(x);
}
template <Context C, std::size_t N>
concatenated<value_of<C>, N> as_value(C&, const concatenated<value_of<C>, N>& x) {
  return x;
}

template <class Value>
concatenated<Value, 1> as_concatenated(const Value& x) {
  return {{x}};
}
template <class Value, std::size_t N>
concatenated<Value, N> as_concatenated(const concatenated<Value, N>& x) {
  return x;
}

template <class Value, std::size_t N, std::size_t M>
concatenated<Value, N + M> join(const concatenated<Value, N>& a, const concatenated<Value, M>& b) {
  concatenated<Value, N + M> joined;
  std::ranges::copy(a.parts, joined.parts.begin());
  std::ranges::copy(b.parts, joined.parts.begin() + N);
  return joined;
}

template <class Value, std::size_t N>
concatenated<Value, N> join(const concatenated<Value, N>& a) {
  return a;
}
template <class A, class B, class... Rest>
requires(sizeof...(Rest) > 0) auto join(const A& a, const B& b, const Rest&... rest) {
  return join(join(a, b), rest...);
}

}  // namespace detail

/// Concatenates values along their columns; copies nothing. The arguments are values, other
/// concatenations, or matrices of the caller.
///
/// Shapes      each [n, d_i], [1, d_i], or [R, d_i] with one row per request; result [n, sum d_i].
/// Errors      std::invalid_argument if two values have other numbers of rows.
template <Context C, class... Values>
auto concat(C& context, const Values&... values) {
  const auto joined = detail::join(detail::as_concatenated(detail::as_value(context, values))...);
  for (const auto& part : joined.parts)
    detail::common_rows(detail::requests_of(context), "concat", "a value", part, joined,
                        "the others");
  return joined;
}

/// Copies a concatenation into one value [n, d]; a part with fewer rows is broadcast. For
/// operations that do not take concatenations; `dense` and `mlp` do.
template <Context C, std::size_t N>
value_of<C> materialize(C& context, const concatenated<value_of<C>, N>& x) {
  if constexpr (N == 1) return x.parts[0];
  const auto y = context.make(x.rows(), x.cols());
  const detail::row_map row_of(detail::requests_of(context), y.rows());
  std::size_t column = 0;
  for (const auto& part : x.parts) {
    const auto to = writable(y).middle_cols(column, part.cols());
    for (std::size_t i = 0; i < to.rows(); ++i)
      std::copy_n(row_of(view(part), i), part.cols(), to.row(i).data());
    column += part.cols();
  }
  if constexpr (C::is_training) {
    context.record([x, y, row_of] {
      std::size_t begin = 0;
      for (const auto& part : x.parts) {
        const auto from = y.gradient.middle_cols(begin, part.cols());
        for (std::size_t i = 0; i < from.rows(); ++i)
          row_of.add(part.gradient, i, from.row(i).data());
        begin += part.cols();
      }
    });
  }
  return y;
}

template <Context C>
value_of<C> materialize(C&, const value_of<C>& x) {
  return x;
}

}  // namespace funnel
