// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/preranking/item_tower_cache.hpp>

#include <cstddef>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

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

/// A request of the multi-vector model: the user's vectors, then the candidates by id.
struct id_server {
  using model = bench::multi_vector_model;

  funnel::frozen<model, funnel::default_arch> frozen = funnel::freeze(model());
  bench::matrix<float> user = bench::tower_data().user;
  bench::matrix<float> table = bench::uniform(model::items, model::dim, 46);
  std::vector<funnel::item_id> ids;
  funnel::inference_context<float> context;
  std::size_t batch = 0;

  explicit id_server(std::size_t n)
      : ids(bench::uniform_ids(model::batches * n, model::items, 47)) {}

  void run(std::size_t n) {
    context.reset();
    const auto candidates =
        std::span<const funnel::item_id>(ids).subspan(batch++ % model::batches * n, n);
    const auto score = [&](const auto& m, auto& c, const auto& x) {
      return m.score(c, m.user_vectors(c, x), table, candidates);
    };
    benchmark::DoNotOptimize(frozen.call(context, score, user.view()));
  }
};

const bool added = [] {
  for (const std::size_t n : bench::size_list{2000, 5000}) {
    bench::add("multi_vector_tower/" + std::to_string(n),
               {.flops = bench::multi_vector_model::flops(n),
                .memory_bytes = 4.0 * static_cast<double>(n * id_server::model::dim)},
               [n]() -> bench::task {
                 const auto s = std::make_shared<id_server>(n);
                 return [s, n] { s->run(n); };
               });
  }
  bench::add("three_tower/5000", {.flops = bench::tower_model::flops()}, []() -> bench::task {
    const auto s = std::make_shared<server>();
    return [s] { s->run(); };
  });
  return true;
}();

}  // namespace
