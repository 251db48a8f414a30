// SPDX-License-Identifier: MIT
#include <funnel/nn/start_at_rate.hpp>

#include <funnel/core/math.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

using funnel::dense;
using funnel::mlp;
using funnel::start_at_rate;

TEST_CASE("start_at_rate: the bias is the logit of the rate, nothing else changes") {
  dense<double> layer(3, 2);
  funnel::random_generator bits(1);
  funnel::initialize(layer, bits);
  const auto weights = layer.weight.value;
  start_at_rate(layer, .03, 1);
  CHECK(layer.bias.value(0, 0) == 0);
  CHECK(layer.bias.value(0, 1) == funnel::logit(.03));
  start_at_rate(layer, .5);
  CHECK(layer.bias.value(0, 0) == 0);
  CHECK(layer.bias.value(0, 1) == funnel::logit(.03));
  CHECK(same_bits(layer.weight.value, weights));

  mlp<float> tower(3, {4, 1});
  start_at_rate(tower, .25);
  for (const float value : tower.layers.front().bias.value.flat()) CHECK(value == 0);
  CHECK(tower.layers.back().bias.value(0, 0) == static_cast<float>(std::log(1. / 3)));
  // The ends of the range give finite biases.
  start_at_rate(tower, std::numeric_limits<double>::denorm_min());
  CHECK(std::isfinite(tower.layers.back().bias.value(0, 0)));
  start_at_rate(tower, std::nextafter(1., 0.));
  CHECK(std::isfinite(tower.layers.back().bias.value(0, 0)));
}

TEST_CASE("start_at_rate: at the rate of the labels the bias has no gradient") {
  // 1 positive in 8 rows; the loss is the entropy of the rate already.
  const std::vector<double> labels{0, 0, 1, 0, 0, 0, 0, 0};
  dense<double> layer(2, 1);  // weights of 0
  start_at_rate(layer, 1. / 8);
  funnel::training_context<double> context;
  const funnel::matrix<double> x = random_matrix<double>(8, 2, 1);
  const auto loss = funnel::bce_with_logits(context, layer(context, context.input(x)), labels);
  context.backward(loss);
  CHECK(tolerance::within(context.find_gradient(layer.bias)->values()(0, 0), 0,
                          tolerance::reduction<double>(8, 2. / 8)));
  const double entropy = -(std::log(1. / 8) + 7 * std::log(7. / 8)) / 8;
  CHECK(tolerance::within(loss(0, 0), entropy, tolerance::iterative<double>(8, entropy)));
}

TEST_CASE("start_at_rate: what is refused") {
  dense<float> layer(3, 2), without_bias(3, 2, {.bias = false});
  const auto refused = [](auto& head, double rate, std::size_t output, std::string_view words) {
    return refuses([&] { start_at_rate(head, rate, output); }, "funnel::start_at_rate", words);
  };
  for (const double rate : {0., 1., -.5, 2., std::numeric_limits<double>::infinity()})
    CHECK(refused(layer, rate, 0, "expected a number in (0, 1)"));
  CHECK(refused(layer, std::nan(""), 0, "rate is nan"));
  CHECK(refused(layer, 0, 0, "rate is 0, expected"));
  CHECK(refused(layer, .5, 2, "output is 2, expected below 2, the outputs of the layer"));
  CHECK(refused(without_bias, .5, 0, "bias is [1, 0], expected [1, 2]"));
  dense<float> positive(3, 1, {.function = funnel::activation::relu});
  CHECK(refused(positive, .5, 0, "expected identity: its outputs are logits"));
  mlp<float> empty;
  CHECK(refused(empty, .5, 0, "layers is empty"));
  layer.freeze<funnel::default_arch>();
  CHECK(refused(layer, .5, 0, "the layer is frozen, expected the one that it was frozen from"));
  for (const float value : layer.bias.value.flat()) CHECK(value == 0);
}
