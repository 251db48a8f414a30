// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/row_blocks.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/dropout.hpp>
#include <funnel/nn/parameter.hpp>

#include <cstddef>
#include <initializer_list>
#include <vector>

namespace funnel {

/// Options of `mlp`.
struct mlp_options {
  /// Activation of all layers but the last.
  activation hidden = activation::relu;
  /// Activation of the last layer.
  activation output = activation::identity;
  /// Dropout rate of the outputs of hidden layers, in training only; in [0, 1).
  double dropout = 0;
};

/// Multilayer perceptron (MLP): dense layers one after another. Used as a tower (network of the
/// user or the item side), as an expert of a mixture, or as a head (output for one objective).
///
/// Shapes      x [n, in] as a value or a concatenation; y [n, sizes.back()].
/// Errors      std::invalid_argument if there are no sizes, or x has another number of columns.
/// Cost        that of its layers. In serving, 256 rows at a time go through all layers, so that
///             their values stay in the cache; the products of parts with fewer rows are computed
///             once. Blocks end where a request ends, unless it has more than 256 rows.
template <class T>
struct mlp : detail::layer_of<T> {
  std::vector<dense<T>> layers;
  double dropout_rate = 0;

  mlp() = default;
  /// `sizes` are the numbers of outputs of the layers, from the first layer to the last.
  mlp(std::size_t in, const std::vector<std::size_t>& sizes, const mlp_options& options = {})
      : dropout_rate(options.dropout) {
    detail::check_not_empty("mlp", "sizes", sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const bool last = i + 1 == sizes.size();
      const activation f = last ? options.output : options.hidden;
      layers.emplace_back(in, sizes[i],
                          dense_options{.function = f,
                                        .initial = f == activation::relu
                                                       ? initial_values::he_normal
                                                       : initial_values::glorot_uniform});
      in = sizes[i];
    }
  }

  std::size_t in() const { return some_layers().front().in(); }
  std::size_t out() const { return some_layers().back().out(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& x) const {
    if constexpr (!C::is_training) {
      if (layers.size() > 1 && x.rows() > detail::rows_in_cache) {
        const auto whole = detail::as_concatenated(detail::as_value(context, x));
        const auto y = context.make(x.rows(), out());
        const arena::scope temporary(context.scratch());
        const auto shared = layers.front().shared(context, whole);
        detail::in_row_blocks(context, whole, [&](const auto& rows, std::size_t begin) {
          const value_of<C> hidden = layers.front().on_block(context, rows, shared, begin);
          detail::copy_rows(rest(context, hidden), y, begin);
        });
        return y;
      }
    }
    return rest(context, some_layers().front()(context, x));
  }

  /// Applies all layers but the first to the output of the first: for callers that compute several
  /// first layers as one product.
  template <Context C>
  value_of<C> rest(C& context, value_of<C> y) const {
    for (std::size_t i = 1; i < layers.size(); ++i)
      y = layers[i](context, dropout(context, y, dropout_rate));
    return y;
  }

  void visit_parameters(auto&& visit) { visit("layers", layers); }

 private:
  const std::vector<dense<T>>& some_layers() const {
    detail::check_not_empty("mlp", "layers", layers.size());
    return layers;
  }
};

}  // namespace funnel
