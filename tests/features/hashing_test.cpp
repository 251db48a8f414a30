// SPDX-License-Identifier: MIT
#include <funnel/features/hashing.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

TEST_CASE("pair_key keeps pairs apart") {
  STATIC_REQUIRE(funnel::pair_key(1, 2) == 0x0000000100000002ULL);
  STATIC_REQUIRE(funnel::pair_key(2, 1) != funnel::pair_key(1, 2));
  STATIC_REQUIRE(funnel::pair_key(0, 0xffffffff) != funnel::pair_key(1, 0));
}

TEST_CASE("mix_key is splitmix64's step") {
  // The first output of Vigna's splitmix64.c from the state 0, and from 1234567.
  STATIC_REQUIRE(funnel::mix_key(0) == 0xe220a8397b1dcdafULL);
  STATIC_REQUIRE(funnel::mix_key(1234567) == 6457827717110365317ULL);
}

TEST_CASE("hash_row spreads ids over all rows but 0") {
  std::vector<std::size_t> hits(17);
  for (std::uint64_t id = 0; id < 16000; ++id) ++hits[funnel::hash_row(id << 32, 17)];
  CHECK(hits[0] == 0);
  for (std::size_t row = 1; row < hits.size(); ++row) CHECK((hits[row] > 800 && hits[row] < 1200));
  CHECK(funnel::hash_row(99, 2) == 1);
  CHECK(refuses([] { funnel::hash_row(1, 1); }, "funnel::hash_row", "rows is 1"));
}
