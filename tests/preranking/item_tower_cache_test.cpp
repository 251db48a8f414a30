// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/preranking/item_tower_cache.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <span>
#include <vector>

using funnel::item_id;
using funnel::item_tower_cache;
using funnel::item_version;
using funnel::matrix;
using funnel::matrix_view;

namespace {

using items = std::vector<item_id>;

std::vector<float> vector_of(item_id item, float more = 0) {
  return {static_cast<float>(item), static_cast<float>(item) / 2 + more, -more};
}

bool has(item_tower_cache<float>& cache, item_id item, item_version version = {}) {
  return !cache.find(item, version).empty();
}

bool holds(item_tower_cache<float>& cache, item_id item, item_version version,
           const std::vector<float>& vector) {
  return std::ranges::equal(cache.find(item, version), vector);
}

/// The tower of items 0 .. 99, and what it was asked for.
class asked_tower {
 public:
  asked_tower() {
    std::uint64_t seed = 0;
    funnel::for_each_parameter(network_, [&](std::string_view, auto& p) {
      p.value = random_matrix<float>(p.rows(), p.cols(), ++seed);
    });
  }

  /// The vectors by way of the cache; `asked` grows by a list for each call of the tower.
  matrix<float> cached(item_tower_cache<float>& cache, const items& of, item_version version = {}) {
    funnel::inference_context<float> context;
    return matrix<float>(
        funnel::cached_item_vectors(context, network_, cache, std::span<const item_id>(of), version,
                                    [&](std::span<const item_id> missing) {
                                      asked.emplace_back(missing.begin(), missing.end());
                                      return features_of(context, missing);
                                    }));
  }
  /// The vectors without a cache.
  matrix<float> direct(const items& of) {
    funnel::inference_context<float> context;
    return matrix<float>(network_(context, features_of(context, of)));
  }

  std::vector<items> asked;

 private:
  matrix_view<const float> features_of(funnel::inference_context<float>& context,
                                       std::span<const item_id> of) const {
    const matrix_view<float> x = context.make(of.size(), 5);
    for (std::size_t i = 0; i < of.size(); ++i)
      std::ranges::copy(features_.row(of[i]), x.row(i).begin());
    return x;
  }

  funnel::mlp<float> network_{5, {19, 6}};
  matrix<float> features_ = random_matrix<float>(100, 5, 9);
};

items all_items() {
  items all(100);
  for (item_id i = 0; i < 100; ++i) all[i] = i;
  return all;
}

}  // namespace

TEST_CASE("item_tower_cache: finds what was inserted, and counts") {
  item_tower_cache<float> cache(20, 3);
  CHECK(cache.dim() == 3);
  CHECK(cache.capacity() == 24);  // sets of eight
  CHECK_FALSE(has(cache, 4));
  cache.insert(4, {}, vector_of(4));
  cache.insert(0, {}, vector_of(0));  // item 0 is an item as others
  CHECK(holds(cache, 4, {}, vector_of(4)));
  CHECK(holds(cache, 0, {}, vector_of(0)));
  CHECK_FALSE(has(cache, 5));
  CHECK(cache.hits() == 2);
  CHECK(cache.misses() == 2);
  cache.clear();
  CHECK_FALSE(has(cache, 4));
  CHECK_FALSE(has(cache, 0));
}

TEST_CASE("item_tower_cache: another model or other features are another vector") {
  item_tower_cache<float> cache(8, 3);
  const item_version first{.model = 1, .features = 1};
  cache.insert(7, first, vector_of(7));
  CHECK_FALSE(has(cache, 7, {.model = 2, .features = 1}));
  CHECK_FALSE(has(cache, 7, {.model = 1, .features = 2}));
  CHECK(holds(cache, 7, first, vector_of(7)));

  // The new vector takes the place of the old one and of no other item's.
  for (item_id i = 0; i < 7; ++i) cache.insert(i, first, vector_of(i));
  const item_version second{.model = 2, .features = 1};
  cache.insert(7, second, vector_of(7, 1));
  CHECK(holds(cache, 7, second, vector_of(7, 1)));
  CHECK_FALSE(has(cache, 7, first));
  for (item_id i = 0; i < 7; ++i) CHECK(holds(cache, i, first, vector_of(i)));
}

TEST_CASE("item_tower_cache: in a full set the one not asked for longest makes room") {
  item_tower_cache<float> cache(8, 3);  // one set
  for (item_id i = 0; i < 8; ++i) cache.insert(i, {}, vector_of(i));
  CHECK(has(cache, 0));  // asked for again
  cache.insert(1, {}, vector_of(1, 2));
  cache.insert(8, {}, vector_of(8));
  CHECK_FALSE(has(cache, 2));
  cache.insert(9, {}, vector_of(9));
  CHECK_FALSE(has(cache, 3));
  for (const item_id i : items{4, 5, 6, 7, 8, 9, 0}) CHECK(holds(cache, i, {}, vector_of(i)));
  CHECK(holds(cache, 1, {}, vector_of(1, 2)));
  cache.insert(10, {}, vector_of(10));
  CHECK_FALSE(has(cache, 4));
  CHECK(has(cache, 0));
}

TEST_CASE("item_tower_cache: holds what a map of the last inserted would, or nothing") {
  for (const std::size_t capacity : size_list{1, 30, 200}) {
    item_tower_cache<float> cache(capacity, 3);
    std::map<item_id, float> last;
    funnel::random_generator bits(capacity);
    std::size_t found = 0;
    for (int step = 0; step < 2000; ++step) {
      const auto item = static_cast<item_id>(funnel::uniform_below(bits, 60) * 1000);
      if (funnel::bernoulli(bits, .5)) {
        last[item] = static_cast<float>(step);
        cache.insert(item, {}, vector_of(item, last[item]));
        REQUIRE(has(cache, item));
      } else if (const auto kept = cache.find(item, {}); !kept.empty()) {
        REQUIRE(std::ranges::equal(kept, vector_of(item, last.at(item))));
        ++found;
      }
    }
    CHECK(found > 0);
  }
}

TEST_CASE("cached_item_vectors: cold, warm and without a cache: the same bits") {
  asked_tower tower;
  item_tower_cache<float> cache(1000, 6);
  const items of{3, 99, 0, 42, 7};
  const matrix<float> expected = tower.direct(of);
  CHECK(same_bits(tower.cached(cache, of), expected));
  REQUIRE(tower.asked.size() == 1);
  CHECK(tower.asked[0] == of);
  CHECK(cache.misses() == 5);
  CHECK(same_bits(tower.cached(cache, of), expected));
  CHECK(tower.asked.size() == 1);  // not run again
  CHECK(cache.hits() == 5);

  // Some known and some not, in any order: the tower runs once, for those that are not.
  const items mixed{99, 1, 3, 2, 42, 50};
  CHECK(same_bits(tower.cached(cache, mixed), tower.direct(mixed)));
  CHECK(tower.asked.back() == items{1, 2, 50});
  CHECK(same_bits(tower.cached(cache, all_items()), tower.direct(all_items())));
  CHECK(same_bits(tower.cached(cache, all_items()), tower.direct(all_items())));
  CHECK(tower.asked.size() == 3);
}

TEST_CASE("cached_item_vectors: an item twice, no items, a cache that is too small") {
  asked_tower tower;
  item_tower_cache<float> cache(1000, 6);
  const items twice{5, 6, 5};
  CHECK(same_bits(tower.cached(cache, twice), tower.direct(twice)));
  CHECK(same_bits(tower.cached(cache, twice), tower.direct(twice)));
  CHECK(tower.cached(cache, {}).rows() == 0);
  CHECK(tower.asked.size() == 1);

  item_tower_cache<float> small(8, 6);
  for (int request = 0; request < 3; ++request)
    CHECK(same_bits(tower.cached(small, all_items()), tower.direct(all_items())));
}

TEST_CASE("cached_item_vectors: a new model asks again") {
  asked_tower tower;
  item_tower_cache<float> cache(1000, 6);
  tower.cached(cache, {1, 2}, {.model = 1});
  tower.cached(cache, {1, 2, 3}, {.model = 2});
  tower.cached(cache, {1, 2, 3}, {.model = 2, .features = 1});
  REQUIRE(tower.asked.size() == 3);
  CHECK(tower.asked[1] == items{1, 2, 3});
  CHECK(tower.asked[2] == items{1, 2, 3});
}

TEST_CASE("item_tower_cache: what is refused") {
  const std::string_view name = "funnel::item_tower_cache";
  CHECK(refuses([] { item_tower_cache<float>(0, 3); }, name, "capacity is 0"));
  CHECK(refuses([] { item_tower_cache<float>(3, 0); }, name, "dim is 0"));
  item_tower_cache<float> cache(8, 3);
  const std::vector<float> two{1, 2};
  CHECK(refuses([&] { cache.insert(1, {}, two); }, "funnel::item_tower_cache::insert",
                "2 values, expected 3"));
  CHECK_FALSE(has(cache, 1));
  asked_tower tower;  // of six columns
  CHECK(refuses(
      [&] {
        tower.cached(cache, {1, 2});
      },
      "funnel::cached_item_vectors", "[2, 6], expected [2, 3]"));
  CHECK_FALSE(has(cache, 1));
}

TEST_CASE("item_tower_cache: sizes that wrap are refused") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  using cache = funnel::item_tower_cache<float>;
  CHECK(refuses([] { cache(most, 1); }, "funnel::item_tower_cache", "capacity is"));
  CHECK(refuses([] { cache(most - 6, 1); }, "funnel::item_tower_cache", "capacity is"));
  CHECK(refuses([] { cache(1, most); }, "funnel::item_tower_cache", "capacity x dim is 8 x"));
  CHECK(refuses([] { cache(std::size_t{1} << 32, std::size_t{1} << 32); },
                "funnel::item_tower_cache", "capacity x dim is"));
}

TEST_CASE("item_tower_cache: without room when moved from") {
  item_tower_cache<float> cache(8, 3);
  cache.insert(1, {}, vector_of(1));
  item_tower_cache<float> taken = std::move(cache);
  CHECK(has(taken, 1));
  CHECK(cache.capacity() == 0);  // NOLINT(bugprone-use-after-move): what this is about
  CHECK_FALSE(has(cache, 1));
  cache.insert(1, {}, {});
  CHECK_FALSE(has(cache, 1));
  cache = taken;
  CHECK(has(cache, 1));
}
