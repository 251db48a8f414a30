// SPDX-License-Identifier: MIT
#include <funnel/retrieval/online_item_cf.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/retrieval/item_cf.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();

bool is_close(double found, double expected) {
  return tolerance::within(found, expected, tolerance::elementwise<float>(expected));
}

std::vector<sparse_entry> random_events(std::uint64_t seed, std::size_t count, std::size_t users,
                                        std::size_t items, std::size_t weights, std::size_t times) {
  random_generator bits(seed);
  std::vector<sparse_entry> events;
  for (std::size_t e = 0; e < count; ++e)
    events.push_back(
        {static_cast<std::uint32_t>(uniform_below(bits, users)),
         static_cast<std::uint32_t>(uniform_below(bits, items)),
         static_cast<float>(1 + uniform_below(bits, weights)) / 2 + (weights == 1 ? .5f : 0),
         static_cast<std::int64_t>(uniform_below(bits, times))});
  return events;
}

void add_all(online_item_cf& cf, std::vector<sparse_entry> events, std::uint64_t order) {
  random_generator bits(order);
  if (order > 0) shuffle(bits, events);
  for (const sparse_entry& e : events) cf.add(e);
}

float similarity(const online_item_cf& cf, item_id i, item_id j) {
  std::vector<scored_item> found(1);
  const std::size_t count = cf.neighbors(i, found, [=](item_id item) { return item == j; });
  return count == 0 ? 0 : found[0].score;
}

/// item_count and pair_count by their definition, of the ratings by user and item.
struct counts {
  std::map<item_id, double> of_items;
  std::map<std::pair<item_id, item_id>, double> of_pairs;

  explicit counts(const std::map<user_id, std::map<item_id, double>>& ratings) {
    for (const auto& [user, of_user] : ratings)
      for (const auto& [i, r] : of_user) {
        of_items[i] += r;
        for (const auto& [j, s] : of_user)
          if (i != j) of_pairs[{i, j}] += std::min(r, s);
      }
  }
};

}  // namespace

TEST_CASE("online_item_cf: each event counts at once") {
  online_item_cf cf;
  CHECK(cf.add({0, 7, 2}));
  CHECK(cf.item_count(7) == 2);
  std::vector<scored_item> found(3);
  CHECK(cf.neighbors(7, found) == 0);
  CHECK(cf.add({0, 3, 1}));
  CHECK(cf.pair_count(7, 3) == 1);
  CHECK(cf.pair_count(3, 7) == 1);
  CHECK(is_close(similarity(cf, 7, 3), 1 / std::sqrt(2.)));
  cf.add({1, 7, 1}), cf.add({1, 3, 3}), cf.add({2, 7, 1});
  CHECK(cf.item_count(7) == 4);
  CHECK(cf.item_count(3) == 4);
  CHECK(cf.pair_count(3, 7) == 2);
  REQUIRE(cf.neighbors(3, found) == 1);
  CHECK(found[0].item == 7);
  CHECK(found[0].score == .5f);
  // The largest weight of a user and an item counts.
  CHECK_FALSE(cf.add({1, 7, 1}));
  CHECK_FALSE(cf.add({1, 7, .5f}));
  CHECK(cf.item_count(7) == 4);
  CHECK(cf.add({1, 7, 4}));
  CHECK(cf.item_count(7) == 7);
  CHECK(cf.pair_count(3, 7) == 4);
  CHECK(cf.item_count(8) == 0);
  CHECK(cf.pair_count(3, 8) == 0);
  CHECK(cf.neighbors(8, found) == 0);
}

TEST_CASE("online_item_cf is item_cf, in any order of the events, with the latest items of users") {
  for (std::uint64_t seed = 1; seed < 6; ++seed)
    for (const std::size_t most : {largest, std::size_t{6}, std::size_t{1}}) {
      const auto events = random_events(seed, 600, 30, 25, 1, 40);
      const sparse_matrix all(events, {.rows = 30, .columns = 25});
      const sparse_matrix users = all.latest(most), items = users.transposed();
      const neighbor_table batch =
          item_cf(users, {.neighbors = 1000, .min_users = 2, .most_items_of_user = largest});
      for (std::uint64_t order = 0; order < 4; ++order) {
        online_item_cf cf({.neighbors = 1000, .min_users = 2, .most_items_of_user = most});
        add_all(cf, events, order);
        std::size_t pairs = 0;
        for (item_id i = 0; i < 25; ++i) {
          CHECK(cf.item_count(i) == static_cast<double>(items[i].size()));
          for (item_id j = 0; j < 25; ++j) {
            if (i == j) continue;
            double common = 0;
            for (const std::uint32_t u : items[i].columns)
              common += static_cast<double>(std::ranges::count(items[j].columns, u));
            REQUIRE(cf.pair_count(i, j) == common);
            pairs += common > 0 ? std::size_t{1} : 0;
          }
        }
        CHECK(cf.pairs() == pairs);
        const neighbor_table table = cf.table(25);
        for (item_id i = 0; i < 25; ++i) {
          REQUIRE(table.neighbors(i).size() == batch.neighbors(i).size());
          for (std::size_t n = 0; n < table.neighbors(i).size(); ++n) {
            const auto score = static_cast<double>(batch.scores(i)[n]);
            CHECK(is_close(static_cast<double>(table.scores(i)[n]), score));
            CHECK(is_close(static_cast<double>(similarity(cf, i, batch.neighbors(i)[n])), score));
          }
        }
      }
    }
}

TEST_CASE("online_item_cf with weights and a half-life equals its definition, in any order") {
  for (const double half_life : {0., 1., 7.5, 300.})
    for (std::uint64_t seed = 1; seed < 4; ++seed) {
      auto events = random_events(seed, 500, 15, 20, 6, 2000);
      for (sparse_entry& e : events) e.time -= 700;
      std::int64_t newest = -1000;
      for (const sparse_entry& e : events) newest = std::max(newest, e.time);
      std::map<user_id, std::map<item_id, double>> ratings;
      for (const sparse_entry& e : events) {
        double& r = ratings[e.row][e.column];
        const double age = half_life == 0 ? 0 : static_cast<double>(newest - e.time) / half_life;
        r = std::max(r, static_cast<double>(e.value) * std::exp2(-age));
      }
      const counts expected(ratings);
      for (std::uint64_t order = 0; order < 4; ++order) {
        online_item_cf cf({.half_life = half_life});
        add_all(cf, events, order);
        // What is below the smallest double beside the latest events may be lost.
        const auto agrees = [](double found, double value) {
          return tolerance::within(found, value,
                                   tolerance::reduction<double>(100, value) + 0x1p-500);
        };
        for (const auto& [i, count] : expected.of_items) {
          CHECK(agrees(cf.item_count(i), count));
          for (const auto& [j, other] : expected.of_items) {
            if (i == j || expected.of_pairs.count({i, j}) == 0) continue;
            const double pair = expected.of_pairs.at({i, j});
            REQUIRE(agrees(cf.pair_count(i, j), pair));
            if (pair > 0x1p-300)
              REQUIRE(is_close(static_cast<double>(similarity(cf, i, j)),
                               pair / std::sqrt(count) / std::sqrt(other)));
          }
        }
      }
    }
}

TEST_CASE("online_item_cf: weights that leave with their items") {
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    online_item_cf cf({.most_items_of_user = 5});
    std::map<user_id, std::map<item_id, double>> ratings;
    std::map<user_id, std::map<item_id, std::int64_t>> times;
    auto events = random_events(seed, 800, 12, 15, 8, 1);
    for (std::size_t e = 0; e < events.size(); ++e) {
      const sparse_entry& event = events[e];
      events[e].time = static_cast<std::int64_t>(e);
      cf.add(event);
      double& rating = ratings[event.row][event.column];
      rating = std::max(rating, static_cast<double>(event.value));
      auto& of_user = times[event.row];
      of_user[event.column] = event.time;
      if (of_user.size() <= 5) continue;
      const auto oldest =
          std::ranges::min_element(of_user, {}, [](const auto& i) { return i.second; });
      ratings[event.row].erase(oldest->first);
      of_user.erase(oldest);
    }
    const counts expected(ratings);
    for (item_id i = 0; i < 15; ++i) {
      const auto of_item = expected.of_items.find(i);
      CHECK(cf.item_count(i) == (of_item == expected.of_items.end() ? 0 : of_item->second));
      for (item_id j = 0; j < 15; ++j) {
        const auto of_pair = expected.of_pairs.find({i, j});
        CHECK(cf.pair_count(i, j) == (of_pair == expected.of_pairs.end() ? 0 : of_pair->second));
      }
    }
    CHECK(cf.pairs() == expected.of_pairs.size());
  }
}

TEST_CASE("online_item_cf: late events and ends of time") {
  online_item_cf cf({.most_items_of_user = 2});
  cf.add({0, 0, 1, 10}), cf.add({0, 1, 1, 20});
  CHECK_FALSE(cf.add({0, 2, 1, 9}));  // older than both
  CHECK(cf.item_count(2) == 0);
  CHECK(cf.add({0, 2, 1, 15}));  // item 0 leaves, with all that it did
  CHECK(cf.item_count(0) == 0);
  CHECK(cf.pair_count(0, 1) == 0);
  CHECK(cf.pair_count(1, 2) == 1);
  CHECK_FALSE(cf.add({0, 2, 1, 30}));  // the latest from now on
  CHECK(cf.add({0, 3, 1, 25}));
  CHECK(cf.pair_count(2, 3) == 1);
  CHECK(cf.pair_count(1, 2) == 0);
  // Of equal times the lower item leaves.
  CHECK_FALSE(cf.add({0, 1, 1, 25}));
  CHECK(cf.add({0, 9, 1, 25}));
  CHECK(cf.item_count(3) == 0);

  constexpr std::int64_t first = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  for (const double half_life : {1., 3., 1e300}) {
    online_item_cf ends({.half_life = half_life});
    ends.add({0, 0, 1, first}), ends.add({0, 1, 1, last}), ends.add({1, 0, 3e38f, last});
    ends.add({1, 1, 3e38f, last}), ends.add({2, 1, 1, first}), ends.add({2, 2, 1, 0});
    CHECK(is_close(ends.item_count(0), static_cast<double>(3e38f)));
    CHECK(is_close(static_cast<double>(similarity(ends, 0, 1)), 1));
    CHECK(std::isfinite(ends.item_count(2)));
  }
}

TEST_CASE("online_item_cf: numbers of half-lives change no digits") {
  // A step of 1000 half-lives makes all earlier weights 0, but the items stay those of the user.
  online_item_cf cf({.half_life = 2});
  for (std::uint32_t i = 0; i < 4; ++i) cf.add({0, i, 1, 0});
  cf.add({1, 0, 1, 1200}), cf.add({1, 1, 1, 1200});
  CHECK(similarity(cf, 0, 1) == 1);
  CHECK(cf.item_count(0) == 1);
  cf.add({1, 2, 1, 100'000});
  CHECK(cf.item_count(0) == 0);
  CHECK(similarity(cf, 0, 1) == 0);
  CHECK(cf.item_count(2) == 1);
  cf.add({1, 0, 1, 100'000});
  CHECK(similarity(cf, 0, 2) == 1);
}

TEST_CASE("online_item_cf: neighbors are the best, of equal ones the lower item") {
  const auto events = random_events(3, 4000, 60, 80, 1, 1);
  online_item_cf cf({.neighbors = 5});
  add_all(cf, events, 0);
  const neighbor_table table = cf.table();
  REQUIRE(table.size() == 80);
  std::vector<scored_item> all(100);
  for (item_id i = 0; i < 80; ++i) {
    const std::size_t count = cf.neighbors(i, all);
    REQUIRE(count > 40);
    for (std::size_t n = 1; n < count; ++n) CHECK(ranks_before(all[n - 1], all[n]));
    for (const std::size_t few : {0u, 1u, 5u, 33u}) {
      std::vector<scored_item> best(few);
      REQUIRE(cf.neighbors(i, best) == few);
      for (std::size_t n = 0; n < few; ++n) CHECK(best[n].item == all[n].item);
    }
    REQUIRE(table.neighbors(i).size() == 5);
    for (std::size_t n = 0; n < 5; ++n) {
      CHECK(table.neighbors(i)[n] == all[n].item);
      CHECK(table.scores(i)[n] == all[n].score);
    }
  }
  for (const std::size_t threads : {1u, 2u, 4u}) {
    thread_pool pool(threads);
    CHECK(saved_state(cf.table(pool)) == saved_state(table));
  }
  // Items from the number of lists on are left out.
  const neighbor_table part = cf.table(10);
  CHECK(part.size() == 10);
  for (item_id i = 0; i < 10; ++i)
    for (const item_id j : part.neighbors(i)) CHECK(j < 10);
  CHECK(online_item_cf().table().size() == 0);
  CHECK(online_item_cf().table(3).size() == 3);
}

TEST_CASE("online_item_cf: any ids of 32 bits") {
  constexpr item_id last = std::numeric_limits<item_id>::max();
  online_item_cf cf;
  cf.add({last, last}), cf.add({last, 0}), cf.add({0, last}), cf.add({0, 0});
  CHECK(similarity(cf, last, 0) == 1);
  CHECK(similarity(cf, 0, last) == 1);
  CHECK(cf.table(1).neighbors(0).empty());
}

TEST_CASE("online_item_cf keeps the pairs with the highest similarities") {
  online_item_cf cf({.most_items_of_user = 200, .most_pairs_of_item = 16});
  // Item j of 1 to 40 has j users, who like item 0 as well: sim(0, j) = sqrt(j / users of 0).
  user_id user = 0;
  for (std::uint32_t j = 1; j <= 40; ++j)
    for (std::uint32_t n = 0; n < j; ++n, ++user) cf.add({user, j}), cf.add({user, 0});
  std::vector<scored_item> found(100);
  const std::size_t count = cf.neighbors(0, found);
  CHECK(count >= 8);
  CHECK(count <= 16);
  CHECK(found[0].item == 40);
  for (std::size_t n = 0; n < count; ++n) {
    const item_id j = found[n].item;
    CHECK(j >= 20);
    CHECK(cf.pair_count(0, j) >= j - 1);  // the first may have left before the second came
    CHECK(cf.pair_count(0, j) <= j);
  }
  CHECK(cf.pair_count(0, 1) == 0);
  CHECK(cf.pair_count(1, 0) == 1);  // each list is pruned for itself
  // A user with more items than that at once.
  for (std::uint32_t i = 100; i < 160; ++i) cf.add({user, i});
  CHECK(cf.neighbors(159, found) <= 16);
  CHECK(cf.neighbors(159, found) >= 8);
  online_item_cf one({.most_pairs_of_item = 1});
  for (std::uint32_t i = 0; i < 9; ++i) one.add({0, i});
  for (std::uint32_t i = 0; i < 9; ++i) CHECK(one.neighbors(i, found) == 1);
  // Pairs that were pruned and users' items that leave.
  online_item_cf small({.most_items_of_user = 8, .most_pairs_of_item = 5});
  add_all(small, random_events(1, 5000, 40, 60, 4, 1'000'000), 0);
  for (item_id i = 0; i < 60; ++i) {
    const std::size_t n = small.neighbors(i, found);
    CHECK(n <= 5);
    for (std::size_t a = 0; a < n; ++a) CHECK(found[a].score <= 1);
  }
}

TEST_CASE("online_item_cf: Hoeffding's bound takes out what is no neighbor any more") {
  const auto run = [](double delta) {
    online_item_cf cf({.neighbors = 4, .prune_delta = delta});
    // Items 0 to 4 are liked together, and each of many others now and then, some of them often.
    random_generator bits(5);
    for (user_id user = 0; user < 2000; ++user) {
      for (item_id i = 0; i < 5 && user % 2 == 0; ++i) cf.add({user, i});
      for (int n = 0; n < 3; ++n)
        cf.add({user, static_cast<item_id>(5 + uniform_below(bits, 1 + uniform_below(bits, 300)))});
    }
    return cf;
  };
  const online_item_cf all = run(0), pruned = run(.01), careful = run(1e-9);
  CHECK(pruned.pairs() < careful.pairs());
  CHECK(careful.pairs() <= all.pairs());
  for (item_id i = 0; i < 5; ++i)
    for (item_id j = 0; j < 5; ++j) CHECK(similarity(pruned, i, j) == similarity(all, i, j));
}

TEST_CASE("online_item_cf is loaded and goes on with the same bits") {
  for (const double half_life : {0., 20.})
    for (const double delta : {0., .3}) {
      const online_item_cf_options options{.neighbors = 3,
                                           .most_items_of_user = 9,
                                           .most_pairs_of_item = 20,
                                           .half_life = half_life,
                                           .prune_delta = delta};
      const auto events = random_events(8, 6000, 50, 70, 5, 3000);
      online_item_cf whole(options), loaded;
      for (std::size_t e = 0; e < events.size(); ++e) {
        whole.add(events[e]);
        if (e == 2500) {
          saved_state(whole).load(loaded);
          CHECK(saved_state(loaded) == saved_state(whole));
          CHECK(loaded.options().most_items_of_user == 9);
        }
        if (e > 2500) loaded.add(events[e]);
      }
      CHECK(saved_state(loaded) == saved_state(whole));
      CHECK(saved_state(loaded.table()) == saved_state(whole.table()));
    }
}

TEST_CASE("online_item_cf: a damaged state is refused") {
  online_item_cf cf({.half_life = 5});
  add_all(cf, random_events(8, 60, 5, 7, 5, 30), 0);
  const saved_state state(cf);
  const auto refused = [&](const std::string& path, const auto& values, const char* words) {
    return refuses_state(cf, state.with(path, values), words);
  };
  using ids = std::vector<std::uint64_t>;
  using numbers = std::vector<double>;
  CHECK(refused("neighbors", ids{0}, "neighbors is 0"));
  CHECK(refused("half_life", numbers{-1}, "half_life is -1"));
  CHECK(refused("half_life", numbers{0}, "decay is damaged"));
  CHECK(refused("most_items_of_user", ids{1}, "list of entries"));
  CHECK(refused("decay.origin", numbers{std::nan("")}, "decay is damaged"));
  CHECK(refused("decay.origin", numbers{1e6}, "decay is damaged"));
  CHECK(refused("user_ids.ids", ids{0, 1, 2}, "items_of_users has 5"));
  CHECK(refused("user_ids.ids", ids{0, 1, 2, 3, std::uint64_t{1} << 32}, "an id is 4294967296"));
  CHECK(refused("item_ids.ids", ids{0, 1, 2, 3, 4, 5}, "entries is damaged"));
  CHECK(refused("item_ids.ids", ids{0, 1, 2, 3, 4, 5, 6, 7}, "do not fit together"));
  CHECK(refused("sums", numbers(7, -1), "do not fit together"));
  CHECK(refused("sums", numbers(6, 1), "do not fit together"));
  CHECK(refused("items", std::vector<std::uint32_t>(3), "items has 3 values"));
  CHECK(refused("times", std::vector<std::int64_t>(3), "times has 3 values"));
  CHECK(refused("ratings", numbers(3), "ratings has 3 values"));
  const std::size_t events = state.fields.at("ratings").size() / 8;
  CHECK(refused("ratings", numbers(events, std::nan("")), "a rating is"));
  CHECK(refused("items", std::vector<std::uint32_t>(events), "each once"));
  CHECK(refused("pairs.offsets", ids{0}, "lists of pairs"));
  const std::size_t pairs = state.fields.at("pairs.sums").size() / 8;
  CHECK(refused("pairs.sums", numbers(pairs, -1), "lists of pairs"));
  CHECK(refused("pairs.sums", numbers(pairs, INFINITY), "lists of pairs"));
  CHECK(refused("pairs.users", std::vector<std::uint32_t>(pairs), "lists of pairs"));
  CHECK(refused("pairs.others", std::vector<std::uint32_t>(pairs, 99), "lists of pairs"));
  CHECK(refused("pairs.others", std::vector<std::uint32_t>(pairs, 0), "lists of pairs"));
  CHECK(refused("pairs.full_at", std::vector<std::uint32_t>(7, 1), "lists of pairs"));
  ids offsets(8, pairs);
  offsets[0] = 0;
  offsets[3] = largest;
  CHECK(refused("pairs.offsets", offsets, "lists of pairs"));
}

TEST_CASE("online_item_cf: options and events out of range") {
  const auto refused = [](const online_item_cf_options& options, const char* words) {
    return refuses([&] { online_item_cf{options}; }, "funnel::online_item_cf: ", words);
  };
  CHECK(refused({.neighbors = 0}, "neighbors is 0"));
  CHECK(refused({.min_users = 0}, "min_users is 0"));
  CHECK(refused({.most_items_of_user = 0}, "most_items_of_user is 0"));
  CHECK(refused({.most_pairs_of_item = 0}, "most_pairs_of_item is 0"));
  for (const double bad : {-1., .5, std::nan(""), static_cast<double>(INFINITY)})
    CHECK(refused({.half_life = bad}, "half_life is"));
  for (const double bad : {-.1, 1., std::nan("")})
    CHECK(refused({.prune_delta = bad}, "prune_delta is"));
  for (const std::size_t many : {largest, largest / 2 + 1}) {
    online_item_cf cf({.neighbors = many,
                       .most_items_of_user = many,
                       .most_pairs_of_item = many,
                       .prune_delta = .1});
    for (std::uint32_t i = 0; i < 20; ++i) cf.add({i % 3, i % 7});
    CHECK(cf.table().neighbors(0).size() == 6);
    cf = online_item_cf({.min_users = many});
    for (std::uint32_t i = 0; i < 20; ++i) cf.add({i % 3, i % 7});
    CHECK(cf.table().neighbors(0).empty());
  }
  online_item_cf cf;
  for (const float bad : {0.f, -1.f, std::nanf(""), INFINITY})
    CHECK(refuses([&] { cf.add({1, 2, bad}); }, "funnel::online_item_cf::add", "value is"));
  CHECK(saved_state(cf) == saved_state(online_item_cf()));
}
