// SPDX-License-Identifier: MIT
#include <funnel/metrics/calibration_error.hpp>
#include <funnel/metrics/mean_absolute_error.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using floats = std::vector<float>;

}  // namespace

TEST_CASE("regression metrics: numbers whose sums are beyond the largest one") {
  const double most = std::numeric_limits<double>::max();
  const std::vector<double> up{most, most, most}, down{-most, most, most}, half(3, most / 2);
  CHECK(funnel::mean_absolute_error<double>(up, half) == most / 2);
  CHECK(funnel::mean_absolute_error<double>(up, down) == most / 3);
  CHECK(funnel::pcoc<double>(up, half) == 2);
  CHECK(funnel::pcoc<double>(half, up) == .5);
}

TEST_CASE("regression metrics: worked by hand") {
  CHECK(funnel::mean_absolute_error<float>(floats{10, 20, 30}, floats{12, 20, 24}) == 8. / 3);
  CHECK(funnel::pcoc<float>(floats{.5f, .25f}, floats{1, 0}) == .75);
  CHECK(funnel::pcoc<double>(std::vector{30., 30.}, std::vector{10., 110.}) == .5);
}

TEST_CASE("regression metrics: sums are taken in double") {
  // In float a sum of a million equal values drifts by up to 1 %, and not by the same part.
  const floats predictions(1000000, .1f), targets(1000000, .7f);
  const double ratio = static_cast<double>(.1f) / static_cast<double>(.7f);
  CHECK(tolerance::within(funnel::pcoc<float>(predictions, targets), ratio,
                          tolerance::reduction<double>(predictions.size(), ratio)));
  const double distance = static_cast<double>(.7f) - static_cast<double>(.1f);
  CHECK(tolerance::within(funnel::mean_absolute_error<float>(predictions, targets), distance,
                          tolerance::reduction<double>(predictions.size(), distance)));
}

TEST_CASE("regression metrics: scale with their inputs") {
  funnel::random_generator bits(4);
  std::vector<double> predictions(50), targets(50);
  for (std::size_t i = 0; i < 50; ++i) {
    predictions[i] = funnel::standard_exponential(bits);
    targets[i] = funnel::standard_exponential(bits);
  }
  const double error = funnel::mean_absolute_error<double>(predictions, targets);
  const double ratio = funnel::pcoc<double>(predictions, targets);
  for (double& p : predictions) p *= 4;
  CHECK(funnel::pcoc<double>(predictions, targets) == 4 * ratio);
  for (double& t : targets) t *= 4;
  CHECK(funnel::mean_absolute_error<double>(predictions, targets) == 4 * error);
  CHECK(funnel::pcoc<double>(predictions, targets) == ratio);
}

TEST_CASE("regression metrics: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::mean_absolute_error<float>({}, {})));
  CHECK(std::isnan(funnel::pcoc<float>({}, {})));
  CHECK(std::isnan(funnel::pcoc<float>(floats{1}, floats{0})));
  CHECK(refuses([] { funnel::mean_absolute_error<float>(floats{1}, {}); },
                "funnel::mean_absolute_error", "targets has 0"));
  CHECK(refuses(
      [] {
        funnel::pcoc<float>(floats{1}, floats{1, 2});
      },
      "funnel::pcoc", "targets has 2"));
}
