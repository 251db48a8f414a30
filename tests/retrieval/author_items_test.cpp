// SPDX-License-Identifier: MIT
#include <funnel/retrieval/author_items.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

std::vector<published_item> list_of(const author_items& all, author_id author) {
  const auto items = all.items(author);
  return {items.begin(), items.end()};
}

using list = std::vector<published_item>;

}  // namespace

TEST_CASE("items of authors by time") {
  author_items all;
  CHECK(all.authors() == 0);
  CHECK(all.items(0).empty());
  all.add(2, 10, 500);
  CHECK(all.authors() == 3);
  CHECK(list_of(all, 2) == list{{500, 10}});
  all.add(2, 11, 700);
  all.add(2, 12, 600);
  all.add(2, 9, 600);
  all.add(0, 13, -5);
  CHECK(list_of(all, 2) == list{{500, 10}, {600, 9}, {600, 12}, {700, 11}});
  all.add(0, 12, 1);  // another author
  all.add(2, 10, 900);
  CHECK(list_of(all, 2) == list{{600, 9}, {700, 11}, {900, 10}});
  CHECK(list_of(all, 0) == list{{-5, 13}, {1, 12}});
  CHECK(all.remove(11));
  CHECK(!all.remove(11));
  CHECK(!all.remove(1000));
  CHECK(list_of(all, 2) == list{{600, 9}, {900, 10}});
  all.expire(1);
  CHECK(list_of(all, 0) == list{{1, 12}});
  all.expire(601);
  CHECK(list_of(all, 0).empty());
  CHECK(list_of(all, 2) == list{{900, 10}});
  CHECK(!all.remove(12));
  CHECK(all.authors() == 3);
  CHECK(all.items(77).empty());
  CHECK(refuses([&] { all.add(std::numeric_limits<author_id>::max(), 1, 1); },
                "funnel::author_items::add", "author is 4294967295"));
}

TEST_CASE("author_items equal a map, and survive saving") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    random_generator bits(seed);
    author_items all;
    std::map<item_id, std::pair<author_id, std::int64_t>> expected;
    const auto check = [&](const author_items& found) {
      for (author_id author = 0; author < 8; ++author) {
        list items;
        for (const auto& [item, at] : expected)
          if (at.first == author) items.push_back({at.second, item});
        std::ranges::sort(items);
        CHECK(list_of(found, author) == items);
      }
    };
    for (int step = 0; step < 400; ++step) {
      const auto item = static_cast<item_id>(uniform_below(bits, 60));
      const auto time = static_cast<std::int64_t>(uniform_below(bits, 40)) + step / 4;
      if (uniform_below(bits, 4) == 0) {
        CHECK(all.remove(item) == (expected.erase(item) > 0));
      } else if (uniform_below(bits, 40) == 0) {
        all.expire(time);
        std::erase_if(expected, [&](const auto& e) { return e.second.second < time; });
      } else {
        const auto author = static_cast<author_id>(uniform_below(bits, 8));
        all.add(author, item, time);
        expected[item] = {author, time};
      }
      if (step % 50 == 49) check(all);
    }
    author_items loaded;
    saved_state(all).load(loaded);
    check(loaded);
    CHECK(saved_state(loaded) == saved_state(all));
    CHECK(loaded.remove(expected.begin()->first));
  }
}

TEST_CASE("damaged items of authors are refused") {
  author_items all;
  all.add(0, 1, 5);
  all.add(0, 2, 6);
  all.add(1, 3, 5);
  const saved_state good(all);
  const auto refused = [&](const saved_state& state) {
    return refuses_state(all, state, "the items of authors are damaged");
  };
  CHECK(!refused(good));
  CHECK(refused(good.with<std::uint64_t>("ends", {2, 2})));
  CHECK(refused(good.with<std::uint64_t>("ends", {2, 4})));
  CHECK(refused(good.with<std::uint64_t>("ends", {4, 3})));
  CHECK(refused(good.with<std::uint64_t>("ends", {})));
  CHECK(refused(good.with<item_id>("items", {1, 2, 1})));
  CHECK(refused(good.with<item_id>("items", {1, 2})));
  CHECK(refused(good.with<std::int64_t>("times", {6, 5, 5})));
  CHECK(refused(good.with<std::int64_t>("times", {5, 6})));
  author_items kept = all;
  try {
    good.with<std::int64_t>("times", {6, 5, 5}).load(kept);
  } catch (const format_error&) {
  }
  CHECK(saved_state(kept) == good);
}
