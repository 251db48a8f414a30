// SPDX-License-Identifier: MIT
#include <funnel/calibration/quantile_scale.hpp>
#include <funnel/core/random.hpp>
#include <funnel/fusion/fill_missing.hpp>
#include <funnel/fusion/power_product.hpp>
#include <funnel/fusion/rank_fusion.hpp>
#include <funnel/fusion/weighted_sum.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

using funnel::matrix;

static_assert(funnel::HasNeutral<funnel::weighted_sum<2>>);
static_assert(funnel::HasNeutral<funnel::click_times_weighted_sum<2>>);
static_assert(funnel::HasNeutral<funnel::power_product<2>>);
static_assert(funnel::HasNeutral<funnel::product_of_shifted_powers<2>>);
// The rank of a candidate without an objective is not defined.
static_assert(!funnel::HasNeutral<funnel::rank_fusion<2>>);

namespace {

/// Checks that a formula with its neutral estimate in column k gives the score of `without(k)`, the
/// same formula where objective k does not count.
template <class F, class Without>
void check_neutral(const F& formula, std::size_t columns, Without without) {
  const matrix<float> estimates = random_matrix<float>(20, columns, 3, 0, 1);
  for (std::size_t k = 0; k < columns; ++k) {
    matrix<float> filled = estimates;
    for (std::size_t i = 0; i < filled.rows(); i += 2)
      filled(i, k) = std::numeric_limits<float>::quiet_NaN();
    funnel::fill_missing(formula, filled,
                         [&](std::size_t i, std::size_t j) { return j != k || i % 2 == 1; });
    std::vector<float> scores(20), all(20);
    funnel::fuse(formula, filled, scores);
    funnel::fuse(formula, estimates, all);
    const auto shorter = without(k);
    for (std::size_t i = 0; i < 20; ++i)
      CHECK(scores[i] == (i % 2 == 0 ? shorter(estimates.row(i)) : all[i]));
  }
}

}  // namespace

TEST_CASE("fill_missing: the score is that of the objectives a candidate has") {
  const funnel::weighted_sum<3> sum{.weights = {1, .5f, -2}};
  check_neutral(sum, 3, [&](std::size_t k) {
    auto f = sum;
    f.weights[k] = 0;
    return f;
  });
  const funnel::power_product<3> powers{.terms = {{{.power = .5f}, {}, {.power = 2}}}};
  check_neutral(powers, 3, [&](std::size_t k) {
    auto f = powers;
    f.terms[k].power = 0;
    return f;
  });
  const funnel::product_of_shifted_powers<2> shifted{
      .terms = {{{.weight = 3}, {.weight = 30, .power = .5f}}},
      .scale = funnel::fused_scale::product};
  check_neutral(shifted, 2, [&](std::size_t k) {
    auto f = shifted;
    f.terms[k].weight = 0;
    return f;
  });
  const funnel::click_times_weighted_sum<2> clicks{.weights = {2, 10}};
  check_neutral(clicks, 3, [&](std::size_t k) {
    return [clicks, k](std::span<const float> p) {
      auto f = clicks;
      if (k > 0) f.weights[k - 1] = 0;
      const std::vector<float> known{k == 0 ? 1 : p[0], p[1], p[2]};
      return f(known);
    };
  });
}

TEST_CASE("fill_missing: other estimates stay; a formula of one's own; errors") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  matrix<float> estimates(2, 2, nan);
  struct best {
    float operator()(std::span<const float> p) const { return std::max(p[0], p[1]); }
    float neutral(std::size_t) const { return -std::numeric_limits<float>::infinity(); }
  };
  funnel::fill_missing(best{}, estimates, [](std::size_t i, std::size_t) { return i == 0; });
  CHECK(std::isnan(estimates(0, 0)));
  CHECK(std::isinf(estimates(1, 1)));
  matrix<float> wide(1, 3, 7.f);
  CHECK(refuses(
      [&] {
        funnel::fill_missing(funnel::weighted_sum<2>{}, wide, [](auto, auto) { return false; });
      },
      "funnel::weighted_sum", "objectives has 3 columns"));
  CHECK(wide(0, 0) == 7);
  matrix<float> none(0, 2);
  funnel::fill_missing(funnel::weighted_sum<2>{}, none, [](auto, auto) { return false; });
}

TEST_CASE("mixed content: where truths are equal, neither type is favored") {
  // Each candidate has a quality, of one distribution. A video (type 0) has a click and a completion
  // estimate, an image-text post (type 1) a click estimate on another scale and a reading estimate.
  enum : std::size_t { click, completion, reading };
  constexpr bool has[2][3] = {{true, true, false}, {true, false, true}};
  const funnel::weighted_sum<3> formula{.weights = {1, .5f, .2f}};
  funnel::random_generator bits(1);
  std::vector<double> quality;
  const auto draw = [&](std::size_t n, std::vector<std::uint32_t>& types) {
    matrix<float> estimates(n, 3, std::numeric_limits<float>::quiet_NaN());
    types.clear(), quality.clear();
    for (std::size_t i = 0; i < n; ++i) {
      const double q = funnel::uniform01(bits), noise = .1 * funnel::standard_normal(bits);
      const bool text = funnel::bernoulli(bits, .3);
      types.push_back(text ? 1 : 0), quality.push_back(q);
      estimates(i, click) = static_cast<float>(text ? .05 + .1 * q : .1 + .3 * q);
      estimates(i, text ? reading : completion) =
          static_cast<float>(1 / (1 + std::exp(-(text ? 4 : 2) * (q + noise) + 1)));
    }
    funnel::fill_missing(formula, estimates,
                         [&](std::size_t i, std::size_t k) { return has[types[i]][k]; });
    matrix<float> scores(n, 1);
    for (std::size_t i = 0; i < n; ++i) scores(i, 0) = formula(estimates.row(i));
    return scores;
  };
  std::vector<std::uint32_t> types;
  const matrix<float> log = draw(20'000, types);
  funnel::quantile_scale<float> scale(1, 2);
  scale.fit(0, log.flat(), types);

  matrix<float> scores = draw(20'000, types);
  // The share of texts, and the mean quality, among the best 2000.
  const auto best = [&](const matrix<float>& s) {
    std::vector<std::size_t> order(s.rows());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, std::greater<>(), [&](std::size_t i) { return s(i, 0); });
    double texts = 0, sum = 0;
    for (std::size_t i = 0; i < 2000; ++i) texts += types[order[i]], sum += quality[order[i]];
    return std::pair(texts / 2000, sum / 2000);
  };
  const auto raw = best(scores);
  CHECK(raw.first < .05);  // videos take nearly every place
  scale.apply(scores.view(), types);
  const auto fair = best(scores);
  CHECK(tolerance::within(fair.first, .3, tolerance::statistical(std::sqrt(.3 * .7), 2000)));
  CHECK(fair.second > raw.second);
  // Not only at the top: each tenth of the list has its share.
  for (int tenth = 0; tenth < 10; ++tenth) {
    double count = 0, texts = 0;
    for (std::size_t i = 0; i < scores.rows(); ++i)
      if (static_cast<double>(scores(i, 0)) >= tenth / 10. &&
          static_cast<double>(scores(i, 0)) < (tenth + 1) / 10.)
        ++count, texts += types[i];
    CHECK(tolerance::within(
        texts / count, .3,
        tolerance::statistical(std::sqrt(.3 * .7), static_cast<std::size_t>(count))));
  }
}
