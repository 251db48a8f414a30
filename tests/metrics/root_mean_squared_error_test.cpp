// SPDX-License-Identifier: MIT
#include <funnel/metrics/root_mean_squared_error.hpp>

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

TEST_CASE("root_mean_squared_error: worked by hand") {
  // Squares 4, 0, 36 and 9: the mean is 12.25.
  CHECK(funnel::root_mean_squared_error(floats{10, 20, 30, 7}, floats{12, 20, 24, 10}) == 3.5);
}

TEST_CASE("root_mean_squared_error: scales with its inputs, at least the mean absolute error") {
  funnel::random_generator bits(4);
  std::vector<double> predictions(50), targets(50);
  double absolute = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    predictions[i] = funnel::standard_exponential(bits);
    targets[i] = funnel::standard_exponential(bits);
    absolute += std::abs(predictions[i] - targets[i]) / 50;
  }
  const double error = funnel::root_mean_squared_error(predictions, targets);
  CHECK(error > absolute);
  CHECK(funnel::root_mean_squared_error(targets, predictions) == error);
  for (const double factor : {4., 0x1p-900, 0x1p900}) {  // powers of two round nothing
    std::vector<double> p(predictions), t(targets);
    for (double& v : p) v *= factor;
    for (double& v : t) v *= factor;
    CHECK(tolerance::within(funnel::root_mean_squared_error(p, t), factor * error,
                            tolerance::elementwise<double>(factor * error)));
  }
}

TEST_CASE("root_mean_squared_error: numbers whose squares are beyond the largest one") {
  const double most = std::numeric_limits<double>::max();
  const double least = std::numeric_limits<double>::denorm_min();
  const std::vector<double> up{most, most}, down{-most, -most}, half(2, most / 2), zeros(2);
  CHECK(funnel::root_mean_squared_error(up, half) == most / 2);
  CHECK(funnel::root_mean_squared_error(up, down) == most);
  CHECK(funnel::root_mean_squared_error(std::vector<double>{least, least}, zeros) == least);
}

TEST_CASE("root_mean_squared_error: what has no value, and what is refused") {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  constexpr float infinite = std::numeric_limits<float>::infinity();
  CHECK(std::isnan(funnel::root_mean_squared_error(floats{}, floats{})));
  CHECK(std::isnan(funnel::root_mean_squared_error(floats{1, nan, 3}, floats{1, 2, 5})));
  CHECK(std::isnan(funnel::root_mean_squared_error(floats{infinite, nan}, floats{1, 2})));
  CHECK(std::isinf(funnel::root_mean_squared_error(floats{1, infinite}, floats{1, 2})));
  CHECK(funnel::root_mean_squared_error(floats{1, 2}, floats{1, 2}) == 0);
  CHECK(refuses([] { funnel::root_mean_squared_error(floats{1}, floats{}); },
                "funnel::root_mean_squared_error", "targets has 0"));
}
