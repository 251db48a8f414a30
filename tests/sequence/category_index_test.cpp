// SPDX-License-Identifier: MIT
#include <funnel/sequence/category_index.hpp>

#include "support/catch.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>

using funnel::category_id;
using funnel::category_index;

namespace {

using positions = std::vector<std::uint32_t>;

positions found(const category_index& index, category_id category) {
  const auto list = index.find(category);
  return {list.begin(), list.end()};
}

positions naive(const std::vector<category_id>& categories, category_id category) {
  positions list;
  for (std::size_t i = categories.size(); i-- > 0;)
    if (categories[i] == category) list.push_back(static_cast<std::uint32_t>(i));
  return list;
}

}  // namespace

TEST_CASE("category_index: worked example") {
  const category_index index(std::vector<category_id>{5, 7, 5, 0, 9, 5});
  CHECK(found(index, 5) == positions{5, 2, 0});
  CHECK(found(index, 7) == positions{1});
  CHECK(found(index, 8).empty());
  CHECK(found(index, 0).empty());  // missing, not a category of its own
}

TEST_CASE("category_index: the id of a missing category is an argument") {
  const category_index index(std::vector<category_id>{0, 7, 0}, 7);
  CHECK(found(index, 0) == positions{2, 0});
  CHECK(found(index, 7).empty());
}

TEST_CASE("category_index: agrees with a scan, for one history after another") {
  funnel::random_generator bits(1);
  category_index index;
  for (int user = 0; user < 200; ++user) {
    const std::size_t n = funnel::uniform_below(bits, 300);
    const std::size_t kinds = 1 + funnel::uniform_below(bits, 40);
    const category_id step =
        user % 2 == 0 ? 1 : 0x9e370001;  // dense ids, and ids all over the range
    std::vector<category_id> categories(n);
    for (category_id& category : categories)
      category = static_cast<category_id>(funnel::uniform_below(bits, kinds)) * step;
    index.assign(categories);
    std::size_t wrong = 0;
    for (category_id c = 0; c < kinds + 3; ++c)
      if (found(index, c * step) != (c == 0 ? positions() : naive(categories, c * step))) ++wrong;
    CAPTURE(user, n, kinds);
    CHECK(wrong == 0);
  }
}

TEST_CASE("category_index: empty, and of missing categories only") {
  CHECK(found(category_index(), 1).empty());
  CHECK(found(category_index(std::vector<category_id>{}), 1).empty());
  CHECK(found(category_index(std::vector<category_id>{0, 0}), 0).empty());
  CHECK(found(category_index(std::vector<category_id>{0, 0}), 1).empty());
  CHECK(found(category_index(std::vector<category_id>{0xffffffff}), 0xffffffff) == positions{0});
}

TEST_CASE("category_index: a smaller history takes the room of a larger one") {
  category_index index(std::vector<category_id>(100, 3));
  const auto* room = index.find(3).data();
  index.assign(std::vector<category_id>{3, 1});
  CHECK(index.find(3).size() == 1);
  CHECK(index.find(3).data() >= room);
  CHECK(index.find(3).data() < room + 100);
}

TEST_CASE("category_index: ids chosen against its hash are found like others") {
  // Ids whose product with the first multiplier starts with the same bits: all begin to probe at one
  // slot. 20 000 of them would take 2 * 10^8 steps one after the other, and 40 000 four times that.
  std::vector<category_id> categories;
  for (std::uint64_t id = 1; categories.size() < 40000 && id < (1ull << 32); ++id)
    if (id * 0x9e3779b97f4a7c15ULL >> 57 == 5) categories.push_back(static_cast<category_id>(id));
  REQUIRE(categories.size() == 40000);
  std::vector<category_id> twice = categories;
  twice.insert(twice.end(), categories.begin(), categories.end());
  const category_index index(twice);
  std::size_t wrong = 0;
  for (std::uint32_t i = 0; i < 40000; ++i)
    wrong += found(index, categories[i]) == positions{i + 40000, i} ? 0u : 1u;
  CHECK(wrong == 0);
  CHECK(found(index, 3).empty() == (std::ranges::find(categories, 3u) == categories.end()));
}

TEST_CASE("category_index: kinds of any number, in one part of the counts or four") {
  category_index index;
  for (const std::size_t n : {1u, 3u, 4u, 5u, 7u, 8u, 63u, 64u, 65u, 1000u}) {
    for (const std::size_t kinds : {1u, 2u, 3u, 16u, 250u, 1000u}) {
      for (const category_id factor : {1u, 0x10001u, 0xfffffff1u}) {
        std::vector<category_id> categories(n);
        for (std::size_t i = 0; i < n; ++i)
          categories[i] = static_cast<category_id>(1 + i * i % kinds) * factor;
        index.assign(categories, 2 * factor);
        std::size_t wrong = 0;
        for (category_id c = 0; c < kinds + 2; ++c) {
          const positions expected = c == 2 ? positions() : naive(categories, c * factor);
          wrong += found(index, c * factor) == expected ? 0u : 1u;
        }
        CAPTURE(n, kinds, factor);
        CHECK(wrong == 0);
      }
    }
  }
}
