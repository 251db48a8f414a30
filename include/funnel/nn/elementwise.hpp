// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <cstddef>
#include <string_view>

namespace funnel {
namespace detail {

/// Elementwise y = f(a, b). `slope_a(a, b)` and `slope_b(a, b)` are the derivatives dy/da and
/// dy/db. All three work on SIMD registers of the context's instruction set.
template <Context C, class F, class SlopeA, class SlopeB>
value_of<C> combine(C& context, std::string_view function, const value_of<C>& a,
                    const value_of<C>& b, const F& f, const SlopeA& slope_a,
                    const SlopeB& slope_b) {
  using arch = typename C::arch;
  check_cols(function, "b", b.cols(), a.cols(), "a");
  const request_rows requests = requests_of(context);
  const auto y = context.make(common_rows(requests, function, "b", b, a, "a"), a.cols());
  const row_map row_of(requests, y.rows());
  for (std::size_t i = 0; i < y.rows(); ++i)
    map(arch{}, y.cols(), writable(y).row(i).data(), f, row_of(view(a), i), row_of(view(b), i));
  if constexpr (C::is_training) {
    context.record([a, b, y, slope_a, slope_b, row_of] {
      const auto add_slope = [](const auto& slope) {
        return [slope](const auto& g, const auto& x0, const auto& x1, const auto& sum) {
          return fma(g, slope(x0, x1), sum);
        };
      };
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const auto* g = y.gradient.row(i).data();
        const auto* x0 = row_of(a.values, i);
        const auto* x1 = row_of(b.values, i);
        if (a.has_gradient()) {
          auto* to = row_of(a.gradient, i);
          map(arch{}, y.cols(), to, add_slope(slope_a), g, x0, x1, to);
        }
        if (b.has_gradient()) {
          auto* to = row_of(b.gradient, i);
          map(arch{}, y.cols(), to, add_slope(slope_b), g, x0, x1, to);
        }
      }
    });
  }
  return y;
}

}  // namespace detail

/// Elementwise sum, a + b.
///
/// Shapes      [n, d] and [n, d]; one of them may be [1, d], or [R, d] with one row per request, which
///             is broadcast.
/// Errors      std::invalid_argument on other shapes.
template <Context C>
value_of<C> add(C& context, const value_of<C>& a, const value_of<C>& b) {
  using pack = detail::pack<typename C::arch, scalar_of<C>>;
  const auto one = [](const pack&, const pack&) { return pack(scalar_of<C>(1)); };
  return detail::combine(
      context, "add", a, b, [](const pack& x, const pack& y) { return x + y; }, one, one);
}

/// Elementwise difference, a - b. Shapes and errors as `add`.
template <Context C>
value_of<C> subtract(C& context, const value_of<C>& a, const value_of<C>& b) {
  using pack = detail::pack<typename C::arch, scalar_of<C>>;
  const auto slope = [](int sign) {
    return [sign](const pack&, const pack&) { return pack(static_cast<scalar_of<C>>(sign)); };
  };
  return detail::combine(
      context, "subtract", a, b, [](const pack& x, const pack& y) { return x - y; }, slope(1),
      slope(-1));
}

/// Elementwise (Hadamard) product, a * b. Shapes and errors as `add`.
template <Context C>
value_of<C> multiply(C& context, const value_of<C>& a, const value_of<C>& b) {
  using pack = detail::pack<typename C::arch, scalar_of<C>>;
  return detail::combine(
      context, "multiply", a, b, [](const pack& x, const pack& y) { return x * y; },
      [](const pack&, const pack& y) { return y; }, [](const pack& x, const pack&) { return x; });
}

/// Elementwise factor * x + shift.
template <Context C>
value_of<C> affine(C& context, const value_of<C>& x, scalar_of<C> factor, scalar_of<C> shift = 0) {
  using arch = typename C::arch;
  using pack = detail::pack<arch, scalar_of<C>>;
  const auto y = context.make(x.rows(), x.cols());
  const auto f = [factor, shift](const pack& v) { return fma(pack(factor), v, pack(shift)); };
  for (std::size_t i = 0; i < x.rows(); ++i)
    detail::map(arch{}, x.cols(), writable(y).row(i).data(), f, view(x).row(i).data());
  if constexpr (C::is_training) {
    context.record([x, y, factor] {
      if (!x.has_gradient()) return;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        axpy_kernel(arch{}, factor, y.gradient.row(i).data(), x.gradient.row(i).data(), x.cols());
      }
    });
  }
  return y;
}

}  // namespace funnel
