// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include <memory>

namespace {

/// Without a roofline: how few vectors a lazy pick may read depends on the data.
void add_slate(const bench::slate_case& c) {
  bench::add(c.name(), [=]() -> bench::task {
    const auto data = std::make_shared<const bench::slate_data>(c.n, c.input);
    const auto scratch = std::make_shared<funnel::arena>();
    return [=, picked = std::vector<std::size_t>(c.k)]() mutable {
      scratch->reset();
      if (c.by_volume) {
        benchmark::DoNotOptimize(funnel::dpp(
            data->relevance.flat(), data->vectors, picked,
            {.relevance_weight = bench::dpp_relevance_weight, .window = c.window}, *scratch));
      } else {
        benchmark::DoNotOptimize(funnel::mmr(
            data->relevance.flat(), data->vectors, picked,
            {.relevance_weight = bench::mmr_relevance_weight, .window = c.window}, *scratch));
      }
    };
  });
}

const bool added = [] {
  for (const bench::slate_case& c : bench::slate_cases()) add_slate(c);
  return true;
}();

}  // namespace
