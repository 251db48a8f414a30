// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/saved_state.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/vocabulary.hpp>

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

using funnel::vocabulary;

TEST_CASE("vocabulary gives rows by first occurrence and 0 to the unknown") {
  vocabulary words;
  CHECK(words.rows() == 1);
  CHECK(words.find(7) == 0);
  CHECK(words.add(7) == 1);
  CHECK(words.add(0) == 2);
  CHECK(words.add(std::numeric_limits<std::uint64_t>::max()) == 3);
  CHECK(words.add(7) == 1);
  CHECK(words.rows() == 4);
  CHECK(words.find(0) == 2);
  CHECK(words.find(8) == 0);
  CHECK(words.id(2) == 0);
  CHECK(words.ids().size() == 3);
  CHECK(words.ids()[0] == 7);
}

TEST_CASE("vocabulary leaves out rare ids") {
  const std::vector<std::uint64_t> ids = {5, 9, 5, 3, 9, 5, 1};
  const vocabulary words(ids, {.min_count = 2});
  CHECK(words.rows() == 3);
  CHECK(words.find(5) == 1);
  CHECK(words.find(9) == 2);
  CHECK(words.find(3) == 0);
  CHECK(vocabulary(ids, {.min_count = 0}).rows() == 5);
  CHECK(vocabulary(ids, {.min_count = 4}).rows() == 1);
}

TEST_CASE("vocabulary: a loaded one gives the same rows, one with an id twice is refused") {
  const std::vector<std::uint64_t> ids{5, 9, 0, 3};
  const saved_state file{vocabulary(ids)};
  vocabulary loaded(std::vector<std::uint64_t>{1, 2});
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  for (std::uint32_t row = 1; row <= 4; ++row) CHECK(loaded.find(ids[row - 1]) == row);
  CHECK(loaded.find(1) == 0);
  CHECK(loaded.add(7) == 5);
  saved_state(vocabulary()).load(loaded);
  CHECK(loaded.rows() == 1);
  CHECK(loaded.find(5) == 0);

  using id_list = std::vector<std::uint64_t>;
  for (const id_list& twice : {id_list{5, 5}, id_list{5, 9, 5, 3}, id_list{5, 9, 0, 9}})
    CHECK(refuses_state(vocabulary(), file.with("ids", twice), "again, expected each id once"));
  CHECK(refuses_state(vocabulary(), file.with("ids", id_list{5, 9, 5, 3}), "ids[2] is 5 again"));
}

TEST_CASE("vocabulary does what a map would do") {
  funnel::random_generator bits(2);
  vocabulary words;
  std::map<std::uint64_t, std::uint32_t> expected;
  for (int i = 0; i < 20000; ++i) {
    // Close ids, and ids that share their low bits.
    const std::uint64_t id = funnel::uniform_below(bits, 5000)
                             << (funnel::bernoulli(bits, .5) * 48);
    const auto row = static_cast<std::uint32_t>(expected.size() + 1);
    CHECK(words.find(id) == (expected.contains(id) ? expected[id] : 0));
    CHECK(words.add(id) == expected.emplace(id, row).first->second);
  }
  CHECK(words.rows() == expected.size() + 1);
  for (const auto& [id, row] : expected) CHECK(words.id(row) == id);
  const vocabulary again(words.ids());
  for (const auto& [id, row] : expected) CHECK(again.find(id) == row);
}

namespace {

/// The id whose hash is this: the inverse of mix_key.
std::uint64_t unmix_key(std::uint64_t hash) {
  const auto unshift = [](std::uint64_t x, int by) {
    std::uint64_t y = x;
    for (int done = by; done < 64; done += by) y = x ^ (y >> by);
    return y;
  };
  hash = unshift(hash, 31) * 0x319642b2d24d8ec3ULL;
  hash = unshift(hash, 27) * 0x96de1b173f119089ULL;
  return unshift(hash, 30) - 0x9e3779b97f4a7c15ULL;
}

}  // namespace

TEST_CASE("vocabulary: ids chosen to meet in the hash get their rows, and not in quadratic time") {
  // All of them want slot 0 of every table up to 2^32 slots: by probing alone 300,000 take minutes.
  constexpr std::uint64_t n = 300'000;
  vocabulary words;
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::uint64_t id = unmix_key((i + 1) << 32);
    if (i == 5) REQUIRE(funnel::mix_key(id) == std::uint64_t{6} << 32);
    if (words.add(id) != i + 1) FAIL("row of " << i);
    if (words.add(id) != i + 1) FAIL("row of " << i << ", given again");
  }
  CHECK(words.rows() == n + 1);
  const vocabulary copy = words;
  for (std::uint64_t i = 0; i < n; ++i)
    if (copy.find(unmix_key((i + 1) << 32)) != i + 1) FAIL("find " << i);
  CHECK(copy.find(unmix_key((n + 1) << 32)) == 0);
  CHECK(copy.find(17) == 0);
  CHECK(words.add(17) == n + 1);
}
