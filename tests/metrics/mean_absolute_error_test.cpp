// SPDX-License-Identifier: MIT
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

TEST_CASE("mean_absolute_error: worked by hand") {
  CHECK(funnel::mean_absolute_error(floats{10, 20, 30}, floats{12, 20, 24}) == 8. / 3);
}

TEST_CASE("mean_absolute_error: scales with its inputs") {
  funnel::random_generator bits(4);
  std::vector<double> predictions(50), targets(50);
  for (std::size_t i = 0; i < 50; ++i) {
    predictions[i] = funnel::standard_exponential(bits);
    targets[i] = funnel::standard_exponential(bits);
  }
  const double error = funnel::mean_absolute_error(predictions, targets);
  for (double& p : predictions) p *= 4;
  for (double& t : targets) t *= 4;
  CHECK(funnel::mean_absolute_error(predictions, targets) == 4 * error);
}

TEST_CASE("mean_absolute_error: sums are taken in double") {
  // In float a sum of a million equal values drifts by up to 1 %, and not by the same part.
  const floats predictions(1000000, .1f), targets(1000000, .7f);
  const double distance = static_cast<double>(.7f) - static_cast<double>(.1f);
  CHECK(tolerance::within(funnel::mean_absolute_error(predictions, targets), distance,
                          tolerance::reduction<double>(predictions.size(), distance)));
}

TEST_CASE("mean_absolute_error: numbers whose sums are beyond the largest one") {
  const double most = std::numeric_limits<double>::max();
  const std::vector<double> up{most, most, most}, down{-most, most, most}, half(3, most / 2);
  CHECK(funnel::mean_absolute_error(up, half) == most / 2);
  CHECK(funnel::mean_absolute_error(up, down) == most / 3);
}

TEST_CASE("mean_absolute_error: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::mean_absolute_error(floats{}, floats{})));
  CHECK(refuses([] { funnel::mean_absolute_error(floats{1}, floats{}); },
                "funnel::mean_absolute_error", "targets has 0"));
}
