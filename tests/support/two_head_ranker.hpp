// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/feature_inputs.hpp>
#include <funnel/features/row_batch.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/mlp.hpp>

#include <array>
#include <cstdint>

/// A ranker with two heads, click and like, on the inputs of a schema; initialized.
template <class T>
struct two_head_ranker {
  funnel::feature_inputs<T> inputs;
  funnel::mlp<T> click, like;

  two_head_ranker() = default;
  explicit two_head_ranker(const funnel::schema& features, std::uint64_t seed = 1,
                           const funnel::feature_inputs_options& of_inputs = {.dim = 4},
                           const funnel::mlp_options& of_click = {},
                           const funnel::mlp_options& of_like = {})
      : inputs(features, of_inputs), click(inputs.width(), {8, 1}, of_click),
        like(inputs.width(), {8, 1}, of_like) {
    funnel::initialize(*this, seed);
  }
  template <funnel::Context C>
  std::array<funnel::value_of<C>, 2> operator()(C& context, const funnel::row_batch& rows) const {
    const auto x = inputs(context, rows);
    const auto all = concat(context, x.user, x.item);
    const auto first = click(context, all);
    return {first, like(context, all)};
  }
  void visit_parameters(auto&& visit) {
    visit("inputs", inputs), visit("click", click), visit("like", like);
  }
};
