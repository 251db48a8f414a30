// SPDX-License-Identifier: MIT
#include <funnel/calibration/reading_curve.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace {

using doubles = std::vector<double>;

}  // namespace

TEST_CASE("reading_curve: worked by hand") {
  // Texts of 100 words are read to .75, those of 400 to .25; of mean 1/2.
  const doubles lengths{100, 400, 100, 400}, completions{.75, .25, .75, .25};
  const auto curve = funnel::fit_reading_curve(lengths, completions, {.bins = 2, .prior_plays = 0});
  CHECK(curve.mean() == .5);
  CHECK(curve.factor(100) == .5 / .75);
  CHECK(curve.factor(250) == 1);
  CHECK(curve.factor(400) == 2);
  CHECK(curve.adjust(.25, 400) == .5);
  CHECK(tolerance::within(curve.adjust(.75, 100), .5, tolerance::elementwise<double>(.5)));
  CHECK(curve.average().expected(100) == .75);
}

TEST_CASE("reading_curve: the factor rises with the length; the order is that of duration_curve") {
  const doubles lengths{10, 40, 80, 200, 900}, completions{.9, .95, .5, .3, .01};
  const auto text =
      funnel::fit_reading_curve(lengths, completions, {.bins = 5, .prior_plays = 1, .cap = 9});
  const auto video =
      funnel::fit_duration_curve(lengths, completions, {.bins = 5, .prior_plays = 1, .cap = 9});
  double last = 0;
  for (double length = 1; length < 1200; length += 7) {
    CHECK(text.factor(length) >= last);
    last = text.factor(length);
    const double lift = video.adjust(.3, length);
    CHECK(tolerance::within(text.adjust(.3, length), lift * text.mean(),
                            tolerance::elementwise<double>(lift)));
  }
}

TEST_CASE("reading_curve: floor, cap and NaN") {
  const auto never = funnel::fit_reading_curve(doubles{9, 9}, doubles{0, 0});
  CHECK(never.adjust(1, 9) == 0);
  const auto capped = funnel::fit_reading_curve(doubles{9, 90}, doubles{1, 0},
                                                {.bins = 2, .prior_plays = 0, .cap = 2});
  CHECK(capped.factor(90) == .5 / .02);
  CHECK(capped.adjust(1, 90) == 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(capped.factor(nan)));
  CHECK(std::isnan(capped.adjust(nan, 9)));
  CHECK(std::isnan(capped.adjust(1, nan)));
  CHECK(std::isnan(funnel::reading_curve<float>().factor(9)));
}

TEST_CASE("reading_curve: refuses what it cannot read") {
  CHECK(refuses([] { funnel::fit_reading_curve(doubles{}, doubles{}); },
                "funnel::fit_duration_curve", "lengths is empty"));
  CHECK(refuses([] { funnel::fit_reading_curve(doubles{1}, doubles{2}); },
                "funnel::fit_duration_curve", "completions[0] is 2"));
  for (const double mean : {-.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
    CHECK(refuses([&] { funnel::reading_curve<double>({}, mean); }, "funnel::reading_curve",
                  "mean is"));
}

TEST_CASE("reading_curve: its state is loaded whole, or refused") {
  const auto curve = funnel::fit_reading_curve(doubles{9, 90}, doubles{.5, .25}, {.bins = 2});
  const saved_state file(curve);
  funnel::reading_curve<double> loaded;
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  CHECK(loaded.adjust(.3, 20) == curve.adjust(.3, 20));
  CHECK(refuses_state(loaded, file.with("mean", doubles{1.5}), "mean is 1.5"));
  CHECK(refuses_state(loaded, file.with("average.floor", doubles{0}), "floor is 0"));
}
