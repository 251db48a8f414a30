// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/mean_loss.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/slice.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

auto mean(const std::vector<double>& weights = {}, double total_weight = 0) {
  return [=](auto& context, const auto& x) {
    return funnel::mean_loss(context, x, {.weights = weights, .total_weight = total_weight});
  };
}

/// The squared distance of two heads, [n, 2] -> [1, 1].
template <funnel::Context C>
funnel::value_of<C> distance_of_heads(C& context, const funnel::value_of<C>& heads) {
  const auto d = subtract(context, slice(context, heads, 0, 1), slice(context, heads, 1, 1));
  return funnel::mean_loss(context, multiply(context, d, d));
}

}  // namespace

TEST_CASE("mean_loss: worked by hand", "[loss]") {
  const auto plain = evaluate(column({3.0, -1.0}), mean());
  CHECK(plain.loss == 1);
  CHECK(plain.gradient(0, 0) == .5);
  CHECK(plain.gradient(1, 0) == .5);
  const auto weighted = evaluate(column({3.0, -1.0}), mean({1, 3}));
  CHECK(weighted.loss == 0);
  CHECK(weighted.gradient(1, 0) == .75);
  CHECK(evaluate(column({3.0, -1.0}), mean({}, 8)).loss == .25);
}

TEST_CASE("mean_loss: gradients, alone and as a loss of one's own", "[loss]") {
  funnel::random_generator random(1);
  check_gradient(random_matrix<double>(random, 5, 1, 3), mean({1, 0, 2, .5, 3}));
  const auto heads = random_matrix<double>(random, 6, 2, 2);
  const auto loss = [](auto& context, const auto& x) { return distance_of_heads(context, x); };
  check_gradient(heads, loss);
  // The same as the squared error of one head against the other.
  std::vector<double> second(6);
  funnel::matrix<double> first(6, 1);
  for (std::size_t i = 0; i < 6; ++i) {
    first(i, 0) = heads(i, 0);
    second[i] = heads(i, 1);
  }
  const auto squared = evaluate(
      first, [&](auto& context, const auto& x) { return funnel::mse_loss(context, x, second); });
  const auto own = evaluate(heads, loss);
  CHECK(tolerance::within(own.loss, squared.loss, tolerance::reduction<double>(24, own.loss)));
  for (std::size_t i = 0; i < 6; ++i)
    CHECK(tolerance::within(own.gradient(i, 0), squared.gradient(i, 0),
                            tolerance::elementwise<double>(squared.gradient(i, 0))));
}

TEST_CASE("mean_loss: a row of weight 0 is not there; no row gives 0", "[loss]") {
  const auto masked = evaluate(column({.5, not_a_number, -1.0}), mean({1, 0, 1}));
  CHECK(masked.loss == -.25);
  CHECK(masked.gradient(1, 0) == 0);
  CHECK(std::isnan(evaluate(column({.5, not_a_number}), mean()).loss));
  const auto none = evaluate(column({.5, -1.0}), mean({0, 0}));
  CHECK(none.loss == 0);
  CHECK(none.gradient(0, 0) == 0);
  CHECK(evaluate(funnel::matrix<double>(0, 1), mean()).loss == 0);
}

TEMPLATE_TEST_CASE("mean_loss: at the ends of the number line", "[loss]", float, double) {
  using t = TestType;
  constexpr t most = std::numeric_limits<t>::max();
  const std::vector<t> heavy{most, most}, light(2, std::numeric_limits<t>::denorm_min());
  const auto of = [&](std::span<const t> weights, double total_weight) {
    return evaluate(column({most, most}), [=](auto& context, const auto& x) {
      return funnel::mean_loss(context, x, {.weights = weights, .total_weight = total_weight});
    });
  };
  for (const auto& weights : {heavy, light}) {
    CHECK(of(weights, 0).loss == static_cast<double>(most));
    CHECK(of(weights, 0).gradient(0, 0) == t(.5));
    for (const double total : {5e-324, 1e308}) {
      const auto found = of(weights, total);
      CHECK(std::isfinite(found.loss));
      CHECK(std::isfinite(found.gradient(1, 0)));
    }
  }
}

TEST_CASE("mean_loss: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  CHECK(contains(error_of(funnel::matrix<double>(2, 2), mean()),
                 "funnel::mean_loss: losses has 2 columns, expected 1"));
  CHECK(contains(error_of(two, mean({1})), "weights has 1 value, expected 2"));
  CHECK(contains(error_of(two, mean({1, -1})), "weights[1] is -1"));
  CHECK(contains(error_of(two, mean({}, -1)), "total_weight is -1"));
}
