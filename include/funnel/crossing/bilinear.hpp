// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/crossing/detail/fields.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace funnel {

/// What `bilinear` returns for a pair of fields.
enum class bilinear_form : std::uint8_t {
  hadamard,  ///< (v_i W) * v_j, a vector
  inner,     ///< <v_i W, v_j>, a number
};

/// Which pairs of fields have a weight matrix in common.
enum class bilinear_weights : std::uint8_t {
  all,          ///< all pairs
  each,         ///< the pairs with the same left field
  interaction,  ///< none: every pair has its own
};

/// Options of `bilinear`.
struct bilinear_options {
  /// What is returned for a pair.
  bilinear_form form = bilinear_form::hadamard;
  /// Which pairs share a matrix.
  bilinear_weights weights = bilinear_weights::interaction;
  /// The pairs (i, j) of different fields, in the order of the output; if empty, all i < j.
  std::vector<std::pair<std::size_t, std::size_t>> pairs = {};
};

namespace detail {

/// y = a * b, or the inner product of a and b, for the values of one pair; y is a slice of the output.
template <Context C, class Y>
void multiply_pair(C& context, const value_of<C>& a, const value_of<C>& b, const Y& y,
                   bilinear_form form, const row_map& row_of) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  using pack = detail::pack<arch, t>;
  const std::size_t k = a.cols();
  const auto product = [](const pack& x, const pack& z) { return x * z; };
  for (std::size_t i = 0; i < y.rows(); ++i) {
    t* to = writable(y).row(i).data();
    if (form == bilinear_form::hadamard)
      map(arch{}, k, to, product, row_of(view(a), i), row_of(view(b), i));
    else
      *to = dot_kernel(arch{}, row_of(view(a), i), row_of(view(b), i), k);
  }
  if constexpr (C::is_training) {
    context.record([a, b, y, form, row_of, k] {
      const auto add = [&](const auto& of, const auto& other, std::size_t i) {
        if (!of.has_gradient()) return;
        const t* g = y.gradient.row(i).data();
        const t* x = row_of(other.values, i);
        t* to = row_of(of.gradient, i);
        if (form == bilinear_form::inner) return axpy_kernel(arch{}, *g, x, to, k);
        map(
            arch{}, k, to,
            [](const pack& slope, const pack& v, const pack& sum) { return fma(slope, v, sum); }, g,
            x, to);
      };
      for (std::size_t i = 0; i < y.rows(); ++i) add(a, b, i), add(b, a, i);
    });
  }
}

}  // namespace detail

/// Bilinear interaction of FiBiNET: the products of pairs of fields, each through a matrix of
/// weights. A field is an embedding, such as that of the user's city.
///
///     p_ij = (v_i W_ij) * v_j    or, as inner product,    p_ij = <v_i W_ij, v_j>
///
/// Shapes      x [n, fields dim]: the embeddings side by side, a value or a concatenation whose parts
///             hold whole fields -> [n, pairs dim], or [n, pairs] of inner products.
/// Errors      std::invalid_argument if there are fewer than two fields or `dim` is 0, a pair names
///             a field twice or one that is not there, or x does not consist of these fields.
/// Order       the output has the pairs in the order of `pairs()`: (0, 1), (0, 2), ..., (1, 2), ...
/// Cost        2 n pairs dim^2 operations with a matrix per pair; 2 n fields dim^2 otherwise. The
///             products v_i W of a left field that has one row, or one row per request, are computed
///             once per row: put the user's fields first.
/// Numerics    A row has the same bits in every batch. `initialize` draws W from a normal
///             distribution with deviation 1 / sqrt(dim).
/// Source      Huang, Zhang and Zhang, RecSys 2019; docs/formulas.md#bilinear-interaction.
template <class T>
class bilinear : public detail::layer_of<T> {
 public:
  /// W of all pairs; or of each left field; or of each left field, the matrices of its pairs side by
  /// side. In the order of the left fields, without those that are left in no pair.
  std::vector<dense<T>> weights;

  bilinear() = default;
  bilinear(std::size_t fields, std::size_t dim, bilinear_options options = {})
      : fields_(fields), dim_(dim), form_(options.form), shared_(options.weights),
        pairs_(std::move(options.pairs)) {
    detail::check_that("bilinear", "fields", fields, fields >= 2, "2 or more");
    detail::check_at_least_one("bilinear", "dim", dim);
    if (pairs_.empty()) {
      detail::array_size<std::pair<std::size_t, std::size_t>>("funnel::bilinear: fields x fields",
                                                              fields, fields);
      pairs_.reserve(fields * (fields - 1) / 2);
      for (std::size_t i = 0; i < fields; ++i)
        for (std::size_t j = i + 1; j < fields; ++j) pairs_.emplace_back(i, j);
    }
    for (std::size_t p = 0; p < pairs_.size(); ++p) {
      const auto [i, j] = pairs_[p];
      if (i >= fields || j >= fields || i == j) {
        detail::fail("funnel::bilinear: pairs[", p, "] is (", i, ", ", j,
                     "), expected two different fields below ", fields);
      }
      by_left_.push_back(p);
    }
    std::ranges::stable_sort(by_left_, {}, [&](std::size_t p) { return pairs_[p].first; });
    for (std::size_t at = 0; at < by_left_.size();) {
      const std::size_t begin = at;
      while (at < by_left_.size() && left(at) == left(begin)) ++at;
      groups_.push_back(at);
      if (shared_ == bilinear_weights::all && !weights.empty()) continue;
      const std::size_t matrices = shared_ == bilinear_weights::interaction ? at - begin : 1;
      dense<T>& w = weights.emplace_back(
          dim, detail::array_size<T>("funnel::bilinear: dim x pairs of a field", dim, matrices),
          dense_options{.bias = false, .initial = initial_values::normal});
      w.weight.initial_scale = 1 / std::sqrt(static_cast<double>(dim));
    }
  }

  std::size_t fields() const { return fields_; }
  std::size_t dim() const { return dim_; }
  /// Number of columns of x.
  std::size_t in() const { return fields_ * dim_; }
  /// Number of columns of the output.
  std::size_t out() const { return pairs_.size() * width(); }
  /// The pairs of fields, in the order of the output.
  const std::vector<std::pair<std::size_t, std::size_t>>& pairs() const { return pairs_; }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& values) const {
    const auto x = detail::as_concatenated(detail::as_value(context, values));
    check();
    const auto y = context.make(x.rows(), out());
    if constexpr (C::is_training) {
      multiply_pairs(context, x, y);
    } else {
      const arena::scope temporary(context.scratch());
      multiply_pairs(context, x, y);
    }
    return y;
  }

  void visit_parameters(auto&& visit) { visit("weights", weights); }

 private:
  std::size_t left(std::size_t at) const { return pairs_[by_left_[at]].first; }
  std::size_t width() const { return form_ == bilinear_form::hadamard ? dim_ : 1; }
  void check() const {
    detail::check_not_empty("bilinear", "pairs", pairs_.size());
    detail::check_size("bilinear", "weights", weights.size(),
                       shared_ == bilinear_weights::all ? 1 : groups_.size());
    std::size_t begin = 0;
    for (std::size_t g = 0; g < groups_.size(); begin = groups_[g++]) {
      const std::size_t matrices =
          shared_ == bilinear_weights::interaction ? groups_[g] - begin : 1;
      const dense<T>& w = weights[shared_ == bilinear_weights::all ? 0 : g];
      if (w.in() != dim_ || w.out() != matrices * dim_) {
        detail::fail("funnel::bilinear: weights[", g, "] is [", w.in(), ", ", w.out(),
                     "], expected [", dim_, ", ", matrices * dim_, "]");
      }
    }
  }

  template <Context C, std::size_t N, class Y>
  void multiply_pairs(C& context, const concatenated<value_of<C>, N>& x, const Y& y) const {
    const auto fields =
        detail::fields_of(context, "bilinear", x, fields_, [this](std::size_t) { return dim_; });
    const detail::row_map row_of(detail::requests_of(context), y.rows());
    std::size_t at = 0;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::size_t begin = at;
      const auto multiply_group = [&] {
        const dense<T>& w = weights[shared_ == bilinear_weights::all ? 0 : g];
        const value_of<C> products = w(context, fields[left(begin)]);
        for (; at < groups_[g]; ++at) {
          const std::size_t p = by_left_[at];
          const std::size_t matrix = shared_ == bilinear_weights::interaction ? at - begin : 0;
          detail::multiply_pair(context, detail::middle_cols(products, matrix * dim_, dim_),
                                fields[pairs_[p].second],
                                detail::middle_cols(y, p * width(), width()), form_, row_of);
        }
      };
      if constexpr (C::is_training) {
        multiply_group();
      } else {
        const arena::scope of_group(context.scratch());
        multiply_group();
      }
    }
  }

  std::size_t fields_ = 0;
  std::size_t dim_ = 0;
  bilinear_form form_ = bilinear_form::hadamard;
  bilinear_weights shared_ = bilinear_weights::interaction;
  std::vector<std::pair<std::size_t, std::size_t>> pairs_;
  std::vector<std::size_t> by_left_;  // positions of pairs, by their left field
  std::vector<std::size_t> groups_;   // per left field, the end of its pairs in by_left_
};

}  // namespace funnel
