// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/standardize.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::standardizer;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

matrix<double> columns(std::initializer_list<std::vector<double>> rows) {
  matrix<double> m(rows.size(), rows.begin()->size());
  std::size_t i = 0;
  for (const std::vector<double>& row : rows) std::ranges::copy(row, m.row(i++).begin());
  return m;
}

}  // namespace

TEST_CASE("standardizer: any magnitude, down to denormal numbers and up to the largest") {
  const double most = std::numeric_limits<double>::max();
  for (const double unit : {5e-324, 1e-310, 1e-160, 1., 1e160, 8e307}) {
    const matrix<double> values = columns({{0 * unit, unit}, {2 * unit, -unit}});
    const standardizer<double> scale(values);
    CHECK(scale.means()[0] == unit);
    CHECK(scale.means()[1] == 0);
    CHECK(scale.deviations()[0] == unit);
    CHECK(scale.deviations()[1] == unit);
    matrix<double> out(2, 2);
    scale.apply(values, out);
    CHECK((out(0, 0) == -1 && out(1, 0) == 1 && out(0, 1) == 1 && out(1, 1) == -1));
  }
  const matrix<double> ends = columns({{most}, {-most}});
  const standardizer<double> widest(ends);
  CHECK(widest.deviations()[0] == most);
  matrix<double> out(2, 1);
  widest.apply(ends, out);
  CHECK((out(0, 0) == 1 && out(1, 0) == -1));
  // What was not there when it was fitted: beyond T it is the largest T.
  matrix<float> fitted(2, 1);
  fitted(0, 0) = 1e-30f;
  const standardizer<float> fine(fitted);
  matrix<float> far(3, 1), scaled(3, 1);
  far(0, 0) = 3e38f;
  far(1, 0) = -3e38f;
  far(2, 0) = std::numeric_limits<float>::infinity();
  fine.apply(far, scaled);
  CHECK(scaled(0, 0) == std::numeric_limits<float>::max());
  CHECK(scaled(1, 0) == -std::numeric_limits<float>::max());
  CHECK(scaled(2, 0) == std::numeric_limits<float>::infinity());
}

TEST_CASE("standardizer: worked by hand") {
  const matrix<double> values =
      columns({{1, 5, nan_value}, {nan_value, 5, nan_value}, {3, 5, nan_value}});
  const standardizer<double> scale(values);
  CHECK(scale.means()[0] == 2);
  CHECK(scale.deviations()[0] == 1);
  CHECK(scale.deviations()[1] == 0);
  matrix<double> out(3, 3, -9);
  scale.apply(values, out);
  CHECK(out(0, 0) == -1);
  CHECK(out(1, 0) == 0);  // missing
  CHECK(out(2, 0) == 1);
  for (std::size_t i = 0; i < 3; ++i) CHECK((out(i, 1) == 0 && out(i, 2) == 0));
}

TEMPLATE_TEST_CASE("standardizer leaves mean 0 and deviation 1", "", float, double) {
  using T = TestType;
  funnel::random_generator bits(4);
  const std::size_t n = 500;
  matrix<T> values(n, 2);
  for (std::size_t i = 0; i < n; ++i) {
    values(i, 0) =
        static_cast<T>(1e4 + 10 * funnel::standard_normal(bits));  // large against its spread
    values(i, 1) = static_cast<T>(std::exp(funnel::standard_normal(bits)));
  }
  const standardizer<T> scale(values);
  matrix<T> out = values;
  scale.apply(out, out);  // in place
  for (std::size_t j = 0; j < 2; ++j) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto x = static_cast<double>(out(i, j));
      sum += x;
      squares += x * x;
    }
    // The mean, 1e4, is rounded in double before it is divided by the spread, 10.
    const double bound = tolerance::reduction<T>(n, n) + tolerance::reduction<double>(n, n * 1e3);
    CHECK(tolerance::within(sum, 0, bound));
    CHECK(tolerance::within(squares, n, bound));
  }
}

TEST_CASE("standardizer refuses what does not fit") {
  matrix<double> values(2, 3), narrow(2, 2), low(1, 3);
  const standardizer<double> scale(values);
  const auto refused = [&](const matrix<double>& in, matrix<double>& out, const char* words) {
    return refuses([&] { scale.apply(in, out); }, "funnel::standardizer", words);
  };
  CHECK(refused(narrow, narrow, "values has 2 columns, expected 3"));
  CHECK(refused(values, narrow, "out is [2, 2], expected [2, 3]"));
  CHECK(refused(values, low, "out is [1, 3], expected [2, 3] as in values"));
  values(1, 2) = std::numeric_limits<double>::infinity();
  CHECK(refuses([&] { standardizer<double>{values}; }, "funnel::standardizer",
                "values[1, 2] is inf, expected a finite number or NaN"));
}

TEST_CASE("standardizer: its state is loaded whole, or refused") {
  funnel::matrix<double> values(3, 2);
  for (std::size_t i = 0; i < 3; ++i) values(i, 0) = double(i * i), values(i, 1) = 7;
  const funnel::standardizer<double> fit(values);
  const saved_state file(fit);
  funnel::standardizer<double> loaded;
  CHECK(loaded.size() == 0);
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  funnel::matrix<double> expected(3, 2), got(3, 2);
  fit.apply(values, expected);
  loaded.apply(values, got);
  CHECK(std::ranges::equal(got.flat(), expected.flat()));

  const auto refused = [&](const char* field, const std::vector<double>& x, const char* words) {
    return refuses_state(loaded, file.with(field, x), words);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused("deviations", {1}, "deviations has 1 value, expected 2 as in means"));
  CHECK(refused("means", {0, nan}, "means[1] is nan, expected a finite number"));
  CHECK(refused("deviations", {-1, 0}, "deviations[0] is -1, expected a finite number of 0"));
}
