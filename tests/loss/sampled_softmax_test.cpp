// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/loss/sampled_softmax.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;
using funnel::sampled_softmax_options;

namespace {

auto sampled(const sampled_softmax_options<double>& options = {}) {
  return [options](auto& context, const auto& scores) {
    return funnel::sampled_softmax(context, scores, options);
  };
}

}  // namespace

TEST_CASE("sampled_softmax: worked example", "[loss]") {
  // e^0 against e^0 and e^ln 2: -ln(1 / 4).
  const auto found = evaluate(filled(1, 3, {0.0, 0.0, std::log(2)}), sampled({.temperature = 1}));
  CHECK(tolerance::within(found.loss, std::log(4), tolerance::elementwise<double>(std::log(4))));
  CHECK(tolerance::within(found.gradient(0, 0), -.75, tolerance::elementwise<double>(1)));
  CHECK(tolerance::within(found.gradient(0, 1), .25, tolerance::elementwise<double>(1)));
  CHECK(tolerance::within(found.gradient(0, 2), .5, tolerance::elementwise<double>(1)));
}

TEST_CASE("sampled_softmax: rows of a batch, in another order of columns", "[loss]") {
  // Row i of an in-batch loss has its positive in column i; here it comes first.
  funnel::random_generator random(8);
  const auto square = random_matrix<double>(random, 4, 4, 1);
  const std::vector<double> log_q = {-1, -2, -.5, -3}, weights = {1, 2, 0, .5};
  funnel::matrix<double> listed(4, 4), listed_q(4, 4);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      listed(i, j) = square(i, (i + j) % 4);
      listed_q(i, j) = log_q[(i + j) % 4];
    }
  }
  const auto expected = evaluate(square, [&](auto& context, const auto& scores) {
    return funnel::in_batch_softmax(context, scores,
                                    {.temperature = .2, .log_q = log_q, .weights = weights});
  });
  const auto loss = sampled({.temperature = .2, .log_q = listed_q, .weights = weights});
  const auto found = evaluate(listed, loss);
  CHECK(tolerance::within(found.loss, expected.loss, tolerance::iterative<double>(4, 10)));
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(tolerance::within(found.gradient(i, j), expected.gradient(i, (i + j) % 4),
                              tolerance::iterative<double>(4, 5)));
    }
  }
  check_gradient(listed, loss);
}

TEST_CASE("sampled_softmax: absent negatives", "[loss]") {
  const double absent = -std::numeric_limits<double>::infinity();
  const auto some = evaluate(filled(1, 4, {.3, absent, .1, absent}), sampled());
  CHECK(some.loss == evaluate(filled(1, 2, {.3, .1}), sampled()).loss);
  CHECK(some.gradient(0, 1) == 0);
  const auto none = evaluate(column({.3, .1}), sampled());
  CHECK(none.loss == 0);
  CHECK(none.gradient(0, 0) == 0);
}

TEST_CASE("sampled_softmax: errors", "[loss]") {
  const funnel::matrix<double> x(2, 3), q(2, 2), infinite(2, 3, INFINITY);
  const std::vector<double> weights = {1};
  CHECK(contains(error_of(funnel::matrix<double>(2, 0), sampled()),
                 "funnel::sampled_softmax: scores has 0 columns, expected 1 or more"));
  CHECK(contains(error_of(x, sampled({.temperature = -1})), "temperature is -1"));
  CHECK(contains(error_of(x, sampled({.log_q = q})), "log_q is [2, 2], expected [2, 3]"));
  CHECK(contains(error_of(x, sampled({.log_q = infinite})), "log_q[0] is inf"));
  CHECK(contains(error_of(x, sampled({.weights = weights})), "weights has 1 value, expected 2"));
}
