// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/dense_gradient.hpp>
#include <funnel/simd/reduce.hpp>
#include <funnel/simd/row_products.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace funnel {
namespace detail {

/// A vector shorter than this counts as zero: it has no direction.
template <class T>
inline constexpr T smallest_norm = T(1e-12);

/// y = x / |x|, or zeros if |x| is below `smallest_norm`. Returns 1 / |x|, or 0.
template <class Arch, class T>
T normalize_row(Arch arch, const T* x, T* y, std::size_t n) {
  T squares = dot_kernel(arch, x, x, n);
  T shrink = 1;
  if (std::isinf(squares)) {  // the squares overflow, not the vector
    shrink = sizeof(T) == sizeof(float) ? T(0x1p-80) : T(0x1p-540);
    scale_kernel(arch, shrink, x, y, n);
    x = y;
    squares = dot_kernel(arch, x, x, n);
  }
  const T norm = std::sqrt(squares);
  const T inverse = norm < smallest_norm<T> ? T(0) : T(1) / norm;
  scale_kernel(arch, inverse, x, y, n);
  return inverse * shrink;
}

}  // namespace detail

/// L2 normalization: divides every row by its length (Euclidean norm), so that inner products
/// become cosines. With a `width`, every row is several vectors of `width` values side by side, and
/// each of them is divided by its length.
///
/// Shapes      [n, d] -> [n, d].
/// Errors      std::invalid_argument if width is 0 or d is not a multiple of it.
/// Numerics    A vector shorter than 1e-12 becomes zeros: its cosine with any vector is 0, and so is
///             its gradient. There is no upper limit. NaN stays NaN, and an infinite value becomes
///             NaN.
/// Source      docs/formulas.md#cosine-score.
template <Context C>
value_of<C> l2_normalize(C& context, const value_of<C>& x, std::size_t width) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  detail::check_at_least_one("l2_normalize", "width", width);
  detail::check_that("l2_normalize", "x.cols()", x.cols(), x.cols() % width == 0,
                     "a multiple of width, which is ", width);
  const auto y = context.make(x.rows(), x.cols());
  const std::size_t vectors = x.cols() / width;
  t* inverse = context.scratch().template allocate<t>(x.rows() * vectors);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t v = 0; v < vectors; ++v)
      inverse[i * vectors + v] = detail::normalize_row(
          arch{}, view(x).row(i).data() + v * width, writable(y).row(i).data() + v * width, width);
  }
  if constexpr (C::is_training) {
    context.record([x, y, inverse, width] {
      if (!x.has_gradient()) return;
      using pack = detail::pack<arch, t>;
      const t* shrink = inverse;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        for (std::size_t j = 0; j < x.cols(); j += width) {
          const t* unit = y.values.row(i).data() + j;
          const t* g = y.gradient.row(i).data() + j;
          t* to = x.gradient.row(i).data() + j;
          const pack along(dot_kernel(arch{}, unit, g, width));
          const pack scale(*shrink++);
          const auto add = [&](const pack& u, const pack& slope, const pack& sum) {
            return fma(scale, fma(-along, u, slope), sum);
          };
          detail::map(arch{}, width, to, add, unit, g, to);
        }
      }
    });
  }
  return y;
}
template <Context C>
value_of<C> l2_normalize(C& context, const value_of<C>& x) {
  return l2_normalize(context, x, std::max<std::size_t>(1, x.cols()));
}

/// Row-wise inner product: row i of a with row i of b. After `l2_normalize` it is the cosine
/// similarity.
///
/// Shapes      [n, d] and [n, d]; one of them may be [1, d], or [R, d] with one row per request, which
///             is broadcast -> [n, 1].
/// Errors      std::invalid_argument on other shapes.
template <Context C>
value_of<C> row_dot(C& context, const value_of<C>& a, const value_of<C>& b) {
  using arch = typename C::arch;
  detail::check_cols("row_dot", "b", b.cols(), a.cols(), "a");
  const detail::request_rows requests = detail::requests_of(context);
  const auto y = context.make(detail::common_rows(requests, "row_dot", "b", b, a, "a"), 1);
  const detail::row_map row_of(requests, y.rows());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    writable(y)(i, 0) = dot_kernel(arch{}, row_of(view(a), i), row_of(view(b), i), a.cols());
  }
  if constexpr (C::is_training) {
    context.record([a, b, y, row_of] {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto g = y.gradient(i, 0);
        if (a.has_gradient()) {
          axpy_kernel(arch{}, g, row_of(b.values, i), row_of(a.gradient, i), a.cols());
        }
        if (b.has_gradient()) {
          axpy_kernel(arch{}, g, row_of(a.values, i), row_of(b.gradient, i), a.cols());
        }
      }
    });
  }
  return y;
}

/// Row-wise cosine similarity of a and b; 0 if one of the two rows is zero. Shapes and errors as
/// `row_dot`.
///
/// Source      docs/formulas.md#cosine-score.
template <Context C>
value_of<C> cosine(C& context, const value_of<C>& a, const value_of<C>& b) {
  return row_dot(context, l2_normalize(context, a), l2_normalize(context, b));
}

/// Inner products of several vectors per row with one: y(i, t) = <vector t of row i of a, row i of
/// b>, where a row of a is T vectors of d values side by side. After `l2_normalize` they are
/// cosines.
///
/// Shapes      a [n, T d], b [n, d]; one of them may have one row, or one row per request, which is
///             broadcast -> [n, T].
/// Errors      std::invalid_argument if b has no columns, a does not have a multiple of them, or on
///             other numbers of rows.
/// Numerics    the bits are those of `score_items` for the same vectors; a row has the same bits in
///             every batch.
template <Context C>
value_of<C> multi_dot(C& context, const value_of<C>& a, const value_of<C>& b) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const std::size_t d = b.cols();
  detail::check_at_least_one("multi_dot", "b.cols()", d);
  detail::check_that("multi_dot", "a.cols()", a.cols(), a.cols() % d == 0, "a multiple of ", d,
                     ", the columns of b");
  const std::size_t count = a.cols() / d;
  const detail::request_rows requests = detail::requests_of(context);
  const auto y = context.make(detail::common_rows(requests, "multi_dot", "b", b, a, "a"), count);
  const detail::row_map row_of(requests, y.rows());
  constexpr std::size_t block = 16;
  const t* rows[block];
  for (std::size_t i = 0; i < y.rows();) {  // as many rows at a time as share a row of a
    const t* of_a = row_of(view(a), i);
    std::size_t n = 0;
    while (n < block && i + n < y.rows() && row_of(view(a), i + n) == of_a) {
      rows[n] = row_of(view(b), i + n);
      ++n;
    }
    row_products_kernel(arch{}, rows, n, of_a, d, count, d, writable(y).row(i).data());
    i += n;
  }
  if constexpr (C::is_training) {
    context.record([a, b, y, row_of, d] {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        for (std::size_t v = 0; v < y.cols(); ++v) {
          const t g = y.gradient(i, v);
          if (a.has_gradient())
            axpy_kernel(arch{}, g, row_of(b.values, i), row_of(a.gradient, i) + v * d, d);
          if (b.has_gradient())
            axpy_kernel(arch{}, g, row_of(a.values, i) + v * d, row_of(b.gradient, i), d);
        }
      }
    });
  }
  return y;
}

/// All-pairs inner products: every row of a with every row of b. These are the scores of an
/// in-batch loss, which takes the items of the other rows of a batch as negatives.
///
/// Shapes      a [n, d], b [m, d] -> [n, m].
/// Errors      std::invalid_argument if the numbers of columns differ.
template <Context C>
value_of<C> pairwise_dot(C& context, const value_of<C>& a, const value_of<C>& b) {
  detail::check_cols("pairwise_dot", "b", b.cols(), a.cols(), "a");
  using t = scalar_of<C>;
  using arch = typename C::arch;
  arena& scratch = context.scratch();
  const std::size_t d = a.cols();
  const auto y = context.make(a.rows(), b.rows());
  {
    const arena::scope temporary(scratch);
    t* panels = scratch.allocate<t>(packed_size<arch, t>(d, b.rows()));
    pack_transposed_kernel(arch{}, matrix_view<const t>(view(b)), t(1), panels);
    t* zeros = scratch.allocate<t>(b.rows());
    std::fill_n(zeros, b.rows(), t(0));
    dense_kernel(arch{}, dense_arguments<t>{view(a), panels, d, zeros, 0, writable(y),
                                            activation::identity});
  }
  if constexpr (C::is_training) {
    context.record([&scratch, a, b, y] {
      const arena::scope temporary(scratch);
      if (a.has_gradient()) {
        const std::size_t m = b.rows();
        t* panels = scratch.allocate<t>(packed_size<arch, t>(m, a.cols()));
        pack_weights_kernel(arch{}, b.values.data(), b.values.stride(), m, a.cols(), panels);
        dense_kernel(arch{},
                     dense_arguments<t>{y.gradient, panels, m, a.gradient.data(),
                                        a.gradient.stride(), a.gradient, activation::identity});
      }
      if (b.has_gradient()) {
        weight_gradient_kernel(
            arch{}, matrix_view<const t>(y.gradient), matrix_view<const t>(a.values), b.gradient,
            scratch.allocate<t>(weight_gradient_scratch<arch, t>(y.rows(), a.cols())));
      }
    });
  }
  return y;
}

}  // namespace funnel
