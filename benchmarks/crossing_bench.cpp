// SPDX-License-Identifier: MIT
// One user and n candidates, frozen: 256 inputs, of which the first 160 are the user's. As fields, they
// are 16 embeddings of 16 values.
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/crossing/bilinear.hpp>
#include <funnel/crossing/cross_network.hpp>
#include <funnel/crossing/ppnet.hpp>
#include <funnel/crossing/senet.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>

#include <memory>
#include <string>

namespace {

using bench::add;

constexpr std::size_t user_in = 160, item_in = 96, in = user_in + item_in, fields = 16, dim = 16;

/// `run(layer, context, user, items)` serves a request.
template <class Layer, class Run>
void add_request(const std::string& name, std::size_t n, double flops, const Layer& layer,
                 const Run& run) {
  add(name + "/n:" + std::to_string(n), {.flops = flops}, [=]() -> bench::task {
    auto trained = layer;
    funnel::initialize(trained, 1);
    const auto frozen =
        std::make_shared<decltype(funnel::freeze(trained))>(funnel::freeze(trained));
    const auto context = std::make_shared<funnel::inference_context<float>>();
    const auto user = std::make_shared<funnel::matrix<float>>(bench::uniform(1, user_in, 2));
    const auto items = std::make_shared<funnel::matrix<float>>(bench::uniform(n, item_in, 3));
    return [=] {
      context->reset();
      const auto y = frozen->call(
          *context, [&](const Layer& m, auto& c, const auto&... x) { return run(m, c, x...); },
          user->view(), items->view());
      benchmark::DoNotOptimize(y.data());
    };
  });
}

const bool added = [] {
  const auto on_concatenation = [](const auto& layer, auto& context, const auto&... parts) {
    return layer(context, concat(context, parts...));
  };
  constexpr double user = user_in, item = item_in, all = in, k = dim;
  for (const std::size_t count : {1, 50, 500}) {
    const auto n = static_cast<double>(count);
    // 3 layers; in the first, the user's product is computed once.
    add_request("cross_network", count, 2 * all * (user + n * item + 2 * n * all),
                funnel::cross_network<float>(in, {.layers = 3}), on_concatenation);
    const double r = 64;
    add_request("cross_network_rank_64", count,
                2 * r * (user + n * item + n * all + 2 * n * 2 * all),
                funnel::cross_network<float>(in, {.layers = 3, .rank = 64}), on_concatenation);
    // 10 fields of the user, 6 of the item: 15 of 120 pairs have a left field of the item.
    add_request("bilinear", count, 2 * k * k * (105 + n * 15) + n * 120 * k,
                funnel::bilinear<float>(fields, dim), on_concatenation);
    add_request("bilinear_inner", count, 2 * k * k * (105 + n * 15) + 2 * n * 120 * k,
                funnel::bilinear<float>(fields, dim, {.form = funnel::bilinear_form::inner}),
                on_concatenation);
    add_request("senet", count, user + n * (item + all) + n * 2 * fields * 5 * 2,
                funnel::senet<float>(fields, dim), on_concatenation);
    // An mlp (128, 64, 1), whose gates see the user.
    add_request("ppnet", count,
                2 * (128 * (user + n * item) + n * (128 * 64 + 64)) +
                    2 * (2 * 64 * user + 64 * (128 + 64)),
                funnel::ppnet<float>(in, user_in, {128, 64, 1}),
                [](const auto& net, auto& context, const auto& u, const auto& items) {
                  return net(context, concat(context, u, items), u);
                });
  }
  return true;
}();

}  // namespace
