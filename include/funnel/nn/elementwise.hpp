// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>

#include <cstddef>

namespace funnel {
namespace detail {

/// y = f(a, b) element by element; `slope(a, b)` gives dy/da and dy/db.
template <Context C, class F, class Slope>
value_of<C> combine(C& context, const char* name, const value_of<C>& a, const value_of<C>& b, F f,
                    Slope slope) {
  if (a.cols() != b.cols()) {
    fail(name, ": values have ", a.cols(), " and ", b.cols(), " columns, expected equal numbers");
  }
  const auto y = context.make(common_rows(name, a, b), a.cols());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    const auto* x0 = row_of(view(a), i);
    const auto* x1 = row_of(view(b), i);
    for (std::size_t j = 0; j < y.cols(); ++j) writable(y)(i, j) = f(x0[j], x1[j]);
  }
  if constexpr (C::is_training) {
    context.record([a, b, y, slope] {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto* g = y.gradient.row(i).data();
        const auto* x0 = row_of(a.values, i);
        const auto* x1 = row_of(b.values, i);
        for (std::size_t j = 0; j < y.cols(); ++j) {
          const auto [da, db] = slope(x0[j], x1[j]);
          if (a.learns()) row_of(a.gradient, i)[j] += g[j] * da;
          if (b.learns()) row_of(b.gradient, i)[j] += g[j] * db;
        }
      }
    });
  }
  return y;
}

template <class T>
struct slopes {
  T first;
  T second;
};

}  // namespace detail

/// a + b, element by element.
///
/// Shapes      [n, d] and [n, d], or one of them [1, d].
/// Errors      std::invalid_argument on other shapes.
template <Context C>
value_of<C> add(C& context, const value_of<C>& a, const value_of<C>& b) {
  using t = scalar_of<C>;
  return detail::combine(
      context, "funnel::add", a, b, [](t x, t y) { return x + y; },
      [](t, t) {
        return detail::slopes<t>{t(1), t(1)};
      });
}

/// a * b, element by element (Hadamard). Shapes and errors as `add`.
template <Context C>
value_of<C> multiply(C& context, const value_of<C>& a, const value_of<C>& b) {
  using t = scalar_of<C>;
  return detail::combine(
      context, "funnel::multiply", a, b, [](t x, t y) { return x * y; },
      [](t x, t y) {
        return detail::slopes<t>{y, x};
      });
}

/// factor * x + shift.
template <Context C>
value_of<C> affine(C& context, const value_of<C>& x, scalar_of<C> factor, scalar_of<C> shift = 0) {
  const auto y = context.make(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) writable(y)(i, j) = factor * view(x)(i, j) + shift;
  }
  if constexpr (C::is_training) {
    context.record([x, y, factor] {
      if (!x.learns()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        for (std::size_t j = 0; j < x.cols(); ++j) x.gradient(i, j) += factor * y.gradient(i, j);
      }
    });
  }
  return y;
}

}  // namespace funnel
