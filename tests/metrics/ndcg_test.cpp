// SPDX-License-Identifier: MIT
#include <funnel/metrics/ndcg.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using ids = std::vector<funnel::item_id>;
using doubles = std::vector<double>;
using funnel::ndcg_gain;

double direct_dcg(const doubles& relevance, std::size_t k, bool exponential) {
  double sum = 0;
  for (std::size_t i = 0; i < std::min(k, relevance.size()); ++i)
    sum += (exponential ? std::pow(2., relevance[i]) - 1 : relevance[i]) / std::log2(double(i + 2));
  return sum;
}

double direct_ndcg(const doubles& shown, doubles all, std::size_t k, bool exponential) {
  std::sort(all.rbegin(), all.rend());
  return direct_dcg(shown, k, exponential) / direct_dcg(all, k, exponential);
}

}  // namespace

TEST_CASE("ndcg: worked by hand") {
  // Shown: relevance 0, 3, 1; item 4 of relevance 2 is missed. Ideal: 3, 2, 1.
  const double dcg = 7 / std::log2(3.) + 1 / 2.;
  const double ideal = 7 + 3 / std::log2(3.) + 1 / 2.;
  const ids ranked{9, 1, 2}, relevant{1, 2, 4};
  CHECK(tolerance::within(funnel::ndcg_at_k(ranked, relevant, doubles{3, 1, 2}, {.k = 3}),
                          dcg / ideal, tolerance::reduction<double>(3, 1)));
  const double linear = (3 / std::log2(3.) + 1 / 2.) / (3 + 2 / std::log2(3.) + 1 / 2.);
  CHECK(tolerance::within(
      funnel::ndcg_at_k(ranked, relevant, doubles{3, 1, 2}, {.k = 3, .gain = ndcg_gain::linear}),
      linear, tolerance::reduction<double>(3, 1)));
}

TEST_CASE("ndcg: the ideal holds the relevant items that were not retrieved") {
  // One hit of three at place 1: sorting the hits alone would give 1.
  const double ideal = 1 + 1 / std::log2(3.) + 1 / 2.;
  CHECK(tolerance::within(funnel::ndcg_at_k(ids{1, 8, 9}, ids{1, 2, 3}, doubles{1, 1, 1}),
                          1 / ideal, tolerance::reduction<double>(3, 1)));
}

TEST_CASE("ndcg: an id ranked twice counts once") {
  const double once = funnel::ndcg_at_k(ids{1, 9}, ids{1, 2}, doubles{1, 1});
  CHECK(funnel::ndcg_at_k(ids{1, 1}, ids{1, 2}, doubles{1, 1}) == once);
}

TEST_CASE("ndcg: scores without ties agree with the order they give") {
  funnel::random_generator bits(8);
  for (std::size_t n = 1; n < 40; ++n) {
    ids ranked(n), relevant;
    doubles relevance(n), shown(n), scores(n), graded;
    std::iota(ranked.begin(), ranked.end(), 0u);
    funnel::shuffle(bits, ranked);
    for (double& r : relevance) r = static_cast<double>(funnel::uniform_below(bits, 4));
    relevance[0] = 2;
    for (std::size_t i = 0; i < n; ++i) {
      shown[i] = relevance[ranked[i]];
      scores[ranked[i]] = -static_cast<double>(i);
      if (relevance[i] > 0 || i % 2 == 0) {
        relevant.push_back(static_cast<funnel::item_id>(i));
        graded.push_back(relevance[i]);
      }
    }
    scores[ranked[n - 1]] = std::numeric_limits<double>::quiet_NaN();  // last anyway
    for (std::size_t k : {std::size_t{1}, std::size_t{5}, n, n + 3})
      for (const auto gain : {ndcg_gain::exponential, ndcg_gain::linear}) {
        const double expected = direct_ndcg(shown, relevance, k, gain == ndcg_gain::exponential);
        const double bound = tolerance::reduction<double>(n, 1);
        CHECK(tolerance::within(funnel::ndcg_at_k(ranked, relevant, graded, {.k = k, .gain = gain}),
                                expected, bound));
        CHECK(tolerance::within(funnel::ndcg_of_scores(scores, relevance, {.k = k, .gain = gain}),
                                expected, bound));
      }
  }
}

TEST_CASE("ndcg: equal scores have the mean over the orders of them") {
  // All orders of five rows, of which the scores tie rows 1, 2 and 3.
  const doubles scores{5, 4, 4, 4, 1}, relevance{0, 3, 0, 1, 2};
  for (std::size_t k = 1; k <= 5; ++k) {
    std::vector<std::size_t> tied{1, 2, 3};
    double sum = 0;
    do {
      const doubles shown{relevance[0], relevance[tied[0]], relevance[tied[1]], relevance[tied[2]],
                          relevance[4]};
      sum += direct_ndcg(shown, relevance, k, true) / 6;
    } while (std::next_permutation(tied.begin(), tied.end()));
    CHECK(tolerance::within(funnel::ndcg_of_scores(scores, relevance, {.k = k}), sum,
                            tolerance::reduction<double>(6, 1)));
  }
}

TEST_CASE("ndcg: bounds, and what has no value") {
  CHECK(funnel::ndcg_of_scores(doubles{3, 2, 1}, doubles{2, 1, 0}) == 1);
  CHECK(funnel::ndcg_at_k({}, ids{1}, doubles{1}) == 0);
  CHECK(std::isnan(funnel::ndcg_at_k(ids{1}, {}, doubles{})));
  CHECK(std::isnan(funnel::ndcg_at_k(ids{1}, ids{1}, doubles{0})));
  CHECK(std::isnan(funnel::ndcg_of_scores(doubles{}, doubles{})));
  CHECK(std::isnan(funnel::ndcg_of_scores(doubles{1, 2}, doubles{0, 0})));
}

TEST_CASE("ndcg: relevances far below 1 have a gain") {
  const double second = 1 / std::log2(3.);
  for (const double relevance : {1e-300, 1e-17, 1e-9, 0.3}) {
    const double small = std::expm1(relevance * std::log(2.));
    const double large = std::expm1(3 * relevance * std::log(2.));
    const double expected = (small + large * second) / (large + small * second);
    CHECK(
        tolerance::within(funnel::ndcg_of_scores(doubles{2, 1}, doubles{relevance, 3 * relevance}),
                          expected, tolerance::reduction<double>(2, 1)));
  }
}

TEST_CASE("ndcg: refuses what it cannot read") {
  CHECK(refuses([] { funnel::ndcg_at_k(ids{1}, ids{1}, doubles{1}, {.k = 0}); },
                "funnel::ndcg_at_k", "k is 0"));
  CHECK(refuses([] { funnel::ndcg_of_scores(doubles{}, doubles{}, {.k = 0}); },
                "funnel::ndcg_of_scores", "k is 0"));
  CHECK(refuses(
      [] {
        funnel::ndcg_at_k(ids{1}, ids{1}, doubles{1, 1});
      },
      "funnel::ndcg_at_k", "relevance has 2"));
  CHECK(refuses(
      [] {
        funnel::ndcg_at_k(ids{1}, ids{1, 1}, doubles{1, 1});
      },
      "funnel::ndcg_at_k", "relevant has 1 twice, expected each id once"));
  CHECK(refuses([] { funnel::ndcg_at_k(ids{1}, ids{1}, doubles{-1}); }, "funnel::ndcg_at_k",
                "relevance[0] is -1"));
  CHECK(refuses([] { funnel::ndcg_of_scores(doubles{1}, doubles{}); }, "funnel::ndcg_of_scores",
                "relevance has 0"));
  CHECK(refuses([] { funnel::ndcg_of_scores(doubles{1}, doubles{2000}); }, "funnel::ndcg_of_scores",
                "relevance[0] is 2000"));
}
