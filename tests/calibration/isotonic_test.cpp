// SPDX-License-Identifier: MIT
#include <funnel/calibration/isotonic.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace {

using doubles = std::vector<double>;
using funnel::isotonic_direction;
using funnel::isotonic_interpolation;

doubles copy(std::span<const double> values) {
  return {values.begin(), values.end()};
}

/// The rising fit at each distinct score: max over starts of min over ends of the mean between.
doubles min_max_fit(const doubles& scores, const doubles& labels, const doubles& weights) {
  doubles distinct = scores;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const std::size_t m = distinct.size();
  doubles sum(m), weight(m), fit(m, -1e300);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto k = static_cast<std::size_t>(
        std::lower_bound(distinct.begin(), distinct.end(), scores[i]) - distinct.begin());
    sum[k] += weights[i] * labels[i];
    weight[k] += weights[i];
  }
  for (std::size_t k = 0; k < m; ++k)
    for (std::size_t from = 0; from <= k; ++from) {
      double least = 1e300, s = 0, w = 0;
      for (std::size_t to = from; to < m; ++to) {
        s += sum[to];
        w += weight[to];
        if (to >= k) least = std::min(least, s / w);
      }
      fit[k] = std::max(fit[k], least);
    }
  return fit;
}

}  // namespace

TEST_CASE("fit_isotonic: worked by hand") {
  // 1 and 0 violate and pool to 1/2, from score 2 to 3; the tie at 5 is a mean of 3/4.
  const doubles scores{3, 1, 2, 5, 5, 4}, labels{0, 0, 1, 1, .5, .5};
  const auto fit = funnel::fit_isotonic(scores, labels);
  CHECK(copy(fit.knots()) == doubles{1, 2, 4, 5});
  CHECK(copy(fit.values()) == doubles{0, .5, .5, .75});
  CHECK(fit(0) == 0);
  CHECK(fit(1) == 0);
  CHECK(fit(1.5) == .25);
  CHECK(fit(3.3) == .5);
  CHECK(fit(4.5) == .625);
  CHECK(fit(9) == .75);

  const auto step =
      funnel::fit_isotonic(scores, labels, {}, {.interpolation = isotonic_interpolation::step});
  CHECK(step(0) == 0);
  CHECK(step(1.5) == 0);
  CHECK(step(2) == .5);
  CHECK(step(4.999) == .5);
  CHECK(step(5) == .75);
}

TEST_CASE("fit_isotonic: weights and direction") {
  const auto weighted = funnel::fit_isotonic(doubles{1, 2}, doubles{1, 0}, doubles{3, 1});
  CHECK(copy(weighted.values()) == doubles{.75, .75});
  const auto falling = funnel::fit_isotonic(doubles{1, 2, 3}, doubles{.5, .75, .25}, {},
                                            {.direction = isotonic_direction::decreasing});
  CHECK(copy(falling.knots()) == doubles{1, 2, 3});
  CHECK(copy(falling.values()) == doubles{.625, .625, .25});
}

TEST_CASE("fit_isotonic: equals the min-max formula, monotone, of the labels' mean") {
  funnel::random_generator bits(1);
  for (std::size_t n : {1u, 2u, 3u, 8u, 30u}) {
    for (int round = 0; round < 20; ++round) {
      doubles scores(n), labels(n), weights(n);
      double label_sum = 0, magnitude = 0;
      for (std::size_t i = 0; i < n; ++i) {
        scores[i] = static_cast<double>(funnel::uniform_below(bits, 2 * n));
        labels[i] =
            round % 2 == 0 ? double(funnel::bernoulli(bits, .4)) : funnel::standard_normal(bits);
        weights[i] = static_cast<double>(1 + funnel::uniform_below(bits, 4));
        label_sum += weights[i] * labels[i];
        magnitude += weights[i] * std::abs(labels[i]);
      }
      const double bound = tolerance::reduction<double>(n, magnitude);
      const auto fit = funnel::fit_isotonic(scores, labels, weights);
      const doubles expected = min_max_fit(scores, labels, weights);
      doubles distinct = scores;
      std::sort(distinct.begin(), distinct.end());
      distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
      for (std::size_t k = 0; k < distinct.size(); ++k)
        CHECK(tolerance::within(fit(distinct[k]), expected[k], bound));
      double fitted_sum = 0;
      for (std::size_t i = 0; i < n; ++i) fitted_sum += weights[i] * fit(scores[i]);
      CHECK(tolerance::within(fitted_sum, label_sum, bound * static_cast<double>(n)));

      // Falling is rising upside down.
      doubles negative = labels;
      for (double& y : negative) y = -y;
      const auto falling = funnel::fit_isotonic(scores, negative, weights,
                                                {.direction = isotonic_direction::decreasing});
      CHECK(copy(falling.knots()) == copy(fit.knots()));
      for (double s : scores) CHECK(falling(s) == -fit(s));

      // The fit of a fit is itself.
      const doubles values = copy(fit.values());
      CHECK(copy(funnel::fit_isotonic(doubles(copy(fit.knots())), values).values()) == values);

      std::vector<std::size_t> order(n);
      std::iota(order.begin(), order.end(), 0u);
      funnel::shuffle(bits, order);
      doubles s(n), y(n), w(n);
      for (std::size_t i = 0; i < n; ++i) {
        s[i] = scores[order[i]];
        y[i] = labels[order[i]];
        w[i] = weights[order[i]];
      }
      const auto shuffled = funnel::fit_isotonic(s, y, w);
      for (double score : scores) CHECK(tolerance::within(shuffled(score), fit(score), bound));
    }
  }
}

TEST_CASE("isotonic_calibrator: monotone between knots to the last bit") {
  funnel::random_generator bits(2);
  std::vector<float> knots, values;
  for (int i = 0; i < 20; ++i) {
    knots.push_back((i == 0 ? 0 : knots.back()) + static_cast<float>(funnel::uniform01(bits)) +
                    1e-6f);
    values.push_back((i == 0 ? 0 : values.back()) +
                     (i % 3 == 0 ? 0.f : static_cast<float>(funnel::uniform01(bits))));
  }
  for (const auto interpolation : {isotonic_interpolation::linear, isotonic_interpolation::step}) {
    const funnel::isotonic_calibrator<float> curve(knots, values, interpolation);
    std::vector<float> scores(3000);
    for (float& s : scores)
      s = -1 + (knots.back() + 2) * static_cast<float>(funnel::uniform01(bits));
    std::sort(scores.begin(), scores.end());
    std::vector<float> output(scores.size());
    curve.apply(scores, output);
    CHECK(std::is_sorted(output.begin(), output.end()));
    for (std::size_t i = 0; i < knots.size(); ++i) CHECK(curve(knots[i]) == values[i]);
    curve.apply(scores, scores);  // in place
    CHECK(scores == output);
  }
}

TEST_CASE("isotonic_calibrator: NaN stays, infinities meet the ends") {
  const funnel::isotonic_calibrator<float> curve({0, 1}, {.25f, .5f});
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(std::isnan(curve(std::numeric_limits<float>::quiet_NaN())));
  CHECK(curve(-infinity) == .25f);
  CHECK(curve(infinity) == .5f);
  const funnel::isotonic_calibrator<float> point({3}, {.5f});
  CHECK(point(2) == .5f);
  CHECK(point(4) == .5f);
  const float far = std::numeric_limits<float>::max(),
              tiny = std::numeric_limits<float>::denorm_min();
  CHECK(funnel::isotonic_calibrator<float>({-far, far}, {0, 1})(0) == .5f);
  CHECK(funnel::isotonic_calibrator<float>({0, tiny}, {0, 1})(0) == 0);
}

namespace {

/// Most of the way to the end, and the next number at least.
double closer(double score, double end) {
  return std::max(std::nextafter(score, end), end - (end - score) / 8);
}

}  // namespace

TEST_CASE("isotonic_calibrator: rounding carries nothing past the next knot") {
  funnel::random_generator bits(3);
  for (int repeat = 0; repeat < 20000; ++repeat) {
    const double scale = std::ldexp(1., static_cast<int>(funnel::uniform_below(bits, 40)));
    double knots[2] = {scale * funnel::uniform01(bits), 0}, values[2];
    knots[1] = knots[0] + 1;
    for (double& value : values) value = funnel::uniform01(bits) - .5;
    std::ranges::sort(values);
    const funnel::isotonic_calibrator<double> curve({knots[0], knots[1]}, {values[0], values[1]});
    double before = values[0];
    for (double score = std::nextafter(knots[0], 2 * scale); score < knots[1];
         score = closer(score, knots[1])) {
      const double value = curve(score);
      if (!(value >= before && value <= values[1])) FAIL(score << " in " << knots[0] << " + 1");
      before = value;
    }
  }
}

TEST_CASE("isotonic_calibrator: knots and values at the ends of the number line") {
  const double most = std::numeric_limits<double>::max(), least = 5e-324;
  const funnel::isotonic_calibrator<double> wide({-1.7e308, 1.7e308}, {0, 1});
  CHECK(wide(0) == .5);
  CHECK(wide(-1.7e308) == 0);
  CHECK(wide(1.7e308) == 1);
  CHECK(tolerance::within(wide(.85e308), .75, tolerance::elementwise<double>(.75)));
  CHECK(wide(most) == 1);
  const funnel::isotonic_calibrator<double> high({-most, 0, most}, {-most, 0, most});
  for (const double score : {-most, -1e300, 0., 1e300, most})
    CHECK(tolerance::within(high(score), score, tolerance::elementwise<double>(most)));
  CHECK(high(most) == most);
  const funnel::isotonic_calibrator<double> steep({0, 1}, {-most, most});
  CHECK(steep(.5) == 0);
  CHECK(tolerance::within(steep(.75), most / 2, tolerance::elementwise<double>(most / 2)));
  CHECK(funnel::isotonic_calibrator<double>({0, 2 * least}, {0, 1})(least) == .5);
}

TEST_CASE("fit_isotonic: labels and weights at the ends of the number line") {
  const double most = std::numeric_limits<double>::max();
  const auto values = [](const doubles& labels, const doubles& weights) {
    const doubles scores{1, 2, 3, 3};
    const auto fit = funnel::fit_isotonic(scores, labels, weights);
    return doubles{fit(1), fit(2), fit(3)};
  };
  CHECK(values({most, most, most, most}, {1, 1, 1, 1}) == doubles{most, most, most});
  CHECK(values({-most, 0, most, most}, {most, most, most, most}) == doubles{-most, 0, most});
  CHECK(values({most, -most, most, most}, {most, most, 1, 1}) == doubles{0, 0, most});
  CHECK(values({0, 1, 4, 6}, {most, 1e-300, most, most}) == doubles{0, 1, 5});
  // Products that have no digits left in double.
  const doubles small = values({1e-20, 3e-20, 2e-20, 2e-20}, doubles(4, 1e-300));
  CHECK(small[0] == 1e-20);
  CHECK(tolerance::within(small[1], 7e-20 / 3, tolerance::elementwise<double>(7e-20 / 3)));
  const std::vector<float> scores{1, 2}, labels(2, std::numeric_limits<float>::max());
  CHECK(funnel::fit_isotonic(scores, labels, labels)(2) == labels[0]);
}

TEST_CASE("fit_isotonic: refuses what it cannot read") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto fit = [](doubles s, doubles y, doubles w = {}) {
    return [=] { funnel::fit_isotonic(s, y, w); };
  };
  CHECK(refuses(fit({}, {}), "funnel::fit_isotonic", "scores is empty"));
  CHECK(refuses(fit({1}, {}), "funnel::fit_isotonic", "labels has 0"));
  CHECK(refuses(fit({1, 2}, {1, 2}, {1}), "funnel::fit_isotonic", "weights has 1"));
  CHECK(refuses(fit({1, nan}, {1, 2}), "funnel::fit_isotonic", "scores[1]"));
  CHECK(refuses(fit({1, 2}, {1, nan}), "funnel::fit_isotonic", "labels[1]"));
  CHECK(refuses(fit({1, 2}, {1, 2}, {1, 0}), "funnel::fit_isotonic", "weights[1] is 0"));
  const auto make = [](doubles k, doubles v) {
    return [=] { funnel::isotonic_calibrator<double>(k, v); };
  };
  CHECK(refuses(make({}, {}), "funnel::isotonic_calibrator", "knots is empty"));
  CHECK(refuses(make({1}, {}), "funnel::isotonic_calibrator", "values has 0"));
  CHECK(refuses(make({1, 1}, {0, 1}), "funnel::isotonic_calibrator",
                "knots[1] is 1, expected more than 1"));
  CHECK(
      refuses(make({1, 2, 3}, {0, 1, 0}), "funnel::isotonic_calibrator", "values rises and falls"));
  CHECK(refuses(make({1, nan}, {0, 1}), "funnel::isotonic_calibrator", "knots[1]"));
  CHECK(refuses(make({1, 2}, {0, nan}), "funnel::isotonic_calibrator", "values[1]"));
  CHECK(refuses(
      [] {
        funnel::isotonic_calibrator<float> c({1}, {1});
        c.apply(std::vector<float>{1, 2}, {});
      },
      "funnel::isotonic_calibrator::apply", "output has 0"));
}

TEST_CASE("isotonic_calibrator: NaN when moved from") {
  funnel::isotonic_calibrator<double> calibrator({1, 2}, {3, 4});
  const auto taken = std::move(calibrator);
  CHECK(taken(1.5) == 3.5);
  for (const double score : {-1., 1.5, 9.})
    CHECK(std::isnan(calibrator(score)));  // NOLINT(bugprone-use-after-move): what this is about
  calibrator = taken;
  CHECK(calibrator(1.5) == 3.5);
}

TEST_CASE("isotonic_calibrator: its state is loaded whole, or refused") {
  using funnel::isotonic_calibrator;
  const isotonic_calibrator<double> fit({1, 2, 4}, {.1, .5, .6},
                                        funnel::isotonic_interpolation::step);
  const saved_state file(fit);
  isotonic_calibrator<double> loaded;
  CHECK(std::isnan(loaded(1)));
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  for (const double score : {0., 1., 1.5, 3., 9.}) CHECK(loaded(score) == fit(score));
  saved_state(isotonic_calibrator<double>()).load(loaded);
  CHECK(loaded.knots().empty());

  const auto refused = [&](const char* field, const auto& values, const char* words) {
    return refuses_state(loaded, file.with(field, values), words);
  };
  CHECK(refused("knots", doubles{1, 2}, "values has 3 values, expected 2 as in knots"));
  CHECK(refused("values", doubles{}, "values has 0 values, expected 3 as in knots"));
  CHECK(refused("knots", doubles{1, 2, 2}, "knots[2] is 2, expected more than 2"));
  CHECK(refused("knots", doubles{1, std::nan(""), 3}, "knots[1] is nan, expected a finite number"));
  CHECK(refused("values", doubles{.1, std::numeric_limits<double>::infinity(), .6},
                "values[1] is inf, expected a finite number"));
  CHECK(refused("values", doubles{.1, .5, .4}, "values rises and falls"));
  CHECK(refused("interpolation", std::vector<int>{2}, "interpolation is 2, expected linear"));
}

TEST_CASE("fit_isotonic: numbers of any type give the fit that doubles give") {
  const std::vector<std::uint16_t> scores{3, 1, 2, 7, 7, 4};
  const std::vector<int> labels{0, 1, -2, 5, 2, 3};
  const std::array<float, 6> weights{1, 2, 1, .5f, 1, 3};
  const doubles s(scores.begin(), scores.end()), y(labels.begin(), labels.end()),
      w(weights.begin(), weights.end());
  const auto expected = funnel::fit_isotonic(s, y, w);
  const auto fit = funnel::fit_isotonic(scores, labels, weights);
  CHECK(std::ranges::equal(fit.knots(), expected.knots()));
  CHECK(std::ranges::equal(fit.values(), expected.values()));
  CHECK(refuses(
      [&] {
        funnel::fit_isotonic(scores, labels, std::vector<int>{1, 1, 0, 1, 1, 1});
      },
      "funnel::fit_isotonic", "weights[2] is 0"));
}
