// SPDX-License-Identifier: MIT
#include <funnel/metrics/auc.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using floats = std::vector<float>;

constexpr double nan_score = std::numeric_limits<double>::quiet_NaN();

/// Every pair, with NaN below every number.
double all_pairs_auc(const std::vector<double>& scores, const std::vector<double>& labels) {
  double doubled_wins = 0, pairs = 0;
  const auto value = [&](std::size_t i) { return std::isnan(scores[i]) ? -1e300 : scores[i]; };
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (labels[i] != 1 || labels[j] != 0) continue;
      ++pairs;
      doubled_wins += value(i) > value(j) ? 2 : value(i) == value(j) ? 1 : 0;
    }
  return doubled_wins / (2 * pairs);
}

}  // namespace

TEST_CASE("auc: worked by hand") {
  // Positives .35 and .8, negatives .1 and .4: three of four pairs in order.
  CHECK(funnel::auc(std::vector{.1f, .4f, .35f, .8f}, std::vector{0.f, 0.f, 1.f, 1.f}) == .75);
  // A tie of a positive and a negative is half a pair.
  CHECK(funnel::auc(std::vector{1., 1.}, std::vector{0., 1.}) == .5);
  CHECK(funnel::auc(std::vector{2., 2., 2., 1.}, std::vector{1., 0., 1., 0.}) == .75);
  CHECK(funnel::auc(std::vector{2., 1.}, std::vector{1., 0.}) == 1);
  CHECK(funnel::auc(std::vector{2., 1.}, std::vector{0., 1.}) == 0);
}

TEST_CASE("auc: one class has no value") {
  CHECK(std::isnan(funnel::auc(floats{}, floats{})));
  CHECK(std::isnan(funnel::auc(std::vector{.5f}, std::vector{1.f})));
  CHECK(std::isnan(funnel::auc(std::vector{.5f, .6f}, std::vector{0.f, 0.f})));
}

TEST_CASE("auc: NaN ranks below minus infinity and ties with NaN") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(funnel::auc(std::vector{nan_score, -infinity}, std::vector{0., 1.}) == 1);
  CHECK(funnel::auc(std::vector{nan_score, -infinity}, std::vector{1., 0.}) == 0);
  CHECK(funnel::auc(std::vector{nan_score, nan_score}, std::vector{1., 0.}) == .5);
  CHECK(funnel::auc(std::vector{infinity, infinity}, std::vector{1., 0.}) == .5);
}

TEST_CASE("auc: equals a count of all pairs") {
  funnel::random_generator bits(1);
  for (std::size_t n = 2; n < 60; ++n) {
    std::vector<double> scores(n), labels(n);
    for (std::size_t i = 0; i < n; ++i) {
      scores[i] = static_cast<double>(funnel::uniform_below(bits, 12));  // many ties
      if (funnel::bernoulli(bits, .1)) scores[i] = nan_score;
      labels[i] = funnel::bernoulli(bits, .4) ? 1 : 0;
    }
    labels[0] = 0;
    labels[1] = 1;
    const double expected = all_pairs_auc(scores, labels);
    CHECK(funnel::auc(scores, labels) == expected);

    std::vector<float> float_scores(scores.begin(), scores.end());
    std::vector<float> float_labels(labels.begin(), labels.end());
    CHECK(funnel::auc(float_scores, float_labels) == expected);
    for (double& score : scores) score = std::exp(score) - 3;  // any rising function
    CHECK(funnel::auc(scores, labels) == expected);
  }
}

TEST_CASE("auc: refuses what it cannot read") {
  CHECK(refuses(
      [] {
        funnel::auc(floats{1, 2}, floats{1});
      },
      "funnel::auc", "labels has 1 value, expected 2 as in scores"));
  CHECK(refuses(
      [] {
        funnel::auc(floats{1, 2}, floats{1, .5f});
      },
      "funnel::auc", "labels[1] is 0.5, expected 0 or 1"));
}
