// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <span>

/// A small ranker: logits of [user | items], which no instruction set is named in.
struct ranker {
  static constexpr std::size_t user_dim = 24;
  static constexpr std::size_t item_dim = 40;
  funnel::mlp<float> network{user_dim + item_dim, {64, 32, 1}};

  template <funnel::Context C>
  auto operator()(C& context, const funnel::value_of<C>& user,
                  const funnel::value_of<C>& items) const {
    return network(context, funnel::concat(context, user, items));
  }
  void visit_parameters(auto&& visit) { visit("network", network); }
};

/// One user [1, user_dim] and n items [n, item_dim] to n scores. Serves one thread at a time.
using scorer = std::function<void(funnel::matrix_view<const float> user,
                                  funnel::matrix_view<const float> items, std::span<float> scores)>;

/// The ranker frozen for the instruction set that the unit including this is compiled for.
template <class Arch>
scorer frozen_scorer(const ranker& trained) {
  const auto model =
      std::make_shared<const funnel::frozen<ranker, Arch>>(funnel::freeze<Arch>(trained));
  const auto context = std::make_shared<funnel::inference_context<float, Arch>>();
  return [model, context](funnel::matrix_view<const float> user,
                          funnel::matrix_view<const float> items, std::span<float> scores) {
    context->reset();
    const auto logits = (*model)(*context, user, items);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = logits(i, 0);
  };
}

// Each is compiled in a unit of its own, with the flags of its name.
scorer avx2_scorer(const ranker& trained);
scorer avx512_scorer(const ranker& trained);
