// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/training_context.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// Options of `additive_position_bias` and `examination_position_bias`.
struct position_bias_options {
  /// Number of positions that have a value of their own, 1 or more; later ones have the last one's.
  std::size_t positions = 50;
  /// Number of columns of features beside the position, such as those of the device. With 0, a
  /// position has one learned number.
  std::size_t features = 0;
  /// With features: length of a position's vector, and sizes of the hidden layers of the network
  /// that sees it and the features.
  std::size_t dim = 8;
  std::vector<std::size_t> hidden = {16};
  /// Of the additive model: probability of dropping a position in training, in [0, 1).
  double position_drop = 0.1;
};

namespace detail {

/// One number per position: of a table, or by a small network that also sees features. Row 0 of the
/// table stands for an unknown position.
template <class T>
struct position_values : layer_of<T> {
  embedding<T> table;
  mlp<T> net;  ///< without layers if there are no features

  position_values() = default;
  position_values(std::string_view function, const position_bias_options& options) {
    check_at_least_one(function, "positions", options.positions);
    check_that(function, "positions", options.positions,
               options.positions < std::numeric_limits<std::uint32_t>::max(),
               "fewer than 2^32 - 1");
    if (options.features == 0) {
      table = embedding<T>(options.positions + 1, 1);
      table.table.initial = initial_values::zeros;
      return;
    }
    check_at_least_one(function, "dim", options.dim);
    check_that(function, "features", options.features, options.features <= most_values<T>,
               "at most ", most_values<T>);
    table = embedding<T>(options.positions + 1, options.dim);
    auto sizes = options.hidden;
    sizes.push_back(1);
    net = mlp<T>(options.dim + options.features, sizes);
  }

  void visit_parameters(auto&& visit) {
    visit("table", table);
    if (!net.layers.empty()) visit("net", net);
  }

 protected:
  /// The rows of the table; in training each is 0 with probability `drop`.
  template <Context C>
  std::span<const std::uint32_t> rows_of(C& context, std::span<const std::uint32_t> positions,
                                         double drop) const {
    const std::size_t n = positions.size();
    std::uint32_t* const rows = context.scratch().template allocate<std::uint32_t>(n);
    const auto last = static_cast<std::uint32_t>(table.table.rows() - 1);
    for (std::size_t i = 0; i < n; ++i) rows[i] = std::min(positions[i], last);
    if constexpr (C::is_training) {
      for (std::size_t i = 0; i < n && drop > 0; ++i)
        if (bernoulli(context.random(), drop)) rows[i] = 0;
    }
    return {rows, n};
  }

  template <Context C, class... Features>
  value_of<C> values_of(C& context, std::string_view function, std::span<const std::uint32_t> rows,
                        const Features&... features) const {
    if (net.layers.empty() != (sizeof...(features) == 0))
      fail("funnel::", function, ": features are ", sizeof...(features) == 0 ? "missing" : "passed",
           ", expected as in the options");
    const auto vectors = table(context, rows);
    if constexpr (sizeof...(features) == 0)
      return vectors;
    else
      return net(context, concat(context, vectors, features...));
  }
};

}  // namespace detail

/// Position bias as a term of the logit: what an item's position adds to its click logit, to be
/// learned beside the model, and left out in serving.
///
///     logit = main(x) + term(position, features)
///
/// In training, each position is dropped with probability `position_drop`: the term is then that of
/// an unknown position, which the model learns in this way. In serving use it for every candidate
/// (`without_position`): it keeps probabilities calibrated and, without features that differ between
/// candidates, does not change their order. For the click head alone: what a user does after a click
/// does not depend on the position.
///
/// Shapes      positions [n], from 1, 0 = unknown; features [n, f], [1, f] or [R, f] with one row per
///             request -> [n, 1]; `add` it to the logits.
/// Errors      std::invalid_argument if an option is out of range, or features are passed to a layer
///             without features, or not passed to one that has them.
/// Source      Zhao et al., RecSys 2019, section 4.4; docs/formulas.md#position-bias.
template <class T>
struct additive_position_bias : detail::position_values<T> {
  double position_drop = 0;

  additive_position_bias() = default;
  explicit additive_position_bias(const position_bias_options& options)
      : detail::position_values<T>("additive_position_bias", options),
        position_drop(options.position_drop) {
    detail::check_fraction("additive_position_bias", "position_drop", position_drop);
  }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C, class... Features>
  value_of<C> operator()(C& context, std::span<const std::uint32_t> positions,
                         const Features&... features) const {
    return this->values_of(context, "additive_position_bias",
                           this->rows_of(context, positions, position_drop), features...);
  }

  /// The term of an unknown position, for serving: [1, 1], or one per row of the features.
  template <ContextOf<T> C, class... Features>
  value_of<C> without_position(C& context, const Features&... features) const {
    static constexpr std::uint32_t unknown = 0;
    return this->values_of(context, "additive_position_bias", {&unknown, 1}, features...);
  }
};

/// Position bias as a probability: a user clicks on what they examine (look at) and find attractive.
///
///     P(click) = P(examined | position, features) P(attractive | x)
///
/// It returns the logit of the first factor. Train with `product_bce_with_logits` of it and of the
/// model's logit (loss/product_bce.hpp), and serve the model's logit alone. The product does not
/// change if one factor grows and the other shrinks, so position 1 is always examined: its logit is
/// +infinity, and the examination of other positions is relative to it. Without features this is the
/// examination model (position-based model) with a free number per position; with features it is
/// PAL. For the click head alone.
///
/// Shapes      positions [n], from 1, 0 = unknown; features as in `additive_position_bias` -> [n, 1].
///             Rows of unknown position share one examination, which is learned.
/// Errors      as `additive_position_bias`.
/// Source      Guo et al., RecSys 2019 (PAL); Craswell et al., WSDM 2008;
///             docs/formulas.md#position-bias.
template <class T>
struct examination_position_bias : detail::position_values<T> {
  examination_position_bias() = default;
  explicit examination_position_bias(const position_bias_options& options)
      : detail::position_values<T>("examination_position_bias", options) {}

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C, class... Features>
  value_of<C> operator()(C& context, std::span<const std::uint32_t> positions,
                         const Features&... features) const {
    const auto rows = this->rows_of(context, positions, 0);
    const auto z = this->values_of(context, "examination_position_bias", rows, features...);
    const auto y = context.make(z.rows(), 1);
    const auto certain = [rows](std::size_t i) { return rows[rows.size() == 1 ? 0 : i] == 1; };
    for (std::size_t i = 0; i < y.rows(); ++i)
      writable(y)(i, 0) = certain(i) ? std::numeric_limits<T>::infinity() : view(z)(i, 0);
    if constexpr (C::is_training) {
      context.record([z, y, certain] {
        for (std::size_t i = 0; i < y.rows(); ++i)
          if (!certain(i)) z.gradient(i, 0) += y.gradient(i, 0);
      });
    }
    return y;
  }
};

}  // namespace funnel
