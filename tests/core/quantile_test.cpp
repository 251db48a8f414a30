// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <funnel/core/detail/quantile.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

using visits = std::vector<std::array<std::size_t, 3>>;

visits quantiles_of(const std::vector<int>& sorted, std::size_t parts) {
  visits found;
  funnel::detail::for_each_quantile(
      sorted.size(), parts, [&](std::size_t i, std::size_t j) { return sorted[i] == sorted[j]; },
      [&](std::size_t begin, std::size_t rank, std::size_t end) {
        found.push_back({begin, rank, end});
      });
  return found;
}

}  // namespace

TEST_CASE("for_each_quantile: ranks, and the equal values around them") {
  CHECK(quantiles_of({1, 2, 3, 4}, 2) == visits{{2, 2, 3}});
  CHECK(quantiles_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 3) == visits{{4, 4, 5}, {7, 7, 8}});
  CHECK(quantiles_of({0, 0, 0, 0, 0, 0, 1, 1, 1, 1}, 2) == visits{{0, 5, 6}});
  CHECK(quantiles_of({0, 1, 1, 1, 1, 2}, 3) == visits{{1, 2, 5}, {1, 4, 5}});
  CHECK(quantiles_of({1, 2}, 1).empty());
  CHECK(quantiles_of({}, 3).empty());
}

TEST_CASE("for_each_quantile: more parts than values end at the last value") {
  CHECK(quantiles_of({1, 2, 2}, 4) == visits{{1, 1, 3}, {1, 2, 3}});
  CHECK(quantiles_of({7}, std::numeric_limits<std::size_t>::max()).empty());
}
