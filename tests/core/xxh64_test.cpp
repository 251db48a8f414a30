// SPDX-License-Identifier: MIT
#include <funnel/core/detail/xxh64.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

using funnel::detail::xxh64;

namespace {

std::uint64_t sum_of(std::string_view text, std::uint64_t seed = 0) {
  xxh64 sum(seed);
  sum.update(std::as_bytes(std::span(text)));
  return sum.value();
}

/// The bytes that the specification's test program generates.
std::string generated(std::size_t n) {
  std::string bytes;
  std::uint64_t state = 2654435761u;
  for (std::size_t i = 0; i < n; ++i, state *= 11400714785074694797u)
    bytes += static_cast<char>(state >> 56);
  return bytes;
}

}  // namespace

TEST_CASE("xxh64: values of other implementations") {
  CHECK(sum_of("") == 0xef46db3751d8e999u);
  CHECK(sum_of("a") == 0xd24ec4f1a98c6e5bu);
  CHECK(sum_of("abc") == 0x44bc2cf5ad770999u);
  CHECK(sum_of("", 2654435761u) == 0xac75fda2929b17efu);
  CHECK(sum_of(generated(1)) == 0xe934a84adb052768u);
  CHECK(sum_of(generated(14)) == 0x8282dcc4994e35c8u);
  CHECK(sum_of(generated(222)) == 0xb641ae8cb691c174u);
  CHECK(sum_of(generated(222), 2654435761u) == 0x20cb8ab7ae10c14au);
}

TEST_CASE("xxh64: the parts in which bytes come make no difference") {
  const std::string bytes = generated(131);
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const std::string_view text = std::string_view(bytes).substr(0, n);
    const std::uint64_t expected = sum_of(text);
    for (const std::size_t step : size_list{1, 3, 8, 31, 32, 33, 64, 100}) {
      xxh64 sum;
      for (std::size_t i = 0; i < n; i += step)
        sum.update(std::as_bytes(std::span(text.substr(i, step))));
      REQUIRE(sum.value() == expected);
    }
  }
}

TEST_CASE("xxh64: one bit changes the value") {
  std::string bytes = generated(71);
  const std::uint64_t expected = sum_of(bytes);
  std::size_t same = 0;
  for (char& c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      c = static_cast<char>(c ^ (1 << bit));
      same += sum_of(bytes) == expected ? 1 : 0;
      c = static_cast<char>(c ^ (1 << bit));
    }
  }
  CHECK(same == 0);
}
