// SPDX-License-Identifier: MIT
// error: the model and the context have different number types
// one error
#include <funnel/nn/dense.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/gradient_check.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/ranking/mmoe.hpp>
#include <funnel/ranking/watch_time_head.hpp>
#include <funnel/sequence/din_attention.hpp>
#include <funnel/sequence/last_n_mean.hpp>

#include <cstdint>
#include <span>

#ifdef MUST_FAIL
using number = double;
#else
using number = float;
#endif

struct model {
  funnel::embedding<float> items{10, 4};
  funnel::embedding_bag<float> bag{10, 4};
  funnel::layer_norm<float> layer_norm{4};
  funnel::batch_norm<float> batch_norm{4};
  funnel::dense<float> layer{4, 4};
  funnel::mlp<float> tower{4, {8, 4}};
  funnel::mmoe<float, 2> experts{8, {.experts = 2, .expert_sizes = {4}}};
  funnel::din_attention<float> attention{4};
  funnel::watch_time_head<float> head{4};

  template <funnel::Context C>
  auto operator()(C& context, std::span<const std::uint32_t> ids,
                  const funnel::id_lists& lists) const {
    const auto item = items(context, ids);
    const auto history = bag(context, lists);
    const auto attended = attention(context, item, history, lists.offsets);
    const auto last = funnel::last_n_mean(context, items, lists, 2);
    const auto y = tower(context, funnel::add(context, attended, item));
    const auto x = layer(context, batch_norm(context, layer_norm(context, y)));
    const auto z = experts(context, funnel::concat(context, x, last));
    return head(context, funnel::multiply(context, z[0], z[1]));
  }
  void visit_parameters(auto&& visit) {
    visit("items", items);
    visit("bag", bag);
    visit("layer_norm", layer_norm);
    visit("batch_norm", batch_norm);
    visit("layer", layer);
    visit("tower", tower);
    visit("experts", experts);
    visit("attention", attention);
    visit("head", head);
  }
};

float serve(funnel::inference_context<number>& context, std::span<const std::uint32_t> ids,
            const funnel::id_lists& lists) {
  return static_cast<float>(funnel::freeze(model())(context, ids, lists)(0, 0));
}
