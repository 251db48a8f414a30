// SPDX-License-Identifier: MIT
#include <funnel/simd/find.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <limits>
#include <vector>

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("find_above_kernel: the first that is larger, wherever the search starts") {
  for_each_arch([](auto arch) {
    for (const std::size_t n : size_list{0, 1, 3, 4, 5, 8, 15, 16, 17, 33, 100}) {
      // One value behind the end is larger than all: it must not be found.
      std::vector<float> values(n + 1, 1.f);
      values[n] = 9;
      const auto find = [&](std::size_t begin, float bound) {
        return funnel::find_above_kernel(arch, values.data(), begin, n, bound);
      };
      for (std::size_t begin = 0; begin <= n; ++begin) {
        CHECK(find(begin, 1.f) == n);
        CHECK(find(begin, 0.5f) == begin);
      }
      for (std::size_t at = 0; at < n; ++at) {
        values[at] = 2;
        for (std::size_t begin = 0; begin <= n; ++begin)
          if (find(begin, 1.f) != (begin <= at ? at : n)) FAIL("n = " << n << ", at " << at);
        values[at] = 1;
      }
    }
  });
}

TEST_CASE("find_above_kernel: NaN is not <= anything, and nothing is <= NaN") {
  for_each_arch([](auto arch) {
    std::vector<float> values(40, -infinity);
    CHECK(funnel::find_above_kernel(arch, values.data(), 7, 40, -infinity) == 40);
    CHECK(funnel::find_above_kernel(arch, values.data(), 7, 40, not_a_number) == 7);
    values[21] = not_a_number;
    CHECK(funnel::find_above_kernel(arch, values.data(), 7, 40, infinity) == 21);
  });
}
