// SPDX-License-Identifier: MIT
#include <funnel/retrieval/item_pool.hpp>

#include <funnel/core/random.hpp>
#include <funnel/index/flat_index.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <vector>

using namespace funnel;

namespace {

constexpr std::int64_t first_time = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t last_time = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("an item is in the pool from its publication on, for the window") {
  item_pool pool({.window = 100});
  pool.add(7, 1000);
  for (const auto& [now, there] : std::map<std::int64_t, bool>{
           {999, false}, {1000, true}, {1099, true}, {1100, false}, {5000, false}, {-1, false}}) {
    CHECK(pool.admits(7, now) == there);
    CHECK(pool.at(now)(7) == there);
    CHECK(pool.items(now) == (there ? std::vector<item_id>{7} : std::vector<item_id>{}));
    const auto words = pool.bitmap(now);
    CHECK(item_bitmap{words}(7) == there);
  }
  CHECK_FALSE(pool.admits(6, 1000));
  CHECK_FALSE(pool.admits(8, 1000));
  CHECK_FALSE(pool.admits(std::numeric_limits<item_id>::max(), 1000));
  pool.add(7, 1050);  // published anew
  CHECK(pool.admits(7, 1100));
  CHECK_FALSE(pool.admits(7, 1049));
  CHECK(pool.remove(7));
  CHECK_FALSE(pool.remove(7));
  CHECK_FALSE(pool.remove(700));
  CHECK_FALSE(pool.admits(7, 1100));
  CHECK(pool.items(1100).empty());
}

TEST_CASE("a search never finds an item that has expired, whatever happened since the last one") {
  // A naive model: the items with their times.
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    random_generator bits(seed);
    const std::size_t items = 80;
    const flat_index<> index(random_matrix<float>(items, 3, seed));
    struct naive_pool {
      std::int64_t window;
      item_pool pool;
      std::map<item_id, std::optional<std::int64_t>> published;
    };
    std::vector<naive_pool> pools;
    for (const std::int64_t window :
         {std::int64_t{6}, std::int64_t{24}, std::int64_t{720}, last_time})
      pools.push_back({window, item_pool({.window = window}), {}});
    std::int64_t now = -500;
    for (int step = 0; step < 400; ++step) {
      const auto item = static_cast<item_id>(uniform_below(bits, items));
      naive_pool& p = pools[uniform_below(bits, pools.size())];
      switch (uniform_below(bits, 4)) {
      case 0:
        CHECK(p.pool.remove(item) == (p.published.erase(item) == 1));
        break;
      case 1:
        if (p.window == last_time) {
          p.pool.add(item);
          p.published[item] = std::nullopt;
          break;
        }
        [[fallthrough]];
      default:
        const std::int64_t time = now + static_cast<std::int64_t>(uniform_below(bits, 60)) - 50;
        p.pool.add(item, time);
        p.published[item] = time;
      }
      now += static_cast<std::int64_t>(uniform_below(bits, 8)) - 1;
      for (const naive_pool& q : pools) {
        std::vector<item_id> expected;
        for (const auto& [i, time] : q.published)
          if (!time || (*time <= now && (q.window == last_time || now < *time + q.window)))
            expected.push_back(i);
        REQUIRE(q.pool.items(now) == expected);
        std::vector<scored_item> found(items);
        const std::vector<float> query{1, 2, -1};
        found.resize(index.search(query, found, q.pool.at(now)));
        std::vector<item_id> ids;
        for (const scored_item& s : found) ids.push_back(s.item);
        std::ranges::sort(ids);
        REQUIRE(ids == expected);
        const auto words = q.pool.bitmap(now);
        for (item_id i = 0; i < items + 70; ++i)
          if (item_bitmap{words}(i) != q.pool.admits(i, now)) FAIL("bit " << i);
      }
    }
  }
}

TEST_CASE("a pool at the ends of time") {
  item_pool all, day({.window = 100}), longest({.window = last_time - 1});
  for (item_pool* pool : {&all, &day, &longest}) {
    pool->add(0, first_time);
    pool->add(1, last_time - 1);
  }
  all.add(2);
  CHECK(all.items(first_time) == std::vector<item_id>{0, 2});
  CHECK(all.items(last_time) == std::vector<item_id>{0, 1, 2});
  CHECK(day.items(first_time) == std::vector<item_id>{0});
  CHECK(day.items(first_time + 99) == std::vector<item_id>{0});
  CHECK(day.items(first_time + 100).empty());
  CHECK(day.items(last_time) == std::vector<item_id>{1});
  CHECK(longest.items(-2) == std::vector<item_id>{});
  CHECK(longest.items(-3) == std::vector<item_id>{0});
  CHECK(longest.items(last_time) == std::vector<item_id>{1});
  CHECK(item_pool().items(0).empty());
  CHECK(item_pool().bitmap(0).empty());
}

TEST_CASE("what a pool refuses, and its state") {
  const char* name = "funnel::item_pool";
  for (const std::int64_t window : {std::int64_t{0}, std::int64_t{-1}, first_time})
    CHECK(refuses([&] { item_pool({.window = window}); }, name, "window is"));
  item_pool pool({.window = 100});
  CHECK(refuses([&] { pool.add(3); }, "funnel::item_pool::add", "item 3 has no time"));
  CHECK(refuses([&] { pool.add(3, last_time); }, "funnel::item_pool::add", "published is"));
  CHECK(saved_state(pool) == saved_state(item_pool({.window = 100})));

  pool.add(3, 10);
  pool.add(5, 60);
  const saved_state saved(pool);
  item_pool loaded;
  saved.load(loaded);
  CHECK(loaded.items(109) == std::vector<item_id>{3, 5});
  CHECK(loaded.items(110) == std::vector<item_id>{5});
  CHECK(refuses_state(item_pool(), saved.with<std::int64_t>("window", {0}), "window 0"));
}
