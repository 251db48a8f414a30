// SPDX-License-Identifier: MIT
#include <funnel/retrieval/author_expander.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using found_items = std::vector<std::pair<item_id, float>>;
using authors = std::vector<scored_item>;
using ids = std::vector<author_id>;

const auto all_items = [](item_id) { return true; };

template <class Authors, class Admits>
found_items search(author_expander& by, const Authors& of, std::int64_t now, std::size_t most,
                   const Admits& admits) {
  std::vector<scored_item> out(most, {99, -9});
  const std::size_t count = by.search(of, now, out, admits);
  found_items found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  return found;
}

}  // namespace

TEST_CASE("newest items of authors") {
  author_items items;
  for (item_id i = 0; i < 4; ++i) items.add(0, i, 10 * i);  // at 0, 10, 20, 30
  items.add(1, 10, 20);
  items.add(1, 11, 50);  // not published yet
  author_expander by(items, {.items_of_author = 3, .half_life = 10, .next_item = .5});
  for (int again = 0; again < 2; ++again) {
    CHECK(search(by, ids{0}, 30, 9, all_items) == found_items{{3, 1}, {2, .25f}, {1, .0625f}});
    CHECK(search(by, ids{0, 1}, 30, 9, all_items) ==
          found_items{{3, 1}, {10, .5f}, {2, .25f}, {1, .0625f}});
    CHECK(search(by, ids{1, 0}, 30, 2, all_items) == found_items{{3, 1}, {10, .5f}});
    // What is left out is none of the three, and does not hold back the next one.
    CHECK(search(by, ids{0}, 30, 9, [](item_id i) { return i != 3; }) ==
          found_items{{2, .5f}, {1, .125f}, {0, .03125f}});
    CHECK(search(by, authors{{1, 4}, {0, 1}}, 30, 2, all_items) == found_items{{10, 2}, {3, 1}});
    CHECK(search(by, authors{{1, 1}, {0, 1}, {1, 3}}, 30, 1, all_items) == found_items{{10, 2}});
    CHECK(search(by, ids{1, 1}, 30, 9, all_items) == found_items{{10, .5f}});
    CHECK(search(by, ids{7}, 30, 9, all_items).empty());
    CHECK(search(by, ids{}, 30, 9, all_items).empty());
    CHECK(search(by, ids{0}, 30, 0, all_items).empty());
    CHECK(search(by, ids{0}, -1, 9, all_items).empty());
  }
  items.add(3, 20, 30);  // is there at once, of a new author too
  items.remove(3);
  CHECK(search(by, ids{3, 0}, 30, 2, all_items) == found_items{{20, 1}, {2, .5f}});

  author_expander by_weight(items, {.half_life = 0, .next_item = 1});
  CHECK(search(by_weight, authors{{0, 2}, {1, 1}}, 1000, 3, all_items) ==
        found_items{{0, 2}, {1, 2}, {2, 2}});
  // Of equal ones the lower item, though it is behind a newer one that is not found.
  items.add(4, 30, 25);
  items.add(4, 5, 24);
  CHECK(search(by_weight, ids{3, 4}, 1000, 1, all_items) == found_items{{5, 1}});
  // Weights whose sum is no float.
  const float largest = std::numeric_limits<float>::max();
  CHECK(search(by, authors{{0, largest}, {0, largest}}, 1'000'000, 3, all_items).size() == 3);
}

TEST_CASE("author_expander equals its definition") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    random_generator bits(seed);
    author_items items;
    std::map<author_id, std::vector<published_item>> of;
    for (item_id i = 0; i < 200; ++i) {
      const auto author = static_cast<author_id>(uniform_below(bits, 20));
      const auto time = static_cast<std::int64_t>(uniform_below(bits, 100));
      items.add(author, i, time);
      of[author].push_back({time, i});
    }
    const author_expander_options options{.items_of_author = 4, .half_life = 30, .next_item = .8};
    author_expander by(items, options);
    const auto admits = [](item_id i) { return i % 3 != 1; };
    const std::int64_t now = 80;
    for (int user = 0; user < 20; ++user) {
      authors liked;
      std::map<author_id, double> weights;
      for (int n = 0; n < 6; ++n) {
        const auto author = static_cast<author_id>(uniform_below(bits, 22));
        const auto weight = static_cast<float>(1 + uniform_below(bits, 5));
        liked.push_back({author, weight});
        weights[author] += double{weight};
      }
      std::vector<std::pair<double, item_id>> expected;
      for (const auto& [author, weight] : weights) {
        auto& list = of[author];
        std::ranges::sort(list, std::greater<>());
        std::size_t found = 0;
        for (const published_item& p : list) {
          if (p.time > now || !admits(p.item) || found == 4) continue;
          expected.emplace_back(weight * std::exp2(-static_cast<double>(now - p.time) / 30) *
                                    std::pow(.8, static_cast<double>(found++)),
                                p.item);
        }
      }
      std::ranges::sort(expected, std::greater<>());
      for (const std::size_t most : {1u, 5u, 100u}) {
        const found_items found = search(by, liked, now, most, admits);
        REQUIRE(found.size() == std::min(most, expected.size()));
        for (std::size_t i = 0; i < found.size(); ++i) {
          CHECK(tolerance::within(static_cast<double>(found[i].second), expected[i].first,
                                  tolerance::elementwise<float>(expected[i].first)));
          CHECK((i == 0 || ranks_before(scored_item{found[i - 1].first, found[i - 1].second},
                                        scored_item{found[i].first, found[i].second})));
          const auto at =
              std::ranges::find(expected, found[i].first, &std::pair<double, item_id>::second);
          REQUIRE(at != expected.end());
          CHECK(tolerance::within(static_cast<double>(found[i].second), at->first,
                                  tolerance::elementwise<float>(at->first)));
        }
      }
    }
  }
}

TEST_CASE("what author_expander refuses") {
  author_items items;
  items.add(0, 1, 1);
  author_expander by(items);
  const char* name = "funnel::author_expander";
  CHECK(refuses(
      [&] {
        search(by, authors{{0, 1}, {0, 0}}, 1, 1, all_items);
      },
      name, "a weight is 0"));
  CHECK(refuses(
      [&] {
        search(by, authors{{0, std::nanf("")}}, 1, 1, all_items);
      },
      name, "a weight is nan"));
  const auto refused = [&](const author_expander_options& options, const char* words) {
    return refuses([&] { author_expander(items, options); }, name, words);
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refused({.items_of_author = 0}, "items_of_author is 0"));
  CHECK(refused({.half_life = -1}, "half_life is -1"));
  CHECK(refused({.half_life = nan}, "half_life is nan"));
  CHECK(refused({.next_item = 0}, "next_item is 0"));
  CHECK(refused({.next_item = 1.5}, "next_item is 1.5"));
  CHECK(refused({.next_item = nan}, "next_item is nan"));
}
