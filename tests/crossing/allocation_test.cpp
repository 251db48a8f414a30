// SPDX-License-Identifier: MIT
// Serving with each layer of crossing/ asks for no memory after the first requests.
#include <funnel/crossing/bilinear.hpp>
#include <funnel/crossing/cross_network.hpp>
#include <funnel/crossing/ppnet.hpp>
#include <funnel/crossing/senet.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/stop_gradient.hpp>

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
  for (const auto form : {funnel::bilinear_form::hadamard, funnel::bilinear_form::inner})
    check_serving(with_random_parameters(funnel::bilinear<float>(6, 2, {.form = form})),
                  on_concatenation);
  check_serving(with_random_parameters(funnel::senet<float>(6, 2)), on_concatenation);
  for (const bool gate_input : {false, true})
    check_serving(
        with_random_parameters(funnel::ppnet<float>(12, 12, {16, 1}, {.gate_input = gate_input})),
        [](const auto& net, auto& context, const auto& user, const auto& items) {
          const auto x = concat(context, user, items);
          return net(context, x, concat(context, user, stop_gradient(context, items)));
        });
}
