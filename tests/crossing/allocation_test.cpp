// SPDX-License-Identifier: MIT
// Serving with each layer of crossing/ asks for no memory after the first requests.
#include <funnel/crossing/cross_network.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>

#include "crossing_layers.hpp"
#include "support/allocation.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

using funnel::matrix;

namespace {

/// `run(layer, context, user, items)` calls a layer of float on parts of 6 columns each.
template <class Layer, class Run>
void check_serving(const Layer& layer, const Run& run) {
  const auto frozen = funnel::freeze(layer);
  const matrix<float> user = random_matrix<float>(1, 6, 1), items = random_matrix<float>(600, 6, 2);
  funnel::inference_context<float> context;
  const auto serve = [&](std::size_t n) {
    const auto rows = items.view().middle_rows(0, n);
    run(layer, context, user.view(), rows);
    frozen.call(
        context, [&](const Layer& m, auto& c, const auto&... x) { return run(m, c, x...); },
        user.view(), rows);
    context.reset();
  };
  CHECK(allocations_of([&] { serve(600); }) > 0);  // the counter counts
  serve(600);
  CHECK(allocations_of([&] {
          for (const std::size_t n : size_list{600, 1, 0, 13, 300, 600}) serve(n);
        }) == 0);
}

}  // namespace

TEST_CASE("crossing: after the first requests serving asks for no memory") {
  const auto on_concatenation = [](const auto& layer, auto& context, const auto&... parts) {
    return layer(context, concat(context, parts...));
  };
  for (const std::size_t rank : size_list{0, 3})
    check_serving(
        with_random_parameters(funnel::cross_network<float>(12, {.layers = 3, .rank = rank})),
        on_concatenation);
}
