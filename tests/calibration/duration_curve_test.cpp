// SPDX-License-Identifier: MIT
#include <funnel/calibration/duration_curve.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

using doubles = std::vector<double>;

}  // namespace

TEST_CASE("duration_curve: worked by hand") {
  // Bins {10, 20, 30} of mean .75, {40, 50, 60} of mean .25; medians 20 and 50.
  const doubles lengths{30, 10, 20, 50, 60, 40}, completions{.75, .75, .75, .25, .25, .25};
  const auto curve =
      funnel::fit_duration_curve(lengths, completions, {.bins = 2, .prior_plays = 0});
  CHECK(curve.expected(1) == .75);
  CHECK(curve.expected(20) == .75);
  CHECK(curve.expected(35) == .5);
  CHECK(curve.expected(500) == .25);
  CHECK(curve.adjust(.5, 20) == .5 / .75);
  CHECK(curve.adjust(.5, 50) == 2);
  CHECK(curve.adjust(1, 35) == 2);
  // Three plays of the overall mean 1/2 in each bin: .625 and .375.
  const auto shrunk =
      funnel::fit_duration_curve(lengths, completions, {.bins = 2, .prior_plays = 3});
  CHECK(shrunk.expected(20) == .625);
  CHECK(shrunk.expected(50) == .375);
}

TEST_CASE("duration_curve: plays of one length share a bin") {
  // {5, 9, 9} of mean 2/3 and {20}, not {5, 9} and {9, 20}.
  const auto curve = funnel::fit_duration_curve(doubles{9, 5, 20, 9}, doubles{.5, 1, 0, .5},
                                                {.bins = 2, .prior_plays = 0});
  CHECK(curve.expected(9) == 2. / 3);
  CHECK(curve.curve()(20) == 0);
}

TEST_CASE("duration_curve: a length with many plays is not mixed with the shorter ones") {
  // {5, 5} of mean 1 and {9, 9, 9, 9} of mean 0, not all six together.
  const doubles lengths{9, 9, 5, 9, 5, 9}, completions{0, 0, 1, 0, 1, 0};
  for (const std::size_t bins : {std::size_t{2}, std::numeric_limits<std::size_t>::max()}) {
    const auto curve =
        funnel::fit_duration_curve(lengths, completions, {.bins = bins, .prior_plays = 0});
    CHECK(curve.expected(5) == 1);
    CHECK(curve.curve()(9) == 0);
  }
}

TEST_CASE("duration_curve: a right estimate is a lift of 1 in every bin") {
  funnel::random_generator bits(1);
  const std::size_t n = 20000;
  const auto truth = [](double length) { return .1 + .5 * std::exp(-length / 60); };
  doubles lengths(n), completions(n);
  for (std::size_t i = 0; i < n; ++i) {
    lengths[i] = 5 + 60 * funnel::standard_exponential(bits);
    completions[i] = funnel::bernoulli(bits, truth(lengths[i])) ? 1 : 0;
  }
  const auto curve =
      funnel::fit_duration_curve(lengths, completions, {.bins = 40, .prior_plays = 0});
  double last = 1;
  for (double length = 1; length < 400; length += 1) {
    CHECK(curve.expected(length) <= last);
    last = curve.expected(length);
  }
  for (double low = 10; low < 100; low += 30) {
    double lift = 0, plays = 0;
    for (std::size_t i = 0; i < n; ++i)
      if (lengths[i] >= low && lengths[i] < low + 30) {
        lift += curve.adjust(truth(lengths[i]), lengths[i]);
        ++plays;
      }
    CHECK(tolerance::within(lift / plays, 1, tolerance::promised(.03, 1)));
  }
}

TEST_CASE("duration_curve: floor, cap, NaN, one play, equal lengths") {
  const auto never =
      funnel::fit_duration_curve(std::vector<float>{9, 9, 9}, std::vector<float>{0, 0, 0});
  CHECK(never.expected(9) == .02f);
  CHECK(never.adjust(.01f, 9) == .01f / .02f);
  CHECK(never.adjust(1, 9) == 5);
  CHECK(never.curve().knots().size() == 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(never.expected(nan)));
  CHECK(std::isnan(never.adjust(nan, 9)));
  CHECK(std::isnan(never.adjust(1, nan)));
  const auto once = funnel::fit_duration_curve(doubles{3}, doubles{.5});
  CHECK(once.expected(100) == .5);
}

TEST_CASE("duration_curve: refuses what it cannot read") {
  const auto fit = [](doubles l, doubles c, funnel::duration_curve_options options = {}) {
    return [=] { funnel::fit_duration_curve(l, c, options); };
  };
  CHECK(refuses(fit({}, {}), "funnel::fit_duration_curve", "lengths is empty"));
  CHECK(refuses(fit({1}, {}), "funnel::fit_duration_curve", "completions has 0"));
  CHECK(refuses(fit({0}, {1}), "funnel::fit_duration_curve", "lengths[0] is 0"));
  CHECK(refuses(fit({1}, {1.5}), "funnel::fit_duration_curve", "completions[0] is 1.5"));
  CHECK(refuses(fit({1}, {1}, {.bins = 0}), "funnel::fit_duration_curve", "bins is 0"));
  CHECK(refuses(fit({1}, {1}, {.prior_plays = -1}), "funnel::fit_duration_curve",
                "prior_plays is -1"));
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(refuses(fit({1}, {1}, {.prior_plays = infinity}), "funnel::fit_duration_curve",
                "prior_plays is inf"));
  CHECK(refuses(fit({1}, {1}, {.floor = 0}), "funnel::duration_curve", "floor is 0"));
}

TEST_CASE("duration_curve: its state is loaded whole, or refused") {
  using curve = funnel::duration_curve<double>;
  const curve fit(funnel::isotonic_calibrator<double>({1, 9}, {.8, .1}), {.floor = .2, .cap = 3});
  const saved_state file(fit);
  curve loaded;
  CHECK(std::isnan(loaded.expected(1)));
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  for (const double length : {1., 5., 9., 20.}) {
    CHECK(loaded.expected(length) == fit.expected(length));
    CHECK(loaded.adjust(.9, length) == fit.adjust(.9, length));
  }
  const auto refused = [&](const char* field, const doubles& values, const char* words) {
    return refuses_state(loaded, file.with(field, values), words);
  };
  CHECK(refused("curve.values", {.8}, "values has 1 value, expected 2 as in knots"));
  CHECK(refused("floor", {0}, "floor is 0, expected a number above 0"));
  CHECK(refused("cap", {-1}, "cap is -1, expected a number above 0"));
}

TEST_CASE("fit_duration_curve: numbers of any type give the curve that doubles give") {
  const std::vector<std::uint32_t> lengths{5, 60, 9, 300, 9, 120};
  const std::vector<std::uint8_t> finished{1, 0, 1, 0, 0, 1};
  const doubles x(lengths.begin(), lengths.end()), y(finished.begin(), finished.end());
  const auto expected = funnel::fit_duration_curve(x, y, {.bins = 3});
  const auto fit = funnel::fit_duration_curve(lengths, finished, {.bins = 3});
  for (const double length : {1., 9., 40., 90., 400.})
    CHECK(fit.expected(length) == expected.expected(length));
}
