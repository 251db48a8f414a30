// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/bce.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

auto bce(const std::vector<double>& labels, const std::vector<double>& weights = {}) {
  return [labels, weights](auto& context, const auto& z) {
    return funnel::bce_with_logits(context, z, labels, {.weights = weights});
  };
}

}  // namespace

TEST_CASE("bce_with_logits: worked examples", "[loss]") {
  // y = 1 mixed half and half with a teacher's 0.6, at z = 0.
  const std::vector<double> labels = {0.8};
  const auto [loss, gradient] = evaluate(column({0.0}), bce(labels));
  CHECK(tolerance::within(loss, 0.693147, tolerance::printed(6)));
  CHECK(tolerance::within(gradient(0, 0), -0.3, tolerance::elementwise<double>(0.3)));
}

TEST_CASE("bce_with_logits: the formula and its gradient", "[loss]") {
  funnel::random_generator random(1);
  const auto x = random_matrix<double>(random, 7, 1, 5);
  const std::vector<double> labels = {0, 1, 0.3, 0.5, 1, 0, 0.99};
  const std::vector<double> weights = {1, 0, 2, 0.5, 3, 1, 0.1};
  double sum = 0, magnitudes = 0, total = 0;
  for (std::size_t i = 0; i < 7; ++i) {
    const double p = 1 / (1 + std::exp(-x(i, 0)));
    const double term = -labels[i] * std::log(p) - (1 - labels[i]) * std::log(1 - p);
    sum += weights[i] * term;
    magnitudes += std::abs(weights[i] * term);
    total += weights[i];
  }
  const double bound = tolerance::iterative<double>(7, magnitudes / total);
  CHECK(tolerance::within(evaluate(x, bce(labels, weights)).loss, sum / total, bound));
  check_gradient(x, bce(labels, weights));
  check_gradient(x, bce(labels));
}

TEST_CASE("bce_with_logits: a row of weight 0 is not there", "[loss]") {
  const std::vector<double> all = {1, 0, 1}, kept = {1, 1}, mask = {1, 0, 1};
  const auto masked = evaluate(column({0.5, 7.0, -1.0}), bce(all, mask));
  CHECK(masked.loss == evaluate(column({0.5, -1.0}), bce(kept)).loss);
  CHECK(masked.gradient(1, 0) == 0);
  const auto with_nan = evaluate(column({0.5, not_a_number, -1.0}), bce(all, mask));
  CHECK(with_nan.loss == masked.loss);
  CHECK(with_nan.gradient(1, 0) == 0);
  CHECK(std::isnan(evaluate(column({0.5, not_a_number, -1.0}), bce(all)).loss));
}

TEST_CASE("bce_with_logits: nothing to learn from gives 0, not NaN", "[loss]") {
  const std::vector<double> labels = {1, 0}, none = {0, 0};
  const auto masked = evaluate(column({0.5, -1.0}), bce(labels, none));
  CHECK(masked.loss == 0);
  CHECK(masked.gradient(0, 0) == 0);
  CHECK(masked.gradient(1, 0) == 0);
  CHECK(evaluate(funnel::matrix<double>(0, 1), bce({})).loss == 0);
}

TEST_CASE("bce_with_logits: extreme logits in float", "[loss]") {
  const std::vector<float> labels = {1, 0, 0, 1, 0.25f};
  const auto loss = [&](auto& context, const auto& z) {
    return funnel::bce_with_logits(context, z, labels);
  };
  const auto found = evaluate(column({-1e4f, 1e4f, -1e4f, 1e4f, 1e4f}), loss);
  CHECK(found.loss == 5500);  // (1e4 + 1e4 + 0 + 0 + 0.75e4) / 5
  CHECK(found.gradient(0, 0) == -0.2f);
  CHECK(found.gradient(1, 0) == 0.2f);
  CHECK(found.gradient(2, 0) == 0);
  CHECK(found.gradient(3, 0) == 0);
  CHECK(found.gradient(4, 0) == 0.75f * 0.2f);
  // The gradient of a nearly sure row is e^-z, not a difference that rounds to 0.
  const std::vector<float> one = {1};
  const auto sure = evaluate(column({30.0f}), [&](auto& context, const auto& z) {
    return funnel::bce_with_logits(context, z, one);
  });
  const double exact = std::exp(-30.0);
  CHECK(tolerance::within(sure.loss, exact, tolerance::elementwise<float>(exact)));
  CHECK(tolerance::within(sure.gradient(0, 0), -exact, tolerance::elementwise<float>(exact)));
}

TEST_CASE("bce_with_logits: the least loss is at the mean label and is its entropy", "[loss]") {
  const std::vector<double> labels = {0.1, 0.9, 0.4, 0.2};
  const double z = minimizer(4, bce(labels));
  CHECK(tolerance::within(1 / (1 + std::exp(-z)), 0.4, tolerance::iterative<double>(100, 1)));
}

TEST_CASE("bce_with_logits: sampled negatives of weight 1 / alpha stand for all", "[loss]") {
  // One positive, and the 3 negatives kept of 12: alpha = 1/4. Unweighted, the logit is ln alpha
  // too high.
  const std::vector<double> labels = {1, 0, 0, 0}, weights = {1, 4, 4, 4};
  const double bound = tolerance::iterative<double>(100, 3);
  const double weighted = minimizer(4, bce(labels, weights)), plain = minimizer(4, bce(labels));
  CHECK(tolerance::within(weighted, std::log(1.0 / 12), bound));
  CHECK(tolerance::within(plain + std::log(.25), weighted, bound));
}

TEST_CASE("bce_with_logits: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  CHECK(contains(error_of(funnel::matrix<double>(2, 2), bce({1, 0})),
                 "funnel::bce_with_logits: logits has 2 columns, expected 1"));
  CHECK(contains(error_of(two, bce({1})), "labels has 1 value, expected 2"));
  CHECK(contains(error_of(two, bce({1, 1.5})), "labels[1] is 1.5"));
  CHECK(contains(error_of(two, bce({-0.1, 1})), "labels[0] is -0.1"));
  CHECK(contains(error_of(two, bce({1, not_a_number})), "labels[1] is nan"));
  CHECK(contains(error_of(two, bce({1, 0}, {1})), "weights has 1 value, expected 2"));
  CHECK(contains(error_of(two, bce({1, 0}, {1, -1})), "weights[1] is -1"));
  CHECK(contains(error_of(two, bce({1, 0}, {not_a_number, 1})), "weights[0] is nan"));
}
