// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/in_batch_softmax.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

using namespace loss_test;
using funnel::in_batch_softmax_options;

namespace {

template <class T = double>
auto in_batch(const in_batch_softmax_options<T>& options = {}) {
  return [options](auto& context, const auto& scores) {
    return funnel::in_batch_softmax(context, scores, options);
  };
}

// Row i: ln of the sum over its own column and all others that are allowed, less its own.
double naive(const funnel::matrix<double>& scores, double tau, const std::vector<double>& log_q,
             const std::vector<funnel::item_id>& items, const std::vector<double>& weights) {
  double sum = 0, total = 0;
  for (std::size_t i = 0; i < scores.rows(); ++i) {
    double all = 0;
    for (std::size_t j = 0; j < scores.cols(); ++j) {
      if (j == i || items[i] != items[j]) all += std::exp(scores(i, j) / tau - log_q[j]);
    }
    sum += weights[i] * (std::log(all) - (scores(i, i) / tau - log_q[i]));
    total += weights[i];
  }
  return sum / total;
}

const auto cosines = filled(3, 3, {.8, .1, -.2, .3, .6, .0, -.1, .2, .5});
const std::vector<double> log_p = {std::log(.5), std::log(.3), std::log(.2)};

}  // namespace

TEST_CASE("in_batch_softmax: worked example, the temperature first and then ln p", "[loss]") {
  const double by_row[][3] = {{1.010633, .81877, .538482}, {.001632, .033039, .033612}};
  const double means[] = {.789295, .022761};
  const double temperatures[] = {1, .1};
  for (std::size_t k = 0; k < 2; ++k) {
    for (std::size_t i = 0; i < 3; ++i) {
      std::vector<double> row(3);
      row[i] = 2;
      const double loss =
          evaluate(cosines,
                   in_batch({.temperature = temperatures[k], .log_q = log_p, .weights = row}))
              .loss;
      CHECK(tolerance::within(loss, by_row[k][i], tolerance::printed(6)));
    }
    const auto found =
        evaluate(cosines, in_batch({.temperature = temperatures[k], .log_q = log_p}));
    CHECK(tolerance::within(found.loss, means[k], tolerance::printed(6)));
  }
}

TEST_CASE("in_batch_softmax: against the formula, with its gradient", "[loss]") {
  funnel::random_generator random(5);
  for (const std::size_t n : {2u, 5u, 9u}) {
    for (const std::size_t extra : {0u, 3u}) {
      const std::size_t m = n + extra;
      const auto x = random_matrix<double>(random, n, m, 1);
      std::vector<double> log_q(m), weights(n);
      std::vector<funnel::item_id> items(m);
      for (double& q : log_q) q = std::log(1 - funnel::uniform01(random));
      for (double& w : weights) w = .1 + funnel::uniform01(random);
      for (auto& item : items) item = static_cast<funnel::item_id>(random() % 4);
      const in_batch_softmax_options<double> options = {
          .temperature = .3, .log_q = log_q, .items = items, .weights = weights};
      const double exact = naive(x, .3, log_q, items, weights);
      CHECK(tolerance::within(evaluate(x, in_batch(options)).loss, exact,
                              tolerance::iterative<double>(m, 10)));
      check_gradient(x, in_batch(options));
    }
  }
}

TEST_CASE("in_batch_softmax: popular items are pushed away less", "[loss]") {
  // The same scores for two negatives, one of them in a hundred times as many batches.
  const std::vector<double> log_q = {std::log(.01), std::log(.5), std::log(.005)};
  const std::vector<double> first = {1, 0, 0};
  const auto found = evaluate(funnel::matrix<double>(3, 3),
                              in_batch({.temperature = 1, .log_q = log_q, .weights = first}));
  CHECK(found.gradient(0, 1) > 0);
  CHECK(tolerance::within(found.gradient(0, 2), 100 * found.gradient(0, 1),
                          tolerance::elementwise<double>(found.gradient(0, 2), 16)));
  // A common factor of p, such as the number of clicks it was divided by, cancels.
  std::vector<double> counts = log_q;
  for (double& q : counts) q += std::log(1e6);
  CHECK(tolerance::within(evaluate(cosines, in_batch({.log_q = counts})).loss,
                          evaluate(cosines, in_batch({.log_q = log_q})).loss,
                          tolerance::iterative<double>(3, 30)));
}

TEST_CASE("in_batch_softmax: rare items keep their own correction", "[loss]") {
  // p = 1e-7 and 1e-9 differ: no probability is clipped from below.
  const std::vector<double> rare = {std::log(1e-7), std::log(1e-9)};
  const double found =
      evaluate(funnel::matrix<double>(2, 2), in_batch({.temperature = 1, .log_q = rare})).loss;
  const double exact = (std::log1p(100) + std::log1p(.01)) / 2;
  CHECK(tolerance::within(found, exact, tolerance::iterative<double>(3, 30)));
}

TEST_CASE("in_batch_softmax: the gradient does what unbiased sampling asks for", "[loss]") {
  // Negatives drawn by popularity, corrected, stand for the softmax over the whole corpus.
  funnel::random_generator random(6);
  const std::vector<double> p = {.6, .3, .1}, score = {.2, -.1, .4};
  const std::size_t n = 2000;
  funnel::matrix<double> scores(n, n);
  std::vector<double> log_q(n), first(n);
  std::vector<std::size_t> item(n);
  first[0] = 1;
  for (std::size_t j = 0; j < n; ++j) {
    const double u = funnel::uniform01(random);
    item[j] = u < p[0] ? 0 : u < p[0] + p[1] ? 1 : 2;
    log_q[j] = std::log(p[item[j]]);
    scores(0, j) = score[item[j]];
  }
  const auto found =
      evaluate(scores, in_batch({.temperature = 1, .log_q = log_q, .weights = first}));
  double by_item[3] = {}, sum = 0;
  for (std::size_t j = 1; j < n; ++j) by_item[item[j]] += found.gradient(0, j);
  for (const double share : by_item) sum += share;
  const double all = std::exp(.2) + std::exp(-.1) + std::exp(.4);
  for (std::size_t k = 0; k < 3; ++k) {
    const double exact = std::exp(score[k]) / all;
    CHECK(tolerance::within(by_item[k] / sum, exact,
                            tolerance::statistical(std::sqrt(1 / p[k]) * exact, n)));
  }
}

TEST_CASE("in_batch_softmax: accidental hits and excluded items are no negatives", "[loss]") {
  const std::vector<funnel::item_id> items = {7, 8, 7};
  const auto hits = evaluate(cosines, in_batch({.temperature = .5, .items = items}));
  CHECK(hits.gradient(0, 2) == 0);
  CHECK(hits.gradient(2, 0) == 0);
  CHECK(hits.gradient(0, 1) > 0);
  CHECK(hits.gradient(1, 0) > 0);
  CHECK(hits.gradient(1, 2) > 0);
  CHECK(hits.gradient(0, 0) < 0);

  funnel::matrix<std::uint8_t> excluded(3, 3);
  excluded(0, 2) = excluded(2, 0) = 1;
  excluded(1, 1) = 1;  // a row's own item stays
  const auto by_mask = evaluate(cosines, in_batch({.temperature = .5, .excluded = excluded}));
  CHECK(by_mask.loss == hits.loss);
  for (std::size_t i = 0; i < 9; ++i) CHECK(by_mask.gradient.flat()[i] == hits.gradient.flat()[i]);
  check_gradient(cosines, in_batch({.temperature = .5, .items = items, .excluded = excluded}));
}

TEST_CASE("in_batch_softmax: nothing to tell apart gives 0, not NaN", "[loss]") {
  const auto zero = [](const evaluation<double>& found) {
    CHECK(found.loss == 0);
    for (const double slope : found.gradient.flat()) CHECK(slope == 0);
  };
  const std::vector<funnel::item_id> one_item = {3, 3, 3};
  const std::vector<double> no_weight = {0, 0, 0};
  zero(evaluate(funnel::matrix<double>(0, 0), in_batch()));
  zero(evaluate(column({.3}), in_batch()));
  zero(evaluate(cosines, in_batch({.items = one_item})));
  zero(evaluate(cosines, in_batch({.weights = no_weight})));
}

TEST_CASE("in_batch_softmax: a temperature is needed for cosines", "[loss]") {
  // The best possible cosines, 1 and -1, of 1024 pairs.
  const std::size_t n = 1024;
  funnel::matrix<float> best(n, n, -1);
  for (std::size_t i = 0; i < n; ++i) best(i, i) = 1;
  const double without = evaluate(best, in_batch<float>({.temperature = 1})).loss;
  CHECK(tolerance::within(without, std::log(1 + 1023 * std::exp(-2.0)),
                          tolerance::reduction<float>(n, 1)));
  const double exact = 1023 * std::exp(-40.0);  // as a sum of small terms: not rounded to 0
  CHECK(tolerance::within(evaluate(best, in_batch<float>()).loss, exact,
                          tolerance::reduction<float>(n, exact)));
}

TEST_CASE("in_batch_softmax: extreme scores in float; NaN", "[loss]") {
  const auto extreme = filled(2, 2, {1e4f, -1e4f, 1e4f, -1e4f});
  const auto found = evaluate(extreme, in_batch<float>({.temperature = 1}));
  CHECK(found.loss == 1e4);  // (0 + 2e4) / 2
  CHECK(found.gradient(0, 0) == 0);
  CHECK(found.gradient(0, 1) == 0);
  CHECK(found.gradient(1, 0) == .5f);
  CHECK(found.gradient(1, 1) == -.5f);
  for (std::size_t at = 0; at < 4; ++at) {
    auto broken = extreme;
    broken.flat()[at] = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::isnan(evaluate(broken, in_batch<float>()).loss));
  }
  CHECK(std::isnan(evaluate(column({std::nan("")}), in_batch()).loss));
}

TEST_CASE("in_batch_softmax: errors", "[loss]") {
  const auto error = [](const in_batch_softmax_options<double>& options) {
    return error_of(cosines, in_batch(options));
  };
  const std::vector<double> two = {1, 1},
                            infinite = {0, -std::numeric_limits<double>::infinity(), 0},
                            negative = {1, 1, -1};
  const std::vector<funnel::item_id> items = {1, 2};
  const funnel::matrix<std::uint8_t> excluded(3, 2);
  CHECK(contains(error_of(funnel::matrix<double>(3, 2), in_batch()),
                 "funnel::in_batch_softmax: scores is [3, 2]"));
  CHECK(contains(error({.temperature = 0}), "temperature is 0"));
  CHECK(contains(error({.temperature = std::nan("")}), "temperature is nan"));
  CHECK(contains(error({.log_q = two}), "log_q has 2 values, expected 3"));
  CHECK(contains(error({.log_q = infinite}), "log_q[1] is -inf"));
  CHECK(contains(error({.items = items}), "items has 2 values, expected 3"));
  CHECK(contains(error({.excluded = excluded}), "excluded is [3, 2], expected [3, 3]"));
  CHECK(contains(error({.weights = two}), "weights has 2 values, expected 3"));
  CHECK(contains(error({.weights = negative}), "weights[2] is -1"));
}
