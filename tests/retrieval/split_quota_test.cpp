// SPDX-License-Identifier: MIT
#include <funnel/retrieval/split_quota.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

using funnel::split_quota;

namespace {

using quotas = std::vector<std::size_t>;

quotas split(std::size_t total, const std::vector<double>& shares) {
  quotas q(shares.size(), 77);
  split_quota(total, shares, q);
  return q;
}

}  // namespace

TEST_CASE("split_quota: worked examples") {
  // 10 x (.41, .33, .26) = 4.1, 3.3, 2.6: the largest fraction is the third's.
  CHECK(split(10, {41, 33, 26}) == quotas{4, 3, 3});
  // Hamilton's example of the Alabama paradox: one more seat, and the smallest has one less.
  CHECK(split(10, {6, 6, 2}) == quotas{4, 4, 2});
  CHECK(split(11, {6, 6, 2}) == quotas{5, 5, 1});
  CHECK(split(2, {1, 1, 1}) == quotas{1, 1, 0});  // equal fractions: the lower first
  CHECK(split(1000, {1, 1, 1}) == quotas{334, 333, 333});
  CHECK(split(7, {0, 3, 0}) == quotas{0, 7, 0});
  CHECK(split(7, {0, 0}) == quotas{0, 0});
  CHECK(split(0, {1, 2}) == quotas{0, 0});
  CHECK(split(5, {}).empty());
}

TEST_CASE("split_quota: the sum is the total, and each is at most 1 from its exact part") {
  funnel::random_generator bits(3);
  for (int round = 0; round < 2000; ++round) {
    const std::size_t n = 1 + uniform_below(bits, 12), total = uniform_below(bits, 5000);
    std::vector<double> shares(n);
    for (double& share : shares)
      share = uniform_below(bits, 4) == 0 ? 0 : std::exp(20 * uniform01(bits) - 10);
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.);
    const quotas q = split(total, shares);
    if (sum == 0) continue;
    REQUIRE(std::accumulate(q.begin(), q.end(), std::size_t{0}) == total);
    for (std::size_t c = 0; c < n; ++c) {
      REQUIRE(std::abs(static_cast<double>(q[c]) - static_cast<double>(total) * shares[c] / sum) <
              1 + 1e-6);
      if (shares[c] == 0) REQUIRE(q[c] == 0);
    }
    // The scale of the shares doesn't matter.
    std::vector<double> doubled(shares);
    for (double& share : doubled) share *= 2;
    REQUIRE(split(total, doubled) == q);
  }
}

TEST_CASE("split_quota: very large and very small shares, and the largest total") {
  constexpr double most = std::numeric_limits<double>::max();
  constexpr double least = std::numeric_limits<double>::denorm_min();
  CHECK(split(10, {most, most}) == quotas{5, 5});
  CHECK(split(10, {least, least}) == quotas{5, 5});
  CHECK(split(10, {most, least}) == quotas{10, 0});
  constexpr std::size_t largest = std::size_t{1} << 53;
  for (const auto& shares :
       std::vector<std::vector<double>>{{1, 1, 1}, {.1, .2, .7}, {1, 1e-9, 7}}) {
    const quotas q = split(largest, shares);
    CHECK(std::accumulate(q.begin(), q.end(), std::size_t{0}) == largest);
  }
}

TEST_CASE("split_quota: wrong arguments are refused, and the quotas are as before") {
  quotas q{5, 5};
  const auto refused = [&](std::size_t total, const std::vector<double>& shares,
                           const char* message) {
    CHECK(refuses([&] { split_quota(total, shares, q); }, "funnel::split_quota: ", message));
    CHECK(q == quotas{5, 5});
  };
  refused(3, {1}, "quotas has 2 values, expected 1");
  refused(3, {1, -1}, "a share is -1, expected a finite number of 0 or more");
  refused(3, {1, std::numeric_limits<double>::infinity()}, "a share is inf");
  refused(3, {1, std::numeric_limits<double>::quiet_NaN()}, "a share is nan");
  refused((std::size_t{1} << 53) + 1, {1, 1}, "total is 9007199254740993, expected at most 2^53");
}
