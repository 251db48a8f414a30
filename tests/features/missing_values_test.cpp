// SPDX-License-Identifier: MIT
#include <funnel/features/missing_values.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

using funnel::matrix;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("feature_coverage counts what is there") {
  const std::vector<double> values = {1, nan_value, 0, nan_value};
  CHECK(funnel::feature_coverage(values) == .5);
  CHECK(funnel::feature_coverage(std::vector<double>{}) == 0);
}

TEST_CASE("missing_indicators: worked by hand") {
  const std::vector<double> rows[] = {
      {1, 5, nan_value}, {nan_value, 5, nan_value}, {3, 5, nan_value}};
  matrix<double> values(3, 3), missing(3, 3, -9);
  for (std::size_t i = 0; i < 3; ++i) std::ranges::copy(rows[i], values.row(i).begin());
  funnel::missing_indicators(values, missing);
  CHECK((missing(0, 0) == 0 && missing(1, 0) == 1 && missing(2, 1) == 0 && missing(2, 2) == 1));
}

TEST_CASE("missing_indicators: refuses what does not fit") {
  const matrix<double> values(2, 3);
  matrix<double> narrow(2, 2);
  CHECK(refuses([&] { funnel::missing_indicators(values, narrow); }, "funnel::missing_indicators",
                "out is [2, 2], expected [2, 3]"));
}
