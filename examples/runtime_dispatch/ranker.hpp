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

/// A small ranker on [user | items] that returns logits. Its type does not depend on the
/// instruction set.
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

/// Scores n items [n, item_dim] for one user [1, user_dim]. Not thread-safe.
using scorer = std::function<void(funnel::matrix_view<const float> user,
                                  funnel::matrix_view<const float> items, std::span<float> scores)>;

/// Freezes the ranker for an instruction set, that of the translation unit that includes this.
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

// Each of these is compiled in its own translation unit, with the compiler flags of its name.
scorer avx2_scorer(const ranker& trained);
scorer avx512_scorer(const ranker& trained);
