// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/triplet.hpp>
#include <funnel/nn/training_context.hpp>

#include <cmath>

using namespace loss_test;
using funnel::triplet_form;
using funnel::triplet_options;

namespace {

struct found {
  double loss;
  funnel::matrix<double> positives, negatives;  // gradients
};

found triplet(const funnel::matrix<double>& positives, const funnel::matrix<double>& negatives,
              const triplet_options<double>& options) {
  funnel::training_context<double> context;
  const auto p = context.make(positives.rows(), positives.cols());
  const auto n = context.make(negatives.rows(), negatives.cols());
  std::ranges::copy(positives.flat(), p.values.data());
  std::ranges::copy(negatives.flat(), n.values.data());
  const auto loss = funnel::triplet_loss(context, p, n, options);
  context.backward(loss);
  return {loss.values(0, 0), funnel::matrix<double>(p.gradient),
          funnel::matrix<double>(n.gradient)};
}

}  // namespace

TEST_CASE("triplet_loss: the hinge by hand", "[loss]") {
  // Excesses + margin: -.1, .3, and exactly 0, where the slope is 0.
  const auto [loss, p, n] = triplet(column({.5, .25, .75}), column({.25, .5, .5}), {.margin = .25});
  CHECK(tolerance::within(loss, .5 / 3, tolerance::elementwise<double>(.5)));
  CHECK(p(0, 0) == 0);
  CHECK(tolerance::within(p(1, 0), -1.0 / 3, tolerance::elementwise<double>(1)));
  CHECK(p(2, 0) == 0);
  CHECK(n(0, 0) == 0);
  CHECK(tolerance::within(n(1, 0), 1.0 / 3, tolerance::elementwise<double>(1)));
  CHECK(n(2, 0) == 0);
}

TEST_CASE("triplet_loss: the logistic form, several negatives, weights", "[loss]") {
  const auto positives = column({.8, .1, .3});
  const auto negatives = filled(3, 2, {.1, .7, .4, -.2, .3, .9});
  const std::vector<double> weights = {1, .5, 0};
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 2; ++j)
      sum += weights[i] * std::log(1 + std::exp(5 * (negatives(i, j) - positives(i, 0))));
  }
  const triplet_options<double> options = {
      .form = triplet_form::logistic, .sharpness = 5, .weights = weights};
  CHECK(tolerance::within(triplet(positives, negatives, options).loss, sum / 3,
                          tolerance::iterative<double>(6, 3)));
}

TEST_CASE("triplet_loss: gradients of both sides", "[loss]") {
  const auto positives = column({.8, .1, .3});
  const auto negatives = filled(3, 2, {.1, .7, .4, -.2, .35, .9});
  const std::vector<double> weights = {1, .5, 2};
  for (const auto form : {triplet_form::hinge, triplet_form::logistic}) {
    const triplet_options<double> options = {.form = form, .weights = weights};
    check_gradient(positives, [&](auto& context, const auto& x) {
      return funnel::triplet_loss(context, x, context.input(negatives), options);
    });
    check_gradient(negatives, [&](auto& context, const auto& x) {
      return funnel::triplet_loss(context, context.input(positives), x, options);
    });
  }
}

TEST_CASE("triplet_loss: extremes and nothing to average", "[loss]") {
  for (const auto form : {triplet_form::hinge, triplet_form::logistic}) {
    const auto far = triplet(column({-1e4, 1e4}), column({1e4, -1e4}), {.form = form});
    CHECK(std::isfinite(far.loss));
    CHECK(far.negatives(0, 0) > 0);
    CHECK(far.negatives(1, 0) == 0);
    CHECK(std::isnan(triplet(column({std::nan("")}), column({0.0}), {.form = form}).loss));
    CHECK(triplet(column({.5}), funnel::matrix<double>(1, 0), {.form = form}).loss == 0);
    const std::vector<double> none = {0};
    const auto masked = triplet(column({.1}), column({.9}), {.form = form, .weights = none});
    CHECK(masked.loss == 0);
    CHECK(masked.negatives(0, 0) == 0);
  }
}

TEST_CASE("triplet_loss: errors", "[loss]") {
  const funnel::matrix<double> negatives(2, 3);
  const auto error = [&](const funnel::matrix<double>& positives,
                         const triplet_options<double>& options) {
    return error_of(positives, [&](auto& context, const auto& x) {
      return funnel::triplet_loss(context, x, context.input(negatives), options);
    });
  };
  const std::vector<double> weights = {1, -1};
  CHECK(contains(error(funnel::matrix<double>(3, 1), {}),
                 "funnel::triplet_loss: negatives has 2 rows, expected 3 as in positives"));
  CHECK(contains(error(funnel::matrix<double>(2, 2), {}), "positives has 2 columns, expected 1"));
  CHECK(contains(error(funnel::matrix<double>(2, 1), {.margin = -1}), "margin is -1"));
  CHECK(contains(error(funnel::matrix<double>(2, 1), {.sharpness = 0}), "sharpness is 0"));
  CHECK(contains(error(funnel::matrix<double>(2, 1), {.weights = weights}), "weights[1] is -1"));
}
