// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/row_blocks.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <cstddef>
#include <vector>

namespace funnel {
namespace detail {

/// y = x0 * q + x, elementwise. y may be x0 or x.
template <class Arch, class T>
void cross_rows(Arch arch, matrix_view<const T> x0, matrix_view<const T> q, matrix_view<const T> x,
                matrix_view<T> y) {
  using pack = detail::pack<Arch, T>;
  const auto f = [](const pack& a, const pack& b, const pack& c) { return fma(a, b, c); };
  for (std::size_t i = 0; i < y.rows(); ++i)
    map(arch, y.cols(), y.row(i).data(), f, x0.row(i).data(), q.row(i).data(), x.row(i).data());
}

/// y = x0 * q + x as a value. The values have equal shapes; x0 and x may be the same.
template <Context C>
value_of<C> cross(C& context, const value_of<C>& x0, const value_of<C>& q, const value_of<C>& x) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const auto y = context.make(x.rows(), x.cols());
  cross_rows<arch, t>(arch{}, view(x0), view(q), view(x), writable(y));
  if constexpr (C::is_training) {
    context.record([x0, q, x, y] {
      using pack = detail::pack<arch, t>;
      const auto add_product = [](const pack& g, const pack& other, const pack& sum) {
        return fma(g, other, sum);
      };
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const t* g = y.gradient.row(i).data();
        t* to_q = q.gradient.row(i).data();
        map(arch{}, y.cols(), to_q, add_product, g, x0.values.row(i).data(), to_q);
        if (x0.has_gradient()) {
          t* to_x0 = x0.gradient.row(i).data();
          map(arch{}, y.cols(), to_x0, add_product, g, q.values.row(i).data(), to_x0);
        }
        if (x.has_gradient()) axpy_kernel(arch{}, t(1), g, x.gradient.row(i).data(), y.cols());
      }
    });
  }
  return y;
}

}  // namespace detail

/// Options of `cross_network`.
struct cross_network_options {
  /// Number of layers, 1 or more; the outputs contain products of up to `layers` + 1 inputs.
  std::size_t layers = 2;
  /// Rank of the weight matrices, at most `in`; 0 stands for full matrices. r in the paper.
  std::size_t rank = 0;
};

/// Cross network of DCN v2 (deep and cross network): every layer multiplies the input x_0, value by
/// value, with a linear function of the values so far. It learns products of features, which an MLP
/// approximates badly.
///
///     x_{l+1} = x_0 * (x_l W_l + b_l) + x_l            with a rank:  W_l = V_l U_l
///
/// The output goes to heads, alone or next to that of an `mlp` on the same input.
///
/// Shapes      x [n, in], a value or a concatenation -> [n, in]. V_l [in, rank], U_l [rank, in].
/// Errors      std::invalid_argument if `in` or `layers` is 0, rank is above `in`, or x has another
///             number of columns.
/// Cost        2 n in^2 operations per layer, or 4 n in rank with a rank. In the first layer, the
///             product of a part with fewer rows, such as the user's, is computed once. Serving
///             works on blocks of 256 rows.
/// Numerics    A row has the same bits in every batch. With W and b of zeros, a layer returns its
///             input. Values grow as powers of the input: normalize the numbers among the features.
/// Source      Wang et al., WWW 2021, section 3; docs/formulas.md#cross-network.
template <class T>
class cross_network : public detail::layer_of<T> {
 public:
  std::vector<dense<T>> projections;  ///< V of every layer; empty if the matrices are full
  std::vector<dense<T>> layers;       ///< W, or U if there is a rank, and b of every layer

  cross_network() = default;
  explicit cross_network(std::size_t in, const cross_network_options& options = {}) {
    detail::check_at_least_one("cross_network", "in", in);
    detail::check_at_least_one("cross_network", "layers", options.layers);
    detail::check_that("cross_network", "rank", options.rank, options.rank <= in, "at most ", in,
                       ", the columns of x");
    layers.reserve(detail::array_size<dense<T>>("funnel::cross_network: layers", options.layers));
    if (options.rank > 0) projections.reserve(options.layers);
    for (std::size_t l = 0; l < options.layers; ++l) {
      if (options.rank > 0)
        projections.emplace_back(in, options.rank, dense_options{.bias = false});
      layers.emplace_back(options.rank > 0 ? options.rank : in, in);
    }
  }

  std::size_t in() const {
    detail::check_not_empty("cross_network", "layers", layers.size());
    return layers.front().out();
  }
  std::size_t out() const { return in(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& values) const {
    const auto x = detail::as_concatenated(detail::as_value(context, values));
    check(x.cols());
    if constexpr (!C::is_training) {
      if (x.rows() > detail::rows_in_cache) return serve_blocks(context, x);
    }
    const auto x0 = materialize(context, x);
    return rest(context, x0, detail::cross(context, x0, linear(context, 0, x), x0));
  }

  void visit_parameters(auto&& visit) {
    if (!projections.empty()) visit("projections", projections);
    visit("layers", layers);
  }

 private:
  void check(std::size_t columns) const {
    detail::check_cols("cross_network", "x", columns, in());
    if (!projections.empty())
      detail::check_size("cross_network", "projections", projections.size(), layers.size(),
                         "layers");
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const dense<T>& first = projections.empty() ? layers[l] : projections[l];
      detail::check_that("cross_network", "the inputs of a layer", first.in(),
                         first.in() == columns, columns, ", the columns of x");
      detail::check_that("cross_network", "the outputs of a layer", layers[l].out(),
                         layers[l].out() == columns, columns, ", the columns of x");
    }
  }

  /// x W_l + b_l.
  template <Context C>
  value_of<C> linear(C& context, std::size_t l, const auto& x) const {
    if (projections.empty()) return layers[l](context, x);
    return layers[l](context, projections[l](context, x));
  }

  /// All layers but the first, whose output is x.
  template <Context C>
  value_of<C> rest(C& context, const value_of<C>& x0, value_of<C> x) const {
    for (std::size_t l = 1; l < layers.size(); ++l)
      x = detail::cross(context, x0, linear(context, l, x), x);
    return x;
  }

  /// Serves 256 rows at a time.
  template <Context C, std::size_t N>
  value_of<C> serve_blocks(C& context, const concatenated<value_of<C>, N>& x) const {
    const auto y = context.make(x.rows(), x.cols());
    const arena::scope temporary(context.scratch());
    const value_of<C> whole = materialize(context, x);
    const dense<T>& first = projections.empty() ? layers.front() : projections.front();
    const auto shared = first.shared(context, x);
    detail::in_row_blocks(context, x, [&](const auto& rows, std::size_t begin) {
      const value_of<C> x0 = whole.middle_rows(begin, rows.rows());
      value_of<C> q = first.on_block(context, rows, shared, begin);
      if (!projections.empty()) q = layers.front()(context, q);
      detail::copy_rows<T>(rest(context, x0, detail::cross(context, x0, q, x0)), y, begin);
    });
    return y;
  }
};

}  // namespace funnel
