// SPDX-License-Identifier: MIT
#include <funnel/crossing/ppnet.hpp>

#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/stop_gradient.hpp>
#include <funnel/nn/training_context.hpp>

#include "crossing_layers.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <limits>
#include <vector>

using funnel::concat;
using funnel::matrix;
using funnel::ppnet;
using funnel::ppnet_options;

namespace {

/// No hidden layer, with gates at neither end, at one, at both.
std::vector<ppnet_options> all_options() {
  std::vector<ppnet_options> all;
  for (const bool of_input : {false, true})
    for (const bool of_output : {false, true})
      all.push_back({.network = {.hidden = funnel::activation::tanh},
                     .gate_hidden = {5},
                     .gate_input = of_input,
                     .gate_output = of_output});
  return all;
}

/// Weights and bias of a layer, which a script can make too.
void set(funnel::dense<double>& layer, double phase) {
  layer.weight.value = wave(layer.in(), layer.out(), phase);
  layer.bias.value = wave(1, layer.out(), phase + 3);
}
void set(funnel::lhuc<double>& gate, double phase) {
  set(gate.net.layers[0], phase);
  set(gate.net.layers[1], phase + 1);
}

}  // namespace

TEST_CASE("ppnet: agrees with PyTorch") {
  // The definition in PyTorch 1.13: Linear, relu, 2 * sigmoid, and detach() on x in the gates' input.
  const double expected[2] = {-0.056883991, -0.795355089};
  const double with_gated_input[2] = {-0.042370998, -0.839071529};
  const matrix<double> x = wave(2, 3, .2), ids = wave(2, 2, .4);
  funnel::inference_context<double> context;
  for (const bool gate_input : {false, true}) {
    ppnet<double> net(3, 5, {4, 2, 1}, {.gate_hidden = {3}, .gate_input = gate_input});
    REQUIRE(net.gates.size() == (gate_input ? 3 : 2));
    set(net.network.layers[0], 1);
    set(net.network.layers[1], 4);
    set(net.network.layers[2], 7);
    if (gate_input) set(net.gates[0], 8);
    set(net.gates[net.gates.size() - 2], 2);
    set(net.gates[net.gates.size() - 1], 5);
    const auto y = net(context, x.view(),
                       concat(context, ids, stop_gradient(context, context.input(x.view()))));
    REQUIRE(y.cols() == 1);
    for (std::size_t i = 0; i < 2; ++i)
      CHECK(tolerance::within(y(i, 0), (gate_input ? with_gated_input : expected)[i],
                              tolerance::printed(9)));
  }
}

TEST_CASE("ppnet: starts as the network without gates") {
  for (const auto& options : all_options()) {
    ppnet<float> net(14, 6, {8, 4, 2}, options);
    funnel::initialize(net, 1);
    const matrix<float> user = random_matrix<float>(1, 6, 2), x = random_matrix<float>(300, 14, 3);
    funnel::inference_context<float> context;
    CHECK(same_bits(net(context, x.view(), user.view()), net.network(context, x.view())));
  }
}

TEST_CASE("ppnet: shapes, names and which values have gates") {
  const auto widths = [](const ppnet_options& options) {
    std::vector<std::size_t> all;
    for (const auto& gate : ppnet<float>(9, 6, {8, 4, 2}, options).gates)
      all.push_back(gate.width());
    return all;
  };
  using sizes = std::vector<std::size_t>;
  CHECK(widths({}) == sizes{8, 4});
  CHECK(widths({.gate_input = true}) == sizes{9, 8, 4});
  CHECK(widths({.gate_output = true}) == sizes{8, 4, 2});
  CHECK(widths({.gate_input = true, .gate_output = true}) == sizes{9, 8, 4, 2});
  const ppnet<float> net(9, 6, {8, 1}, {.network = {.dropout = .25}, .gate_hidden = {}});
  CHECK(net.in() == 9);
  CHECK(net.out() == 1);
  CHECK(net.network.dropout_rate == .25);
  CHECK(
      names_of(net) ==
      "network.layers.0.weight network.layers.0.bias network.layers.1.weight network.layers.1.bias "
      "gates.0.net.layers.0.weight gates.0.net.layers.0.bias ");
}

TEST_CASE("ppnet: the same bits frozen, in training, in any batch and with grouped rows") {
  for (const auto& options : all_options()) {
    check_same_bits(with_random_parameters(ppnet<float>(14, 5, {8, 3}, options)), {5, 9},
                    [](const auto& m, auto& context, const auto& user, const auto& items) {
                      return m(context, concat(context, user, items), user);
                    });
    check_same_bits(with_random_parameters(ppnet<float>(9, 14, {8, 3}, options)), {5, 9},
                    [](const auto& m, auto& context, const auto& user, const auto& items) {
                      return m(context, items,
                               concat(context, user, stop_gradient(context, items)));
                    });
  }
}

TEST_CASE("ppnet: gradients, with one row, no row and grouped rows") {
  const auto run = [](auto& context, const auto& m, const double_values& x) {
    return m(context, concat(context, x[0], x[1]), x[0]);
  };
  for (auto options : all_options()) {
    options.gate_hidden = {};  // a relu has no derivative at 0
    const ppnet<double> net(5, 2, {4, 3, 2}, options);
    for (const auto& shapes :
         {std::vector<shape>{{4, 2}, {4, 3}}, {{1, 2}, {4, 3}}, {{1, 2}, {1, 3}}})
      check_layer(net, shapes, run);
    const request_offsets requests{0, 1, 4};
    check_layer(net, {{2, 2}, {4, 3}}, [&](auto& context, const auto& m, const auto& x) {
      context.group_rows(requests);
      return run(context, m, x);
    });
    funnel::training_context<double> tape;
    tape.backward(weighted_sum(tape, net(tape, tape.make(0, 5), tape.make(0, 2))));
  }
}

TEST_CASE("ppnet: no gradient reaches x through the gates") {
  const auto net = with_random_parameters(ppnet<double>(3, 3, {4, 1}, {.gate_hidden = {5}}));
  const matrix<double> numbers = random_matrix<double>(6, 3, 9);
  const auto gradient_of_x = [&](const auto& gate_input_of) {
    funnel::training_context<double> tape;
    const auto x = tape.make(6, 3);
    for (std::size_t i = 0; i < 6; ++i) std::ranges::copy(numbers.row(i), x.values.row(i).begin());
    tape.backward(weighted_sum(tape, net(tape, x, gate_input_of(tape, x))));
    return matrix<double>(funnel::matrix_view<const double>(x.gradient));
  };
  const auto stopped =
      gradient_of_x([](auto& tape, const auto& x) { return stop_gradient(tape, x); });
  const auto apart = gradient_of_x([&](auto& tape, const auto&) { return tape.input(numbers); });
  const auto flowing = gradient_of_x([](auto&, const auto& x) { return x; });
  CHECK(same_bits(stopped, apart));
  CHECK(!same_bits(stopped, flowing));
}

TEST_CASE("ppnet: what is refused") {
  using net = ppnet<float>;
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([] { net(3, 2, {}); }, "funnel::mlp", "sizes is empty"));
  CHECK(refuses([] { net(3, 2, {0}); }, "funnel::dense", "out is 0"));
  CHECK(refuses([] { net(3, 0, {4, 1}); }, "funnel::dense", "in is 0"));
  CHECK(refuses([] { net(0, 2, {4, 1}); }, "funnel::dense", "in is 0"));
  CHECK(refuses([] { net(3, 2, {4, 1}, {.gate_hidden = {0}}); }, "funnel::dense", "out is 0"));
  CHECK(refuses([] { net(3, largest, {4, 1}); }, "funnel::matrix", "rows x cols"));
  funnel::inference_context<float> context;
  const matrix<float> x(5, 3), g(5, 2);
  for (const bool gate_input : {false, true}) {
    const net good(3, 2, {4, 1}, {.gate_input = gate_input});
    CHECK(refuses([&] { good(context, g.view(), g.view()); }, "funnel::ppnet",
                  "2 columns, expected 3"));
    CHECK(refuses([&] { good(context, x.view(), x.view()); }, "funnel::dense",
                  "3 columns, expected 2"));
  }
  CHECK(refuses([&] { net()(context, x.view(), g.view()); }, "funnel::mlp", "layers is empty"));
}
