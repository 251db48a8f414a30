// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/preranking/item_tower_cache.hpp>

#include <memory>
#include <numeric>

namespace {

struct server {
  funnel::frozen<bench::tower_model, funnel::default_arch> frozen =
      funnel::freeze(bench::tower_model());
  bench::tower_data data;
  funnel::inference_context<float> context;
  funnel::item_tower_cache<float> cache{2 * bench::tower_model::candidates,
                                        bench::tower_model::item_dim};
  std::vector<funnel::item_id> items;

  server() : items(bench::tower_model::candidates) { std::iota(items.begin(), items.end(), 0u); }

  void run() {
    context.reset();
    const auto inputs = [&](std::span<const funnel::item_id> missing) {
      auto rows = context.make(missing.size(), data.items.cols());
      for (std::size_t i = 0; i < missing.size(); ++i)
        std::ranges::copy(std::as_const(data.items).row(missing[i]), rows.row(i).begin());
      return funnel::inference_context<float>::value(rows);
    };
    const auto tower = [&](auto& c, const auto& x) {
      return frozen.call(
          c, [](const auto& m, auto& own, const auto& rows) { return m.item(own, rows); }, x);
    };
    const auto vectors = funnel::cached_item_vectors(context, tower, cache, items, {1, 1}, inputs);
    const auto with_item_vectors = [](const auto& m, auto& c, const auto&... x) {
      return m.with_item_vectors(c, x...);
    };
    benchmark::DoNotOptimize(
        frozen.call(context, with_item_vectors, data.user.view(), vectors, data.crosses.view()));
  }
};

const bool added = [] {
  bench::add("three_tower/5000", {.flops = bench::tower_model::flops()}, []() -> bench::task {
    const auto s = std::make_shared<server>();
    return [s] { s->run(); };
  });
  return true;
}();

}  // namespace
