// SPDX-License-Identifier: MIT
// error: the model and the context have different number types
// one error
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/gradient_check.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/retrieval/two_tower.hpp>

#include <cstdint>
#include <span>

#ifdef MUST_FAIL
using number = float;
#else
using number = double;
#endif

struct tower {
  funnel::embedding<number> table{10, 4};
  funnel::layer_norm<number> norm{4};
  funnel::mlp<number> layers{4, {8, 4}};

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, std::span<const std::uint32_t> ids) const {
    return layers(context, norm(context, table(context, ids)));
  }
  void visit_parameters(auto&& visit) {
    visit("table", table);
    visit("norm", norm);
    visit("layers", layers);
  }
};

double largest_error(std::span<const std::uint32_t> users, std::span<const std::uint32_t> items) {
  funnel::two_tower<tower, tower> model;
  return funnel::check_gradients<double>(
             model, [&](auto& context) { return model(context, users, items); })
      .largest_error;
}
