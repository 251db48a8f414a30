// SPDX-License-Identifier: MIT
#include "harness.hpp"
#include "workloads.hpp"

#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include <memory>

namespace {

/// `pick(data, picked, scratch)` for k of n items. What binds a greedy pick is reading every vector
/// at every pick from the L2 cache; a lazy one reads less.
template <class Pick>
void add_slate(const std::string& name, std::size_t n, std::size_t k, Pick pick) {
  bench::add(name, {.l2_bytes = 4.0 * 64 * static_cast<double>(n * k)}, [=]() -> bench::task {
    const auto data = std::make_shared<const bench::slate_data>(n);
    const auto scratch = std::make_shared<funnel::arena>();
    return [=, picked = std::vector<std::size_t>(k)]() mutable {
      scratch->reset();
      benchmark::DoNotOptimize(pick(*data, std::span(picked), *scratch));
    };
  });
}

void add_mmr(std::size_t n, std::size_t k) {
  add_slate("mmr/" + std::to_string(n) + "x64/k:" + std::to_string(k), n, k,
            [](const bench::slate_data& data, auto picked, funnel::arena& scratch) {
              return funnel::mmr(data.relevance.flat(), data.vectors, picked,
                                 {.relevance_weight = bench::mmr_relevance_weight}, scratch);
            });
}

void add_dpp(std::size_t n, std::size_t k, std::size_t window) {
  std::string name = "dpp/" + std::to_string(n) + "x64/k:" + std::to_string(k);
  if (window > 0) name += "/window:" + std::to_string(window);
  add_slate(name, n, k, [=](const bench::slate_data& data, auto picked, funnel::arena& scratch) {
    return funnel::dpp(data.relevance.flat(), data.vectors, picked,
                       {.relevance_weight = bench::dpp_relevance_weight, .window = window},
                       scratch);
  });
}

const bool added = [] {
  for (const std::size_t n : bench::size_list{1250, 2500, 5000, 10000}) add_mmr(n, 500);
  for (const std::size_t n : bench::size_list{1250, 2500, 5000, 10000}) add_dpp(n, 500, 10);
  for (const std::size_t n : bench::size_list{1250, 2500, 5000, 10000}) add_dpp(n, 60, 0);
  return true;
}();

}  // namespace
