// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/mse.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

auto mse(const std::vector<double>& targets, const std::vector<double>& weights = {},
         double total_weight = 0) {
  return [=](auto& context, const auto& x) {
    return funnel::mse_loss(context, x, targets,
                            {.weights = weights, .total_weight = total_weight});
  };
}

}  // namespace

TEST_CASE("mse_loss: worked by hand", "[loss]") {
  // Ratings 4 and 2, predicted 3.5 and 4: (0.25 + 4) / 2.
  const auto [loss, gradient] = evaluate(column({3.5, 4.0}), mse({4, 2}));
  CHECK(loss == 2.125);
  CHECK(gradient(0, 0) == -.5);
  CHECK(gradient(1, 0) == 2);
  // (0.25 * 3 + 4) / 4
  CHECK(evaluate(column({3.5, 4.0}), mse({4, 2}, {3, 1})).loss == 1.1875);
  // The parts of a batch of weight 8 divide by 8.
  CHECK(evaluate(column({3.5, 4.0}), mse({4, 2}, {3, 1}, 8)).loss == 4.75 / 8);
}

TEST_CASE("mse_loss: the formula and its gradient", "[loss]") {
  funnel::random_generator random(1);
  const auto x = random_matrix<double>(random, 7, 1, 5);
  const std::vector<double> targets = {0, 1, 0.3, -5, 1, 100, 0.99};
  const std::vector<double> weights = {1, 0, 2, 0.5, 3, 1, 0.1};
  double sum = 0, total = 0;
  for (std::size_t i = 0; i < 7; ++i) {
    sum += weights[i] * (x(i, 0) - targets[i]) * (x(i, 0) - targets[i]);
    total += weights[i];
  }
  CHECK(tolerance::within(evaluate(x, mse(targets, weights)).loss, sum / total,
                          tolerance::reduction<double>(4 * 7, sum / total)));
  check_gradient(x, mse(targets, weights));
  check_gradient(x, mse(targets));
}

TEST_CASE("mse_loss: a row of weight 0 is not there; no row gives 0", "[loss]") {
  const auto masked = evaluate(column({0.5, 7.0, -1.0}), mse({1, 0, 2}, {1, 0, 1}));
  CHECK(masked.loss == evaluate(column({0.5, -1.0}), mse({1, 2})).loss);
  CHECK(masked.gradient(1, 0) == 0);
  const auto with_nan = evaluate(column({0.5, not_a_number, -1.0}), mse({1, 0, 2}, {1, 0, 1}));
  CHECK(with_nan.loss == masked.loss);
  CHECK(with_nan.gradient(1, 0) == 0);
  CHECK(std::isnan(evaluate(column({0.5, not_a_number}), mse({1, 0})).loss));
  const auto none = evaluate(column({0.5, -1.0}), mse({1, 0}, {0, 0}));
  CHECK(none.loss == 0);
  CHECK(none.gradient(0, 0) == 0);
  CHECK(evaluate(funnel::matrix<double>(0, 1), mse({})).loss == 0);
}

TEST_CASE("mse_loss: the least loss is at the weighted mean", "[loss]") {
  CHECK(tolerance::within(minimizer(3, mse({1, 2, 9})), 4, tolerance::iterative<double>(100, 4)));
  CHECK(tolerance::within(minimizer(3, mse({1, 2, 9}, {2, 1, 1})), 3.25,
                          tolerance::iterative<double>(100, 4)));
}

TEST_CASE("mse_loss: at the ends of the number line", "[loss]") {
  constexpr double most = std::numeric_limits<double>::max();
  const auto far = evaluate(column({most, -most}), mse({-most, most}));
  CHECK(far.loss == most);
  CHECK(far.gradient(0, 0) == most);
  CHECK(far.gradient(1, 0) == -most);
  // The square of one row overflows, not its part of the mean.
  const std::vector<double> targets = {0, 0}, weights = {1, 1e-200};
  const auto rare = evaluate(column({0.0, 1e200}), mse(targets, weights));
  CHECK(tolerance::within(rare.loss, 1e200, tolerance::elementwise<double>(1e200)));
  CHECK(tolerance::within(rare.gradient(1, 0), 2, tolerance::elementwise<double>(2)));
  // In float the squares are exact.
  const std::vector<float> ends = {-1e30f, 0};
  const auto squares = evaluate(column({1e30f, 1e-30f}), [&](auto& context, const auto& x) {
    return funnel::mse_loss(context, x, ends, {.weights = std::vector{1e-38f, 1e-38f}});
  });
  CHECK(squares.loss == static_cast<double>(std::numeric_limits<float>::max()));
  CHECK(tolerance::within(squares.gradient(0, 0), 2e30, tolerance::elementwise<float>(2e30)));
  CHECK(std::isinf(evaluate(column({infinity, 0.0}), mse(targets)).loss));
}

TEST_CASE("mse_loss: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  CHECK(contains(error_of(funnel::matrix<double>(2, 2), mse({1, 0})),
                 "funnel::mse_loss: predictions has 2 columns, expected 1"));
  CHECK(contains(error_of(two, mse({1})), "targets has 1 value, expected 2 as in predictions"));
  CHECK(contains(error_of(two, mse({1, infinity})), "targets[1] is inf, expected a finite number"));
  CHECK(contains(error_of(two, mse({not_a_number, 1})), "targets[0] is nan"));
  CHECK(contains(error_of(two, mse({1, 0}, {1})), "weights has 1 value, expected 2"));
  CHECK(contains(error_of(two, mse({1, 0}, {1, -1})), "weights[1] is -1"));
  CHECK(contains(error_of(two, mse({1, 0}, {}, -2)), "total_weight is -2"));
}
