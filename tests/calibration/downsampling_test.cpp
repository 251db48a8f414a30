// SPDX-License-Identifier: MIT
#include <funnel/calibration/downsampling.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

double sigmoid(double z) {
  return 1 / (1 + std::exp(-z));
}

}  // namespace

TEST_CASE("downsampling_correction: golden values") {
  const double golden[][3] = {
      {.5, .1, .090909091}, {.2, .25, .058823529}, {.9, .05, .310344828}, {.3, 1, .3}};
  for (const auto& [q, alpha, p] : golden) {
    const funnel::downsampling_correction<double> correction(alpha);
    CHECK(tolerance::within(correction.probability(q), p, tolerance::printed(9)));
    const double z = std::log(q / (1 - q));
    CHECK(tolerance::within(sigmoid(correction.logit(z)), p, tolerance::printed(9)));
  }
}

TEST_CASE("downsampling_correction: exact at 0 and 1, NaN stays, alpha 1 changes nothing") {
  const funnel::downsampling_correction<float> correction(.03f), identity(1.f);
  CHECK(correction.alpha() == .03f);
  CHECK(correction.probability(0) == 0);
  CHECK(correction.probability(1) == 1);
  CHECK(std::isnan(correction.probability(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(correction.logit(std::numeric_limits<float>::quiet_NaN())));
  for (float q : {0.f, .125f, .75f, 1.f}) CHECK(identity.probability(q) == q);
  CHECK(identity.logit(-3.5f) == -3.5f);
}

TEST_CASE("downsampling_correction: the two forms agree, and undo a down-sampling") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 200; ++round) {
    const double alpha = 1e-3 + .999 * funnel::uniform01(bits);
    const double p = funnel::uniform01(bits);
    const double q = p / (p + alpha * (1 - p));  // the rate where negatives are kept with alpha
    const funnel::downsampling_correction<double> correction(alpha);
    CHECK(tolerance::within(correction.probability(q), p, tolerance::iterative<double>(4, 1)));
    const double z = 8 * funnel::standard_normal(bits);
    CHECK(tolerance::within(sigmoid(correction.logit(z)), correction.probability(sigmoid(z)),
                            tolerance::iterative<double>(8, 1)));
  }
}

TEST_CASE("downsampling_correction: spans, in place too, equal one by one and keep the order") {
  funnel::random_generator bits(2);
  const funnel::downsampling_correction<float> correction(.2f);
  for (std::size_t n : {0u, 1u, 7u, 8u, 9u, 33u}) {
    std::vector<float> values(n), written(n, -1.f);
    for (float& v : values) v = static_cast<float>(funnel::uniform01(bits));
    correction.probabilities(values, written);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(written[i] == correction.probability(values[i]));
      for (std::size_t j = 0; j < n; ++j)
        if (values[i] < values[j]) CHECK(written[i] <= written[j]);
    }
    std::vector<float> logits = values;
    correction.logits(logits, logits);
    for (std::size_t i = 0; i < n; ++i) CHECK(logits[i] == correction.logit(values[i]));
  }
}

TEST_CASE("downsampling_correction: refuses what it cannot read, and writes nothing then") {
  using floats = std::vector<float>;
  for (const float alpha : {0.f, -.5f, 1.5f, std::numeric_limits<float>::quiet_NaN()})
    CHECK(refuses([&] { funnel::downsampling_correction<float>{alpha}; },
                  "funnel::downsampling_correction", "alpha is"));
  const funnel::downsampling_correction<float> correction(.5f);
  floats output(2, 7.f);
  CHECK(refuses(
      [&] {
        correction.probabilities(floats{.5f, 1.5f}, output);
      },
      "funnel::downsampling_correction::probabilities", "input[1] is 1.5"));
  CHECK(refuses([&] { correction.probabilities(floats{.5f}, output); },
                "funnel::downsampling_correction::probabilities", "output has 2"));
  CHECK(refuses([&] { correction.logits(floats{.5f}, output); },
                "funnel::downsampling_correction::logits", "output has 2"));
  CHECK(output == floats{7, 7});
}
