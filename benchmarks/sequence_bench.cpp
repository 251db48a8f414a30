// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/sequence/category_index.hpp>
#include <funnel/sequence/din_attention.hpp>
#include <funnel/sequence/history_search.hpp>
#include <funnel/sequence/history_store.hpp>
#include <funnel/sequence/sim_attention.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace {

using bench::add;
using bench::history_data;

/// What one or two conditions hold for in a history without an index, all of which is read.
template <std::size_t conditions>
void add_scan(const std::string& name) {
  add("filter/1000000/" + name, {.memory_bytes = 4.0 * conditions * history_data::events},
      []() -> bench::task {
        const auto data = std::make_shared<const history_data>();
        return [=, i = std::size_t{0}, found = std::vector<std::uint32_t>(1 << 16)]() mutable {
          const std::size_t user = i++ % history_data::many;
          const funnel::field_equals category{data->categories.row(user), history_data::category};
          const funnel::field_equals cluster{data->clusters.row(user), history_data::cluster};
          if constexpr (conditions == 1) {
            benchmark::DoNotOptimize(funnel::hard_search(category, found));
          } else {
            benchmark::DoNotOptimize(funnel::filter_union({category, cluster}, found));
          }
        };
      });
}

/// The positions of a category in the index of one history, of which there are 2^-category.
void add_lookup(std::uint32_t category) {
  const std::size_t found = history_data::events >> category;
  add("filter/1000000/lookup/found:" + std::to_string(found),
      {.cached_bytes = 8.0 * static_cast<double>(found)}, [=]() -> bench::task {
        const auto data = std::make_shared<history_data>(std::size_t{1});
        const auto index =
            std::make_shared<funnel::category_index>(std::as_const(data->categories).row(0));
        return [index, category, positions = std::vector<std::uint32_t>(found)]() mutable {
          benchmark::DoNotOptimize(hard_search(*index, category, positions));
        };
      });
}

/// The index of a history without one, which is read from memory; positions are written.
template <class Make>
void add_index(const std::string& categories, Make make) {
  add("category_index/1000000/categories:" + categories,
      {.memory_bytes = 8.0 * history_data::events}, [=]() -> bench::task {
        const auto histories = std::make_shared<const bench::matrix<std::uint32_t>>(make());
        const auto index = std::make_shared<funnel::category_index>();
        return [=, i = std::size_t{0}]() mutable {
          index->assign(histories->row(i++ % history_data::many));
        };
      });
}

/// A store with histories of a million events each, in 200 categories and 1000 clusters.
struct store_data {
  static constexpr std::uint32_t events = 1000000, users = 4, items = 1000000, candidates = 500;
  static constexpr std::int64_t now = events;

  funnel::history_store store;
  std::vector<std::uint32_t> item_ids = bench::uniform_ids(candidates, items, 91),
                             categories = bench::uniform_ids(candidates, 199, 92),
                             clusters = bench::uniform_ids(candidates, 1000, 93);

  store_data() {
    for (std::uint32_t user = 0; user < users; ++user) {
      const auto of_events = bench::uniform_ids(events, items, 94 + user);
      for (std::uint32_t e = 0; e < events; ++e)
        store.append(user, {of_events[e], 1 + of_events[e] % 199, of_events[e] % 1009 % 1000, 0,
                            std::int64_t{e}});
    }
    for (std::uint32_t& category : categories) ++category;
  }
};

/// SIM from the store to a value for each of 500 candidates; users in turn.
template <class Attention, class... Options>
void add_sim(const std::string& name, const Options&... options) {
  add("sim_attention/500x1000000/" + name, [=]() -> bench::task {
    const auto data = std::make_shared<const store_data>();
    using layer = funnel::sim_attention<float, Attention>;
    layer model({.items = store_data::items, .categories = 200}, options...);
    funnel::initialize(model, 1);
    const auto frozen =
        std::make_shared<const funnel::frozen<layer, funnel::default_arch>>(std::move(model));
    const auto context = std::make_shared<funnel::inference_context<float>>();
    return [=, i = std::uint32_t{0}]() mutable {
      const std::vector<std::uint32_t> user{i++ % store_data::users};
      const std::vector<std::int64_t> now{store_data::now};
      context->reset();
      const funnel::sim_query query{user, now, data->item_ids, data->categories, data->clusters};
      benchmark::DoNotOptimize((*frozen)(*context, data->store, query).data());
    };
  });
}

const bool added = [] {
  add("target_attention/500x200x64", {.flops = 4.0 * 500 * 200 * 64}, []() -> bench::task {
    const auto data = std::make_shared<bench::attention_data>();
    const auto context = std::make_shared<funnel::inference_context<float>>();
    return [=] {
      context->reset();
      benchmark::DoNotOptimize(funnel::target_attention(*context, data->candidates.view(),
                                                        data->events.view(), data->offsets)
                                   .data());
    };
  });

  add_sim<funnel::multi_head_attention<float>>("heads:4");
  add_sim<funnel::din_attention<float>>(
      "din:16",
      funnel::din_attention_options{.hidden = {16}, .function = funnel::activation::relu});

  add_scan<1>("category");
  add_scan<2>("union");
  add_index("21", [] { return history_data().categories; });
  add_index("5000", [] { return history_data::uniform_categories(5000); });
  for (const std::uint32_t category : {5u, 8u, 11u, 14u}) add_lookup(category);
  return true;
}();

}  // namespace
