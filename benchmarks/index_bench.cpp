// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/core/float16.hpp>
#include <funnel/core/random.hpp>
#include <funnel/index/flat_index.hpp>
#include <funnel/index/score_items.hpp>

#ifdef FUNNEL_HAS_TBB
#include <funnel/adapters/tbb.hpp>
#endif

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace {

using bench::search_data;

template <class Value = float>
struct searcher {
  using index_type = funnel::flat_index<funnel::default_arch, Value>;

  index_type index;
  bench::matrix<float> query;
  bench::matrix<funnel::scored_item> found;

  explicit searcher(std::size_t queries) : found(queries, search_data::k) {
    const search_data data;
    index = index_type(data.vectors);
    query = bench::matrix<float>(data.query.view().middle_rows(0, queries));
  }
};

void add_search(std::size_t queries, int threads) {
  std::string name = "top_k/1000000x64/k:500/queries:" + std::to_string(queries);
  if (threads > 1) name += "/threads:" + std::to_string(threads);
  const double products = double{search_data::items * search_data::dim};
  bench::add(name,
             {.flops = 2 * products * static_cast<double>(queries),
              .memory_bytes = 4 * products,
              .threads = threads},
             [=]() -> bench::task {
               const auto s = std::make_shared<searcher<>>(queries);
#ifdef FUNNEL_HAS_TBB
               if (threads > 1) {
                 const auto executor =
                     std::make_shared<funnel::tbb_executor>(static_cast<std::size_t>(threads));
                 const auto scratch = std::make_shared<funnel::arena>();
                 return [=] {
                   scratch->reset();
                   s->index.search(s->query.view(), s->found.view(), funnel::all_items(), *executor,
                                   *scratch);
                 };
               }
#endif
               return [s] { s->index.search(s->query.view(), s->found.view()); };
             });
}

/// Vectors stored in fewer bytes.
template <class Value>
void add_search_stored(const std::string& value, std::size_t queries) {
  const double products = double{search_data::items * search_data::dim};
  bench::add("top_k/1000000x64/k:500/queries:" + std::to_string(queries) + "/" + value,
             {.flops = 2 * products * static_cast<double>(queries),
              .memory_bytes = sizeof(Value) * products},
             [=]() -> bench::task {
               const auto s = std::make_shared<searcher<Value>>(queries);
               return [s] { s->index.search(s->query.view(), s->found.view()); };
             });
}

/// A user has seen every second item at random.
void add_search_filtered() {
  bench::add("top_k/1000000x64/k:500/queries:1/filtered",
             {.memory_bytes = 4.0 * search_data::items * search_data::dim}, []() -> bench::task {
               const auto s = std::make_shared<searcher<>>(1);
               const auto seen = std::make_shared<std::vector<std::uint64_t>>();
               funnel::random_generator bits(53);
               for (std::size_t i = 0; i < search_data::items / 64 + 1; ++i)
                 seen->push_back(bits());
               return [=] {
                 const funnel::item_bitmap was_seen{*seen};
                 s->index.search(s->query.view(), s->found.view(),
                                 [&](funnel::item_id item) { return !was_seen(item); });
               };
             });
}

/// From the vectors to an index that can be searched; the last one is freed first.
void add_build() {
  bench::add("flat_index/1000000x64", {.memory_bytes = 8.0 * search_data::items * search_data::dim},
             []() -> bench::task {
               const auto vectors =
                   std::make_shared<const bench::matrix<float>>(search_data().vectors);
               const auto index = std::make_shared<funnel::flat_index<>>();
               return [=] {
                 *index = funnel::flat_index<>();
                 *index = funnel::flat_index<>(*vectors);
               };
             });
}

bench::cost cost_of(const bench::score_case& s) {
  const double bytes = 4.0 * static_cast<double>(s.n * s.dim);
  return {.flops = .5 * bytes * static_cast<double>(s.queries),
          .memory_bytes =
              bytes * bench::uncached_share(4.0 * static_cast<double>(s.items * s.dim))};
}

void add_scores(const bench::score_case& s) {
  using bench::score_data;
  bench::add("score_items/" + s.name(), cost_of(s), [s]() -> bench::task {
    const auto data = std::make_shared<score_data>(s);
    return [data, batch = std::size_t{0}]() mutable {
      funnel::score_items(data->query, data->rows, data->batch(batch++), data->scores);
    };
  });
  if (s.items > 200000) return;  // the packed vectors beside the rows
  bench::add("flat_index_scores/" + s.name(), cost_of(s), [s]() -> bench::task {
    const auto data = std::make_shared<score_data>(s);
    const auto index = std::make_shared<const funnel::flat_index<>>(data->rows);
    return [data, index, batch = std::size_t{0}]() mutable {
      index->scores(data->query, data->batch(batch++), data->scores);
    };
  });
}

const bool added = [] {
  add_build();
  for (const bench::score_case& s : bench::score_cases()) add_scores(s);
  add_search(1, 1);
  add_search_stored<funnel::bfloat16>("bfloat16", 1);
  add_search_stored<funnel::float16>("float16", 1);
  add_search_stored<std::int8_t>("int8", 1);
  add_search_stored<std::int8_t>("int8", search_data::queries);
  add_search_filtered();
  add_search(search_data::queries, 1);
#ifdef FUNNEL_HAS_TBB
  add_search(search_data::queries, 2);
#endif
  return true;
}();

}  // namespace
