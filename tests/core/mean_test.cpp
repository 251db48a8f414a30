// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/detail/mean.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

constexpr double most = std::numeric_limits<double>::max();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double least = std::numeric_limits<double>::denorm_min();

double mean(const std::vector<double>& values, const std::vector<double>& weights) {
  const auto total =
      funnel::detail::weight_total::of(weights.size(), [&](std::size_t i) { return weights[i]; });
  funnel::detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < values.size(); ++i) sum.add(total(weights[i]), values[i]);
  return sum.mean(total.total);
}

}  // namespace

TEST_CASE("saturated: numbers stay numbers") {
  using funnel::detail::saturated;
  CHECK(saturated<float>(1e300) == std::numeric_limits<float>::max());
  CHECK(saturated<float>(-1e300) == -std::numeric_limits<float>::max());
  CHECK(saturated<float>(infinity) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(saturated<float>(std::nan(""))));
  CHECK(saturated<float>(.1) == .1f);
  CHECK(saturated<double>(-most) == -most);
}

TEST_CASE("scaled and scaled_difference: the largest number where they are beyond") {
  using funnel::detail::scaled, funnel::detail::scaled_difference;
  CHECK(scaled(-3, most) == -most);
  CHECK(scaled(3, infinity) == infinity);
  CHECK(scaled(3, 4) == 12);
  CHECK(scaled_difference(2, 5, 3) == 4);
  CHECK(scaled_difference(1, most, -most) == most);
  CHECK(scaled_difference(.5, -most, most) == -most);
  CHECK(scaled_difference(.25, most, -most) == most / 2);
  CHECK(scaled_difference(1, infinity, 0) == infinity);
  CHECK(std::isnan(scaled_difference(1, std::nan(""), 0)));
}

TEST_CASE("share_of: a part of the total, at most the largest number") {
  using funnel::detail::share_of, funnel::detail::weight_total;
  CHECK(share_of<float>(weight_total{1, 4}, 1) == .25f);
  CHECK(share_of<float>(weight_total{1, least}, 1) == std::numeric_limits<float>::max());
  CHECK(share_of<double>(weight_total{1, least}, most) == most);
}

TEST_CASE("weighted_sum_of: of any numbers and weights") {
  CHECK(mean({1, 3}, {1, 1}) == 2);
  CHECK(mean({1, 3}, {3, 1}) == 1.5);
  CHECK(mean({1, 3}, {0, 0}) == 0);
  CHECK(mean({}, {}) == 0);
  CHECK(mean({most, most, most}, {1, 1, 1}) == most);
  CHECK(mean({most, -most}, {most, most}) == 0);
  CHECK(mean({most, 0, 0, 0}, {1, 1, 1, 1}) == most / 4);
  CHECK(mean({1, 3}, {most, most}) == 2);
  CHECK(mean({1, 3}, {least, least}) == 2);
  CHECK(mean({.1, .1}, {3 * least, least}) == .1);
  CHECK(mean({5, 7}, {most, least}) == 5);
  CHECK(mean({infinity, 1}, {1, 1}) == infinity);
  CHECK(std::isnan(mean({std::nan(""), most, most}, {1, 1, 1})));
}
