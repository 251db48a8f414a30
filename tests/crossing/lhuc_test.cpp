// SPDX-License-Identifier: MIT
#include <funnel/crossing/lhuc.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>

#include "crossing_layers.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

using funnel::lhuc;
using funnel::matrix;

TEST_CASE("lhuc: worked by hand") {
  lhuc<double> layer(2, 2, {.hidden = {}});
  layer.net.layers[0].weight.value = rows_of({{1, 0}, {0, 1}});
  const matrix<double> g = rows_of({{std::log(3.), -std::log(3.)}}), h = rows_of({{4, 8}, {-2, 1}});
  funnel::inference_context<double> context;
  const auto y = layer(context, g.view(), h.view());  // gates 3/2 and 1/2
  const double expected[2][2] = {{6, 4}, {-3, .5}};
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 2; ++j)
      CHECK(tolerance::within(y(i, j), expected[i][j], tolerance::iterative<double>(2, 8)));
  CHECK(layer.gates(context, g.view()).rows() == 1);  // of the user, once
}

TEST_CASE("lhuc: initialized, it returns what it is given, and then learns") {
  for (const auto& hidden : {std::vector<std::size_t>{}, {7}, {7, 5}}) {
    lhuc<float> layer(6, 33, {.hidden = hidden});
    const matrix<float> g = random_matrix<float>(40, 6, 1, -5, 5),
                        h = random_matrix<float>(40, 33, 2);
    funnel::inference_context<float> context;
    CHECK(same_bits(layer(context, g.view(), h.view()), h.view()));
    funnel::initialize(layer, 3);
    CHECK(same_bits(layer(context, g.view(), h.view()), h.view()));
    CHECK(same_bits(funnel::freeze(layer)(context, g.view(), h.view()), h.view()));
    funnel::inference_context<float, funnel::scalar_arch> scalar;
    CHECK(same_bits(layer(scalar, g.view(), h.view()), h.view()));
    if (!hidden.empty()) CHECK(layer.net.layers[0].weight.value(0, 0) != 0);

    // The first step gives the last layer a gradient.
    funnel::training_context<float> tape;
    const auto y = layer(tape, tape.input(g), tape.input(h));
    for (std::size_t i = 0; i < 40; ++i) y.gradient(i, 3) = 1;
    const auto loss = tape.make(1, 1);
    tape.backward(loss);
    CHECK(tape.find_gradient(layer.net.layers.back().bias)->values()(0, 3) != 0);
  }
}

TEST_CASE("lhuc: gates are between 0 and 2") {
  const auto layer = with_random_parameters(lhuc<float>(3, 4, {.hidden = {5}}));
  funnel::inference_context<float> context;
  const matrix<float> far = random_matrix<float>(50, 3, 1, -1000, 1000);
  const auto gates = layer.gates(context, far.view());
  for (std::size_t i = 0; i < 50; ++i)
    for (std::size_t j = 0; j < 4; ++j) CHECK((gates(i, j) >= 0 && gates(i, j) <= 2));
}

TEST_CASE("lhuc: shapes and names") {
  const lhuc<float> layer(6, 3, {.hidden = {7}});
  CHECK(layer.gate_in() == 6);
  CHECK(layer.width() == 3);
  CHECK(names_of(layer) ==
        "net.layers.0.weight net.layers.0.bias net.layers.1.weight net.layers.1.bias ");
  CHECK(lhuc<float>(6, 3).net.layers.front().out() == 64);
}

TEST_CASE("lhuc: the same bits frozen, in training, in any batch and with grouped rows") {
  const auto layer = with_random_parameters(lhuc<float>(5, 9, {.hidden = {7}}));
  check_same_bits(layer, {5, 9}, [](const auto& m, auto& context, const auto& user, const auto& h) {
    return m(context, user, h);
  });
  const auto joined = with_random_parameters(lhuc<float>(14, 9, {.hidden = {7}}));
  check_same_bits(joined, {5, 9},
                  [](const auto& m, auto& context, const auto& user, const auto& h) {
                    return m(context, concat(context, user, h), h);
                  });
}

TEST_CASE("lhuc: gradients, with one row, no row and grouped rows") {
  const auto run = [](auto& context, const auto& m, const double_values& x) {
    return m(context, x[0], x[1]);
  };
  const lhuc<double> layer(2, 3, {.hidden = {4}});
  for (const auto& shapes :
       {std::vector<shape>{{4, 2}, {4, 3}}, {{1, 2}, {4, 3}}, {{4, 2}, {1, 3}}, {{1, 2}, {1, 3}}})
    check_layer(layer, shapes, run);
  const request_offsets requests{0, 1, 4};
  check_layer(layer, {{2, 2}, {4, 3}}, [&](auto& context, const auto& m, const auto& x) {
    context.group_rows(requests);
    return run(context, m, x);
  });
  funnel::training_context<double> tape;
  tape.backward(weighted_sum(tape, layer(tape, tape.make(0, 2), tape.make(0, 3))));
}

TEST_CASE("lhuc: what is refused") {
  using layer = lhuc<float>;
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([] { layer(0, 3); }, "funnel::dense", "in is 0"));
  CHECK(refuses([] { layer(3, 0); }, "funnel::dense", "out is 0"));
  CHECK(refuses([] { layer(3, 3, {.hidden = {0}}); }, "funnel::dense", "out is 0"));
  CHECK(refuses([] { layer(largest, 3); }, "funnel::matrix", "rows x cols"));
  CHECK(refuses([] { layer(3, largest); }, "funnel::matrix", "rows x cols"));
  const layer good(3, 4);
  funnel::inference_context<float> context;
  const matrix<float> g(5, 3), h(5, 4), few(2, 4);
  CHECK(refuses([&] { good(context, h.view(), h.view()); }, "funnel::dense",
                "4 columns, expected 3"));
  CHECK(refuses([&] { good(context, g.view(), g.view()); }, "funnel::multiply",
                "3 columns, expected 4"));
  CHECK(refuses([&] { good(context, g.view(), few.view()); }, "funnel::multiply", "2 rows"));
}
