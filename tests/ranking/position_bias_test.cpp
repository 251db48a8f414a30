// SPDX-License-Identifier: MIT
#include <funnel/core/math.hpp>
#include <funnel/core/random.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/product_bce.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/ranking/position_bias.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using funnel::additive_position_bias;
using funnel::examination_position_bias;
using funnel::matrix;
using funnel::position_bias_options;

namespace {

using positions = std::vector<std::uint32_t>;

/// Term p of position p, and -1 of an unknown one.
template <class Layer>
Layer numbered(std::size_t count, double drop = 0) {
  Layer layer({.positions = count, .position_drop = drop});
  for (std::size_t p = 0; p <= count; ++p)
    layer.table.table.value(p, 0) = p == 0 ? -1 : static_cast<double>(p);
  return layer;
}

template <class Layer>
Layer random_layer(const position_bias_options& options) {
  return with_random_parameters(Layer(options));
}

constexpr double sure = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("position_bias: the value of a position, of an unknown one and of one past the table") {
  const auto additive = numbered<additive_position_bias<double>>(3);
  const auto examination = numbered<examination_position_bias<double>>(3);
  const positions shown{1, 3, 0, 2, 4, 4'000'000'000, 1};
  const std::vector<double> terms{1, 3, -1, 2, 3, 3, 1};
  const std::vector<double> logits{sure, 3, -1, 2, 3, 3, sure};
  funnel::inference_context<double> context;
  funnel::training_context<double> tape;
  for (std::size_t i = 0; i < shown.size(); ++i) {
    CHECK(additive(context, shown)(i, 0) == terms[i]);
    CHECK(additive(tape, shown)(i, 0) == terms[i]);
    CHECK(examination(context, shown)(i, 0) == logits[i]);
    CHECK(examination(tape, shown)(i, 0) == logits[i]);
  }
  CHECK(additive(context, positions{}).rows() == 0);
  CHECK(examination(context, positions{}).rows() == 0);
  const auto unknown = additive.without_position(context);
  CHECK(unknown.rows() == 1);
  CHECK(unknown(0, 0) == -1);
  // Added to the logits of all candidates, it keeps their order.
  const matrix<double> z = random_matrix<double>(4, 1, 1);
  const auto served = funnel::add(context, z.view(), unknown);
  for (std::size_t i = 0; i < 4; ++i) CHECK(served(i, 0) == z(i, 0) - 1);
}

TEST_CASE("position_bias: new layers say nothing about positions") {
  additive_position_bias<float> additive(position_bias_options{});
  funnel::initialize(additive, 1);
  funnel::inference_context<float> context;
  for (std::uint32_t p = 0; p < 60; ++p) CHECK(additive(context, positions{p})(0, 0) == 0);
  CHECK(additive.position_drop == .1);
  CHECK(additive.table.table.rows() == 51);
  std::string names;
  funnel::for_each_parameter(additive, [&](std::string_view path, const auto&) { names += path; });
  CHECK(names == "table.table");
}

TEST_CASE("position_bias: positions are dropped in training alone") {
  const auto layer = numbered<additive_position_bias<double>>(2, .1);
  const positions shown(20000, 2);
  funnel::training_context<double> tape(3);
  const auto term = layer(tape, shown);
  std::size_t dropped = 0;
  for (std::size_t i = 0; i < shown.size(); ++i) dropped += term(i, 0) == -1 ? 1 : 0;
  CHECK(tolerance::within(static_cast<double>(dropped) / 20000, .1,
                          tolerance::statistical(.3, shown.size())));
  funnel::inference_context<double> context;
  const auto served = layer(context, shown);
  for (std::size_t i = 0; i < shown.size(); ++i) CHECK(served(i, 0) == 2);
}

TEST_CASE("position_bias: gradients, with and without features") {
  const positions shown{2, 3, 0, 2, 9, 3};
  const position_bias_options plain{.positions = 3, .position_drop = 0},
      device{.positions = 3, .features = 2, .dim = 3, .hidden = {5}, .position_drop = .3};
  const std::vector<double> labels{0, 1, 0, 1, 0, 1};
  check_layer(
      additive_position_bias<double>(plain), {},
      [&](auto& context, const auto& m, const double_values&) { return m(context, shown); });
  check_layer(additive_position_bias<double>(device), {{6, 2}},
              [&](auto& context, const auto& m, const double_values& x) {
                return m(context, shown, x[0]);
              });
  check_layer(additive_position_bias<double>(device), {{1, 2}},
              [&](auto& context, const auto& m, const double_values& x) {
                return m(context, shown, x[0]);
              });
  check_layer(additive_position_bias<double>(device), {{2, 2}},
              [&](auto& context, const auto& m, const double_values& x) {
                return m.without_position(context, x[0]);
              });
  // The examination of position 1 is no parameter: its logit is infinite, its gradient 0.
  const positions with_first{2, 1, 0, 2, 9, 1};
  check_layer(examination_position_bias<double>(plain), {{6, 1}},
              [&](auto& context, const auto& m, const double_values& x) {
                return funnel::product_bce_with_logits(context, m(context, with_first), x[0],
                                                       labels);
              });
  check_layer(examination_position_bias<double>(device), {{6, 2}, {6, 1}},
              [&](auto& context, const auto& m, const double_values& x) {
                return funnel::product_bce_with_logits(context, m(context, with_first, x[0]), x[1],
                                                       labels);
              });
}

TEST_CASE("position_bias: position 1 has no gradient") {
  const auto layer = numbered<examination_position_bias<double>>(3);
  const positions shown{1, 2};
  funnel::training_context<double> tape;
  const auto logits = layer(tape, shown);
  for (std::size_t i = 0; i < 2; ++i) logits.gradient(i, 0) = 1;
  const auto loss = tape.make(1, 1);
  loss.values(0, 0) = 0;
  tape.backward(loss);
  const auto gradient = tape.find_gradient(layer.table.table);
  REQUIRE(gradient != nullptr);
  CHECK((gradient->row(1).empty() || gradient->row(1)[0] == 0));
  CHECK(gradient->row(2)[0] == 1);
}

TEST_CASE("position_bias: features of one row, of a request, of every row; frozen") {
  const position_bias_options options{.positions = 5, .features = 3};
  const auto additive = random_layer<additive_position_bias<float>>(options);
  const auto examination = random_layer<examination_position_bias<float>>(options);
  const request_offsets requests = offsets_of({2, 1, 300});
  const matrix<float> device = random_matrix<float>(3, 3, 1),
                      repeated_rows = repeated(device, requests);
  positions shown;
  for (std::size_t i = 0; i < requests.back(); ++i)
    shown.push_back(static_cast<std::uint32_t>(i % 8));
  funnel::inference_context<float> plain, context;
  context.group_rows(requests);
  const auto check = [&](const auto& layer) {
    const auto expected = layer(plain, shown, repeated_rows.view());
    CHECK(same_bits(layer(context, shown, device.view()), expected));
    CHECK(same_bits(funnel::freeze(layer)(context, shown, device.view()), expected));
    const auto first = positions(shown.begin(), shown.begin() + 2);
    CHECK(same_bits(layer(plain, first, device.view().middle_rows(0, 1)),
                    expected.middle_rows(0, 2)));
    // One position and many rows of features.
    const auto one = layer(plain, positions{1}, repeated_rows.view());
    const auto many = layer(plain, positions(requests.back(), 1), repeated_rows.view());
    CHECK(same_bits(one, many));
  };
  check(additive);
  check(examination);
  const auto unknown = additive.without_position(plain, device.view());
  CHECK(same_bits(unknown, additive(plain, positions{0, 0, 0}, device.view())));
}

TEST_CASE("position_bias: each model recovers its own truth") {
  // Clicks of known attractiveness at positions 1 to 4, more attractive items further up.
  constexpr std::size_t n = 20000;
  const std::vector<double> truth{1, .7, .5, .35};
  matrix<double> z(n, 1);
  std::vector<double> additive_labels, examination_labels;
  positions shown;
  funnel::random_generator bits(5);
  for (std::size_t i = 0; i < n; ++i) {
    const auto p = static_cast<std::uint32_t>(1 + i % 4);
    z(i, 0) = funnel::standard_normal(bits) - .3 * static_cast<double>(p);
    shown.push_back(p);
    // The expected label stands for a draw: exact, without noise.
    additive_labels.push_back(funnel::sigmoid(z(i, 0) + std::log(truth[p - 1])));
    examination_labels.push_back(truth[p - 1] * funnel::sigmoid(z(i, 0)));
  }
  const auto learn = [&](auto layer, const auto& loss) {
    funnel::initialize(layer, 1);
    funnel::adam<double> optimizer({.learning_rate = .1});
    funnel::training_context<double> tape;
    for (int step = 0; step < 150; ++step) {
      tape.backward(loss(tape, layer(tape, shown)));
      optimizer.step(layer, tape);
      tape.clear();
    }
    return layer;
  };
  const position_bias_options options{.positions = 4, .position_drop = 0};
  const auto additive = learn(additive_position_bias<double>(options), [&](auto& tape,
                                                                           const auto& term) {
    return funnel::bce_with_logits(tape, funnel::add(tape, tape.input(z), term), additive_labels);
  });
  const auto examination =
      learn(examination_position_bias<double>(options), [&](auto& tape, const auto& logit) {
        return funnel::product_bce_with_logits(tape, logit, tape.input(z), examination_labels);
      });
  funnel::inference_context<double> context;
  const positions each{1, 2, 3, 4};
  for (std::size_t p = 0; p < 4; ++p) {
    CHECK(tolerance::within(std::exp(additive(context, each)(p, 0)), truth[p],
                            tolerance::promised(.03, truth[p])));
    CHECK(tolerance::within(funnel::sigmoid(examination(context, each)(p, 0)), truth[p],
                            tolerance::promised(.03, truth[p])));
  }
}

TEST_CASE("position_bias: what is refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  using additive = additive_position_bias<float>;
  using examination = examination_position_bias<float>;
  const auto refused = [](const position_bias_options& options, std::string_view what) {
    return refuses([&] { additive{options}; }, "funnel::additive_position_bias", what) &&
           refuses([&] { examination{options}; }, "funnel::examination_position_bias", what);
  };
  for (const std::size_t size : {most, std::size_t{1} << 63, std::size_t{0xffffffff}})
    CHECK(refused({.positions = size}, "positions is"));
  CHECK(refused({.positions = 0}, "positions is 0"));
  CHECK(refused({.features = most}, "features is"));
  CHECK(refused({.features = 1, .dim = 0}, "dim is 0"));
  CHECK(refuses([] { additive({.features = 1, .hidden = {0}}); }, "funnel::dense", "out is 0"));
  for (const double rate : {-.1, 1., std::nan("")})
    CHECK(refuses([&] { additive({.position_drop = rate}); }, "funnel::additive_position_bias",
                  "position_drop is"));
  const additive plain(position_bias_options{}), device(position_bias_options{.features = 2});
  const examination looks(position_bias_options{.features = 2});
  funnel::inference_context<float> context;
  const matrix<float> x(1, 2), wide(1, 3), two(2, 2);
  CHECK(refuses([&] { plain(context, positions{1}, x.view()); }, "funnel::additive_position_bias",
                "features are passed"));
  CHECK(refuses([&] { device(context, positions{1}); }, "funnel::additive_position_bias",
                "features are missing"));
  CHECK(refuses([&] { looks(context, positions{1}); }, "funnel::examination_position_bias",
                "features are missing"));
  CHECK(refuses([&] { device.without_position(context); }, "funnel::additive_position_bias",
                "features are missing"));
  CHECK(refuses([&] { device(context, positions{1}, wide.view()); }, "funnel::dense", "columns"));
  CHECK(refuses(
      [&] {
        device(context, positions{1, 2, 3}, two.view());
      },
      "funnel::concat", "rows"));
}
