// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

namespace funnel {
namespace detail {

/// to += from, for n values.
template <class Arch, class T>
void add_values(Arch arch, const T* from, T* to, std::size_t n) {
  using pack = detail::pack<Arch, T>;
  map(
      arch, n, to, [](const pack& x, const pack& sum) { return sum + x; }, from, to);
}

/// y = factor * (values[0] + values[1] + ...), added in this order.
template <Context C>
value_of<C> sum_of_values(C& context, std::string_view function,
                          std::span<const value_of<C>> values, bool mean) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  check_not_empty(function, "values", values.size());
  const request_rows requests = requests_of(context);
  const value_of<C>* like = &values[0];  // a value with as many rows as the result
  for (const auto& value : values) {
    check_cols(function, "a value", value.cols(), like->cols(), "the others");
    if (common_rows(requests, function, "a value", value, *like, "the others") != like->rows())
      like = &value;
  }
  const std::size_t k = values.size(), n = like->rows(), d = like->cols();
  const t factor = mean ? t(1) / static_cast<t>(k) : t(1);
  const auto y = context.make(n, d);
  const row_map row_of(requests, n);
  for (std::size_t i = 0; i < n; ++i) {
    t* to = writable(y).row(i).data();
    std::copy_n(row_of(view(values[0]), i), d, to);
    for (const auto& value : values.subspan(1)) add_values(arch{}, row_of(view(value), i), to, d);
    if (mean) scale_kernel(arch{}, factor, to, to, d);
  }
  if constexpr (C::is_training) {
    auto* kept = context.scratch().template allocate<value_of<C>>(k);
    std::uninitialized_copy(values.begin(), values.end(), kept);
    context.record([kept, k, y, row_of, factor] {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const t* g = y.gradient.row(i).data();
        for (const auto& value : std::span(kept, k)) {
          if (value.has_gradient())
            axpy_kernel(arch{}, factor, g, row_of(value.gradient, i), y.cols());
        }
      }
    });
  }
  return y;
}

/// y_j = factor * (x_j + x_{width + j} + x_{2 width + j} + ...) for every row.
template <Context C>
value_of<C> sum_of_columns(C& context, std::string_view function, const value_of<C>& x,
                           std::size_t width, bool mean) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  check_at_least_one(function, "width", width);
  check_that(function, "x.cols()", x.cols(), x.cols() > 0 && x.cols() % width == 0,
             "a multiple of width, which is ", width);
  const std::size_t summed = x.cols() / width;
  const t factor = mean ? t(1) / static_cast<t>(summed) : t(1);
  const auto y = context.make(x.rows(), width);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const t* from = view(x).row(i).data();
    t* to = writable(y).row(i).data();
    std::copy_n(from, width, to);
    if (width == 1) {
      for (std::size_t j = 1; j < x.cols(); ++j) *to += from[j];
      *to *= factor;
      continue;
    }
    for (std::size_t j = width; j < x.cols(); j += width) add_values(arch{}, from + j, to, width);
    if (mean) scale_kernel(arch{}, factor, to, to, width);
  }
  if constexpr (C::is_training) {
    context.record([x, y, factor] {
      if (!x.has_gradient()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        const t* g = y.gradient.row(i).data();
        t* to = x.gradient.row(i).data();
        for (std::size_t j = 0; j < x.cols(); j += y.cols())
          axpy_kernel(arch{}, factor, g, to + j, y.cols());
      }
    });
  }
  return y;
}

}  // namespace detail

/// Elementwise sum of several values: a + b + c, from left to right. For example, the first-order
/// terms of a factorization machine, or the logits of several heads.
///
///     sum(context, {a, b, c})
///
/// Shapes      values [n, d]; some may be [1, d], or [R, d] with one row per request: they are
///             broadcast.
/// Errors      std::invalid_argument if there is no value, or on other shapes.
template <Context C>
value_of<C> sum(C& context, std::span<const value_of<C>> values) {
  return detail::sum_of_values(context, "sum", values, false);
}
template <Context C>
value_of<C> sum(C& context, std::initializer_list<value_of<C>> values) {
  return sum(context, std::span<const value_of<C>>(values.begin(), values.size()));
}

/// Elementwise mean of several values, for example of the outputs of an ensemble. Shapes and errors
/// as `sum`.
template <Context C>
value_of<C> mean(C& context, std::span<const value_of<C>> values) {
  return detail::sum_of_values(context, "mean", values, true);
}
template <Context C>
value_of<C> mean(C& context, std::initializer_list<value_of<C>> values) {
  return mean(context, std::span<const value_of<C>>(values.begin(), values.size()));
}

/// Sum within each row: of its columns, or of blocks of `width` columns. An `embedding` of [n, k]
/// ids returns the vectors of k fields side by side; `row_sum(context, x, dim)` adds these vectors.
///
///     y(i, j) = x(i, j) + x(i, width + j) + x(i, 2 width + j) + ...
///
/// Shapes      [n, k width] -> [n, width]; without a width [n, d] -> [n, 1].
/// Errors      std::invalid_argument if width is 0, x has no columns, or their number is not a
///             multiple of width.
/// Numerics    added from left to right, without regard to other rows.
template <Context C>
value_of<C> row_sum(C& context, const value_of<C>& x, std::size_t width = 1) {
  return detail::sum_of_columns(context, "row_sum", x, width, false);
}

/// Mean within each row: of its columns, or of blocks of `width` columns. Shapes, errors and
/// numerics as `row_sum`.
template <Context C>
value_of<C> row_mean(C& context, const value_of<C>& x, std::size_t width = 1) {
  return detail::sum_of_columns(context, "row_mean", x, width, true);
}

}  // namespace funnel
