// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include <array>
#include <cmath>
#include <limits>

using namespace loss_test;

TEST_CASE("total_loss: the weighted sum and its gradients", "[loss]") {
  funnel::training_context<double> context;
  const auto a = context.make(1, 1), b = context.make(1, 1), c = context.make(1, 1);
  a.values(0, 0) = 2;
  b.values(0, 0) = 3;
  c.values(0, 0) = std::numeric_limits<double>::quiet_NaN();  // switched off by its weight
  const auto sum = funnel::total_loss(context, {a, b, c, a}, {1, 0.5, 0, 10});
  CHECK(sum.values(0, 0) == 23.5);
  context.backward(sum, 2.0);
  CHECK(a.gradient(0, 0) == 22);
  CHECK(b.gradient(0, 0) == 1);
  CHECK(c.gradient(0, 0) == 0);
}

TEST_CASE("total_loss: weights default to 1, spans and the serving context work too", "[loss]") {
  funnel::inference_context<float> context;
  const float values[] = {1.5f, 2};
  const std::array losses = {context.input({values, 1, 1}), context.input({values + 1, 1, 1})};
  const std::array weights = {2.0f, 1.0f};
  CHECK(funnel::total_loss(context, {losses[0], losses[1]})(0, 0) == 3.5f);
  CHECK(funnel::total_loss(context, losses, weights)(0, 0) == 5);
}

TEST_CASE("total_loss: a switched-off loss that is NaN leaves gradients alone", "[loss]") {
  const std::vector<double> labels = {1, 0};
  const auto found = evaluate(column({0.5, std::nan("")}), [&](auto& context, const auto& z) {
    const std::vector<double> first = {1, 0};
    const auto sound = funnel::bce_with_logits(context, z, labels, {.weights = first});
    const auto broken = funnel::bce_with_logits(context, z, labels);
    return funnel::total_loss(context, {sound, broken}, {1, 0});
  });
  CHECK(found.loss < 1);
  CHECK(found.gradient(0, 0) < 0);
  CHECK(found.gradient(1, 0) == 0);
}

TEST_CASE("total_loss: two heads, one defined on clicks alone", "[loss]") {
  const std::vector<double> clicks = {1, 0, 1, 0}, likes = {1, 0, 0, 0};
  check_gradient(filled(4, 1, {0.1, -2.0, 1.0, 0.7}), [&](auto& context, const auto& z) {
    const auto click = funnel::bce_with_logits(context, z, clicks);
    const auto like = funnel::bce_with_logits(context, z, likes, {.weights = clicks});
    return funnel::total_loss(context, {click, like}, {1, 0.3});
  });
}

TEST_CASE("total_loss: errors", "[loss]") {
  const auto with = [](std::initializer_list<double> weights) {
    return [weights](auto& context, const auto& x) {
      return funnel::total_loss(context, {x}, weights);
    };
  };
  CHECK(contains(error_of(column({1.0}), with({1, 2})), "weights has 2 values, expected 1"));
  CHECK(contains(error_of(column({1.0}), with({std::numeric_limits<double>::infinity()})),
                 "funnel::total_loss: weights[0] is inf"));
  CHECK(contains(error_of(column({1.0, 2.0}), with({1})), "losses[0] is [2, 1], expected [1, 1]"));
  CHECK(contains(error_of(column({1.0}),
                          [](auto& context, const auto&) {
                            return funnel::total_loss(context,
                                                      std::span<const funnel::variable<double>>());
                          }),
                 "losses is empty"));
}
