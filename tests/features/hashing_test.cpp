// SPDX-License-Identifier: MIT
#include <funnel/features/hashing.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
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

TEST_CASE("a text that is an integer has the key of the integer") {
  const auto key = [](std::string_view text) { return funnel::category_key(text); };
  CHECK(key("42") == 42);
  CHECK(key("0") == 0);
  CHECK(key("-7") == funnel::category_key(std::int64_t{-7}));
  CHECK(key("999999999999999999") == 999999999999999999);
  for (const char* text :
       {"", "-", "007", "-0", "+7", "1e3", "4 2", "42 ", "9999999999999999999", "ios"}) {
    INFO(text);
    CHECK(key(text) > std::uint64_t{1} << 40);  // a hash, not a small number
    CHECK(key(text) < ~std::uint64_t{0} - 100);
  }
}

TEST_CASE("texts of any length have keys of their own") {
  std::vector<std::uint64_t> keys;
  std::string text;
  for (std::size_t n = 0; n < 40; ++n) {
    keys.push_back(funnel::category_key(std::string_view(text)));
    text += '\0';  // a zero byte counts
  }
  for (const char* word : {"abcdefgh", "abcdefgi", "abcdefgha", "aabcdefgh", "habcdefg"})
    keys.push_back(funnel::category_key(std::string_view(word)));
  std::ranges::sort(keys);
  CHECK(std::ranges::adjacent_find(keys) == keys.end());
}
