// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/huber.hpp>
#include <funnel/loss/mse.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

auto huber(const std::vector<double>& targets, double delta = 1,
           const std::vector<double>& weights = {}) {
  return [=](auto& context, const auto& x) {
    return funnel::huber_loss(context, x, targets, {.delta = delta, .weights = weights});
  };
}

}  // namespace

TEST_CASE("huber_loss: worked by hand", "[loss]") {
  // Differences -0.5, 3 and exactly 1 with delta 1: 0.125, 2.5 and 0.5.
  const auto [loss, gradient] = evaluate(column({3.5, 5.0, 1.0}), huber({4, 2, 0}));
  CHECK(tolerance::within(loss, 3.125 / 3, tolerance::elementwise<double>(1)));
  CHECK(tolerance::within(gradient(0, 0), -.5 / 3, tolerance::elementwise<double>(.2)));
  CHECK(tolerance::within(gradient(1, 0), 1. / 3, tolerance::elementwise<double>(.4)));
  CHECK(gradient(2, 0) == gradient(1, 0));
  // With delta 2 and weights 3 and 1: (3 * 0.125 + 2 * (3 - 1)) / 4.
  CHECK(evaluate(column({3.5, 5.0}), huber({4, 2}, 2, {3, 1})).loss == 4.375 / 4);
}

TEST_CASE("huber_loss: the formula and its gradient", "[loss]") {
  funnel::random_generator random(1);
  const auto x = random_matrix<double>(random, 7, 1, 5);
  const std::vector<double> targets = {0, 1, 0.3, -5, 1, 100, 0.99};
  const std::vector<double> weights = {1, 0, 2, 0.5, 3, 1, 0.1};
  for (const double delta : {.1, 1., 3., 1000.}) {
    double sum = 0, total = 0;
    for (std::size_t i = 0; i < 7; ++i) {
      const double d = std::abs(x(i, 0) - targets[i]);
      sum += weights[i] * (d <= delta ? d * d / 2 : delta * (d - delta / 2));
      total += weights[i];
    }
    CHECK(tolerance::within(evaluate(x, huber(targets, delta, weights)).loss, sum / total,
                            tolerance::reduction<double>(6 * 7, sum / total)));
    check_gradient(x, huber(targets, delta, weights));
    check_gradient(x, huber(targets, delta));
  }
}

TEST_CASE("huber_loss: half of mse_loss for a large delta, the absolute error for a small one",
          "[loss]") {
  funnel::random_generator random(2);
  const auto x = random_matrix<double>(random, 9, 1, 5);
  const std::vector<double> targets(9, .5);
  const auto squared = evaluate(
      x, [&](auto& context, const auto& p) { return funnel::mse_loss(context, p, targets); });
  const auto wide = evaluate(x, huber(targets, 1e6));
  CHECK(wide.loss == squared.loss / 2);
  for (std::size_t i = 0; i < 9; ++i) CHECK(wide.gradient(i, 0) == squared.gradient(i, 0) / 2);
  // The prediction of least loss lies within delta of the median, and does not follow an outlier.
  const double narrow = 1e-6;
  CHECK(tolerance::within(minimizer(5, huber({1, 2, 4, 9, 1e9}, narrow)), 4, narrow));
  CHECK(tolerance::within(minimizer(4, huber({1, 2, 3, 4}, 100)), 2.5,
                          tolerance::iterative<double>(100, 4)));
}

TEST_CASE("huber_loss: a row of weight 0 is not there; no row gives 0", "[loss]") {
  const auto masked = evaluate(column({0.5, not_a_number, -1.0}), huber({1, 0, 2}, 1, {1, 0, 1}));
  CHECK(masked.loss == evaluate(column({0.5, -1.0}), huber({1, 2})).loss);
  CHECK(masked.gradient(1, 0) == 0);
  const auto with_nan = evaluate(column({0.5, not_a_number}), huber({1, 0}));
  CHECK(std::isnan(with_nan.loss));
  CHECK(std::isnan(with_nan.gradient(1, 0)));
  CHECK(evaluate(column({0.5, -1.0}), huber({1, 0}, 1, {0, 0})).loss == 0);
  CHECK(evaluate(funnel::matrix<double>(0, 1), huber({})).loss == 0);
}

TEST_CASE("huber_loss: at the ends of the number line", "[loss]") {
  constexpr double most = std::numeric_limits<double>::max();
  const auto far = evaluate(column({most, -most}), huber({-most, most}, .5));
  CHECK(far.loss == most / 2);
  CHECK(far.gradient(0, 0) == .25);
  CHECK(far.gradient(1, 0) == -.25);
  CHECK(evaluate(column({most}), huber({-most}, most)).loss == most);
  // A tiny weight of a far row keeps its part.
  const auto rare = evaluate(column({0.0, 1e300}), huber({0, 0}, 1e-20, {1, 1e-300}));
  CHECK(tolerance::within(rare.loss, 1e-20, tolerance::elementwise<double>(1e-20)));
  const auto infinite = evaluate(column({infinity, 0.0}), huber({0, 0}));
  CHECK(std::isinf(infinite.loss));
  CHECK(infinite.gradient(0, 0) == .5);
}

TEST_CASE("huber_loss: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  CHECK(contains(error_of(funnel::matrix<double>(2, 2), huber({1, 0})),
                 "funnel::huber_loss: predictions has 2 columns, expected 1"));
  CHECK(contains(error_of(two, huber({1})), "targets has 1 value, expected 2 as in predictions"));
  CHECK(contains(error_of(two, huber({1, -infinity})), "targets[1] is -inf"));
  CHECK(contains(error_of(two, huber({1, 0}, 0)), "delta is 0, expected a finite number above 0"));
  CHECK(contains(error_of(two, huber({1, 0}, infinity)), "delta is inf"));
  CHECK(contains(error_of(two, huber({1, 0}, not_a_number)), "delta is nan"));
  CHECK(contains(error_of(two, huber({1, 0}, 1, {1})), "weights has 1 value, expected 2"));
  CHECK(contains(error_of(two, huber({1, 0}, 1, {1, -1})), "weights[1] is -1"));
}
