// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/features/log1p.hpp>

#include <cmath>
#include <limits>
#include <numbers>
#include <span>
#include <vector>

TEMPLATE_TEST_CASE("log1p_count is ln(1 + x), and 0 for what is no count", "", float, double) {
  using T = TestType;
  CHECK(funnel::log1p_count(T{0}) == 0);
  CHECK(tolerance::within(static_cast<double>(funnel::log1p_count(T{1})), std::numbers::ln2,
                          tolerance::elementwise<T>(std::numbers::ln2)));
  CHECK(tolerance::within(static_cast<double>(funnel::log1p_count(T(1e-6))),
                          std::log1p(static_cast<double>(T(1e-6))),
                          tolerance::elementwise<T>(1e-6)));
  CHECK(funnel::log1p_count(T{-3}) == 0);
  CHECK(funnel::log1p_count(-std::numeric_limits<T>::infinity()) == 0);
  CHECK(funnel::log1p_count(std::numeric_limits<T>::quiet_NaN()) == 0);
  CHECK(std::isinf(funnel::log1p_count(std::numeric_limits<T>::infinity())));
}

TEST_CASE("log1p_counts takes a row, in place too") {
  std::vector<double> counts = {0, 3, -1, 1e9}, out(4);
  funnel::log1p_counts(counts, out);
  for (std::size_t i = 0; i < 4; ++i) CHECK(out[i] == funnel::log1p_count(counts[i]));
  funnel::log1p_counts(counts, counts);
  CHECK(counts == out);
  CHECK(refuses([&] { funnel::log1p_counts(counts, std::span(out).first(3)); },
                "funnel::log1p_counts", "out has 3 values, expected 4 as in counts"));
}

TEST_CASE("log1p_counts: counts of any number type") {
  const std::vector<int> counts{-1, 0, 3};
  std::vector<float> out(3);
  funnel::log1p_counts(counts, out);
  CHECK(out == std::vector<float>{0, 0, static_cast<float>(std::log1p(3.))});
}
