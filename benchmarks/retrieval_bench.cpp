// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/retrieval/vector_index.hpp>

#include <memory>

namespace {

using bench::search_data;

void add_search(std::size_t queries) {
  const double products = double{search_data::items * search_data::dim};
  bench::add("top_k/1000000x64/k:500/queries:" + std::to_string(queries),
             {.flops = 2 * products * static_cast<double>(queries), .memory_bytes = 4 * products},
             [=]() -> bench::task {
               search_data data;
               const auto index =
                   std::make_shared<funnel::vector_index<>>(std::as_const(data.vectors));
               return [index, queries, query = data.query,
                       found = std::vector<funnel::scored_item>(search_data::k)]() mutable {
                 for (std::size_t q = 0; q < queries; ++q)
                   benchmark::DoNotOptimize(index->search(std::as_const(query).row(q), found));
               };
             });
}

const bool added = [] {
  add_search(1);
  add_search(search_data::queries);
  return true;
}();

}  // namespace
