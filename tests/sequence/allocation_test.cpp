// SPDX-License-Identifier: MIT
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/sequence/din_attention.hpp>
#include <funnel/sequence/sim_attention.hpp>

#include "support/allocation.hpp"
#include "support/catch.hpp"

#include <cstdint>
#include <vector>

using namespace funnel;

namespace {

/// How often the third of three requests asks for memory.
template <class Layer>
std::size_t allocations_when_warm(Layer layer) {
  initialize(layer, 1);
  const auto frozen = freeze(layer);
  history_store store({.events_per_user = 3000});
  for (std::uint32_t t = 0; t < 4000; ++t) store.append(1, {t % 700, 1 + t % 9, t % 11, 0, t});
  std::vector<std::uint32_t> items, categories, clusters;
  for (std::uint32_t i = 0; i < 100; ++i) {
    items.push_back(7 * i);
    categories.push_back(i % 10);
    clusters.push_back(i % 13);
  }
  const std::vector<user_id> users{1};
  const std::vector<std::int64_t> times{3900};
  inference_context<float> context;
  std::size_t last = 0;
  for (std::size_t request = 0; request < 3; ++request) {
    last = allocations_of([&] {
      context.reset();
      frozen(context, store, sim_query{users, times, items, categories, clusters});
    });
  }
  return last;
}

}  // namespace

TEST_CASE("sim_attention: serving a request allocates nothing, once one has been served") {
  sim_options options{.items = 700, .categories = 10};
  CHECK(allocations_when_warm(sim_attention<float>(options)) == 0);
  CHECK(allocations_when_warm(sim_attention<float, din_attention<float>>(options)) == 0);
  options.similar = 50;
  options.searched = 1000;
  CHECK(allocations_when_warm(sim_attention<float>(options)) == 0);
}
