// SPDX-License-Identifier: MIT
#include <funnel/retrieval/online_swing.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/retrieval/swing.hpp>

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
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();

/// As close as documented: 12 digits.
bool is_close(double found, double expected) {
  return tolerance::within(found, expected, tolerance::promised(1e-12, expected));
}
bool is_close_float(float found, double expected) {
  return tolerance::within(static_cast<double>(found), expected,
                           tolerance::elementwise<float>(expected));
}

std::vector<sparse_entry> random_events(std::uint64_t seed, std::size_t count, std::size_t users,
                                        std::size_t items, std::size_t times) {
  random_generator bits(seed);
  std::vector<sparse_entry> events;
  for (std::size_t e = 0; e < count; ++e)
    events.push_back({static_cast<std::uint32_t>(uniform_below(bits, users)),
                      static_cast<std::uint32_t>(uniform_below(bits, items)), 1,
                      static_cast<std::int64_t>(uniform_below(bits, times))});
  return events;
}

void add_all(online_swing& swing, std::vector<sparse_entry> events, std::uint64_t order = 0) {
  random_generator bits(order);
  if (order > 0) shuffle(bits, events);
  for (const sparse_entry& e : events) swing.add(e);
}

/// A swing of the items of some users, with the users in an order of their own.
online_swing replayed(const std::vector<std::vector<item_id>>& items_of_users,
                      const online_swing_options& options, std::uint64_t order) {
  std::vector<sparse_entry> events;
  for (std::size_t u = 0; u < items_of_users.size(); ++u)
    for (const item_id i : items_of_users[u]) events.push_back({static_cast<user_id>(u), i});
  online_swing result(options);
  add_all(result, events, order);
  return result;
}

using item_sets = std::map<user_id, std::set<item_id>>;
using pair_sums = std::map<std::pair<item_id, item_id>, double>;

double weight_of(std::size_t items, const online_swing_options& o) {
  return std::pow(static_cast<double>(items) + o.user_alpha, -o.user_beta);
}

/// All similarities by the definition.
pair_sums sums_of(const item_sets& users, const online_swing_options& o) {
  pair_sums sums;
  for (const auto& [u, of_u] : users)
    for (const auto& [v, of_v] : users) {
      if (u >= v) continue;
      std::vector<item_id> common;
      std::ranges::set_intersection(of_u, of_v, std::back_inserter(common));
      const double term = weight_of(of_u.size(), o) * weight_of(of_v.size(), o) /
                          (o.alpha + static_cast<double>(common.size()) - (o.without_item ? 1 : 0));
      for (const item_id i : common)
        for (const item_id j : common)
          if (i != j) sums[{i, j}] += term;
    }
  return sums;
}

void check_sums(const online_swing& swing, item_id items, const pair_sums& sums) {
  for (item_id i = 0; i < items; ++i)
    for (item_id j = 0; j < items; ++j) {
      const auto found = sums.find({i, j});
      REQUIRE(is_close(swing.similarity(i, j), found == sums.end() ? 0 : found->second));
    }
  CHECK(swing.pairs() == sums.size());
}

/// The events that are kept.
struct kept_events {
  std::map<std::pair<user_id, item_id>, std::int64_t> times;

  /// Whether the event is a new one, by the caps.
  bool add(const sparse_entry& e, const online_swing_options& o) {
    const auto known = times.find({e.row, e.column});
    if (known != times.end()) {
      known->second = std::max(known->second, e.time);
      return false;
    }
    std::vector<std::pair<std::int64_t, std::uint32_t>> items, users;
    for (const auto& [key, time] : times) {
      if (key.first == e.row) items.push_back({time, key.second});
      if (key.second == e.column) users.push_back({time, key.first});
    }
    const bool items_full = items.size() >= o.most_items_of_user;
    const bool users_full = users.size() >= o.most_users_of_item;
    if (items_full && std::pair(e.time, e.column) < std::ranges::min(items)) return false;
    if (users_full && std::pair(e.time, e.row) < std::ranges::min(users)) return false;
    if (items_full) times.erase({e.row, std::ranges::min(items).second});
    if (users_full) times.erase({std::ranges::min(users).second, e.column});
    times[{e.row, e.column}] = e.time;
    return true;
  }
  item_sets users() const {
    item_sets sets;
    for (const auto& [key, time] : times) sets[key.first].insert(key.second);
    return sets;
  }
};

}  // namespace

TEST_CASE("online_swing of three users: 13/15, event by event") {
  online_swing swing;
  // h, t, r, p
  for (const item_id i : {0u, 1u, 2u, 3u}) {
    CHECK(swing.add({0, i}));
    CHECK(swing.pairs() == 0);  // no pair of users yet
  }
  swing.add({1, 0});
  CHECK(swing.similarity(0, 3) == 0);
  swing.add({1, 3});
  CHECK(is_close(swing.similarity(0, 3), 1. / 3));
  swing.add({1, 1});
  CHECK(is_close(swing.similarity(0, 3), 1. / 4));
  CHECK(is_close(swing.similarity(1, 3), 1. / 4));
  swing.add({1, 2}), swing.add({2, 0});
  CHECK(is_close(swing.similarity(0, 3), 1. / 5));
  CHECK(swing.add({2, 3}));
  CHECK_FALSE(swing.add({2, 3}));
  CHECK(is_close(swing.similarity(0, 3), 13. / 15));
  CHECK(is_close(swing.similarity(3, 0), 13. / 15));
  CHECK(is_close(swing.similarity(0, 1), 1. / 5));
  std::vector<scored_item> found(9);
  REQUIRE(swing.neighbors(0, found) == 3);
  CHECK(found[0].item == 3);
  CHECK(is_close_float(found[0].score, 13. / 15));
  CHECK(found[1].item == 1);
  CHECK(found[2].item == 2);
}

TEST_CASE("online_swing: the values of Flink ML and of LibRecommender") {
  for (std::uint64_t order = 0; order < 20; ++order) {
    const online_swing flink = replayed({{0, 1, 2}, {3, 2}, {0, 1, 2}, {3, 2}},
                                        {.alpha = 0, .user_alpha = 15, .user_beta = .3}, order);
    const double a = .058845768947156235, b = .09134833828228624;
    CHECK(is_close(flink.similarity(0, 1), a));
    CHECK(is_close(flink.similarity(0, 2), a));
    CHECK(is_close(flink.similarity(1, 2), a));
    CHECK(is_close(flink.similarity(2, 3), b));
    CHECK(flink.similarity(0, 3) == 0);
    const std::vector<std::vector<item_id>> users{{0, 1, 2, 3}, {0, 1, 3}, {0, 2, 3, 4}};
    const online_swing lib =
        replayed(users, {.alpha = 1, .user_beta = .5, .without_item = true}, order);
    CHECK(is_close(lib.similarity(0, 3), .32389594549567746));
    CHECK(is_close(lib.similarity(0, 1), .09622504486493764));
    CHECK(is_close(lib.similarity(0, 2), .08333333333333333));
    CHECK(lib.similarity(0, 4) == 0);
    const online_swing plain = replayed(users, {.alpha = 1, .user_beta = .5}, order);
    CHECK(is_close(plain.similarity(0, 3), .2308938285136408));
    CHECK(is_close(plain.similarity(0, 1), .0721687836487032));
    CHECK(is_close(plain.similarity(0, 2), .0625));
  }
}

TEST_CASE("online_swing is swing, in any order of the events") {
  for (const double beta : {0., .5})
    for (std::uint64_t seed = 1; seed < 4; ++seed)
      for (const bool without : {false, true}) {
        const auto events = random_events(seed, 350, 25, 20, 10);
        item_sets users;
        for (const sparse_entry& e : events) users[e.row].insert(e.column);
        const online_swing_options options{
            .alpha = .5, .user_alpha = 2, .user_beta = beta, .without_item = without};
        const pair_sums sums = sums_of(users, options);
        const neighbor_table batch =
            swing(sparse_matrix(events, {.rows = 25, .columns = 20}), {.alpha = .5,
                                                                       .user_alpha = 2,
                                                                       .user_beta = beta,
                                                                       .without_item = without,
                                                                       .most_users_of_item = 1000});
        for (std::uint64_t order = 0; order < 3; ++order) {
          online_swing online(options);
          add_all(online, events, order);
          check_sums(online, 20, sums);
          const neighbor_table table = online.table(20);
          for (item_id i = 0; i < 20; ++i) {
            REQUIRE(table.neighbors(i).size() == batch.neighbors(i).size());
            for (std::size_t n = 0; n < table.scores(i).size(); ++n)
              CHECK(is_close_float(table.scores(i)[n], static_cast<double>(batch.scores(i)[n])));
          }
        }
      }
}

TEST_CASE("online_swing is that of the events that are kept") {
  for (const double beta : {0., .7})
    for (const auto& [most_items, most_users] : std::vector<std::pair<std::size_t, std::size_t>>{
             {6, largest}, {largest, 5}, {7, 4}, {3, 2}, {1, 1}}) {
      const online_swing_options options{.alpha = 1,
                                         .user_beta = beta,
                                         .most_items_of_user = most_items,
                                         .most_users_of_item = most_users};
      online_swing online(options);
      kept_events kept;
      const auto events = random_events(most_items + 1, 500, 15, 18, 60);
      for (std::size_t e = 0; e < events.size(); ++e) {
        REQUIRE(online.add(events[e]) == kept.add(events[e], options));
        if (e % 50 == 49) {
          const pair_sums sums = sums_of(kept.users(), options);
          check_sums(online, 18, sums);
        }
      }
    }
}

TEST_CASE("online_swing: additions add the terms of the moment") {
  const online_swing_options options{.alpha = 1,
                                     .user_alpha = 1,
                                     .user_beta = .5,
                                     .updates = swing_updates::additions,
                                     .most_items_of_user = 6,
                                     .most_users_of_item = 5,
                                     .half_life = 20};
  online_swing online(options);
  kept_events kept;
  pair_sums sums;
  std::int64_t newest = 0;
  auto events = random_events(4, 900, 15, 18, 30);
  for (std::size_t e = 0; e < events.size(); ++e) {
    events[e].time += static_cast<std::int64_t>(15 * e);  // many more than 512 half-lives in all
    const bool added = kept.add(events[e], options);
    CHECK(online.add(events[e]) == added);
    if (!added) continue;
    const sparse_entry& event = events[e];
    for (auto& [key, sum] : sums)
      sum *= std::exp2(-static_cast<double>(std::max(newest, event.time) - newest) / 20);
    newest = std::max(newest, event.time);
    const item_sets users = kept.users();
    const std::set<item_id>& own = users.at(event.row);
    for (const auto& [v, of_v] : users) {
      if (v == event.row || !of_v.contains(event.column)) continue;
      std::vector<item_id> common;
      std::ranges::set_intersection(own, of_v, std::back_inserter(common));
      for (const item_id j : common) {
        if (j == event.column) continue;
        const double term = weight_of(own.size(), options) * weight_of(of_v.size(), options) /
                            (1 + static_cast<double>(common.size())) *
                            std::exp2(-static_cast<double>(newest - event.time) / 20);
        sums[{event.column, j}] += term;
        sums[{j, event.column}] += term;
      }
    }
  }
  CHECK(sums.size() > 200);
  for (const auto& [key, sum] : sums)
    CHECK(tolerance::within(online.similarity(key.first, key.second), sum,
                            tolerance::promised(1e-11, sum) + 0x1p-500));
  // Without a half-life, no exact similarity is above that of additions.
  online_swing exact({.user_beta = 0}), more({.updates = swing_updates::additions});
  add_all(exact, events), add_all(more, events);
  for (item_id i = 0; i < 18; ++i)
    for (item_id j = 0; j < 18; ++j)
      CHECK(exact.similarity(i, j) <= more.similarity(i, j) * (1 + tolerance::promised(1e-12, 1)));
}

TEST_CASE("online_swing: tables, pairs that leave, and any ids of 32 bits") {
  const auto events = random_events(3, 2000, 60, 40, 1000);
  online_swing swing({.neighbors = 5}), few({.most_pairs_of_item = 8});
  add_all(swing, events), add_all(few, events);
  const neighbor_table table = swing.table();
  std::vector<scored_item> found(100);
  for (item_id i = 0; i < 40; ++i) {
    REQUIRE(swing.neighbors(i, found) > 8);
    REQUIRE(table.neighbors(i).size() == 5);
    for (std::size_t n = 0; n < 5; ++n) {
      CHECK(table.neighbors(i)[n] == found[n].item);
      CHECK(table.scores(i)[n] == found[n].score);
    }
    CHECK(few.neighbors(i, found) <= 8);
    CHECK(few.neighbors(i, found) >= 1);
    for (item_id j = 0; j < 40; ++j)
      CHECK(few.similarity(i, j) <= 1.000001 * swing.similarity(i, j));
  }
  for (const std::size_t threads : {1u, 2u, 4u}) {
    thread_pool pool(threads);
    CHECK(saved_state(swing.table(pool)) == saved_state(table));
  }
  online_swing mixed({.most_items_of_user = 5, .most_users_of_item = 6, .most_pairs_of_item = 3});
  add_all(mixed, events);
  for (item_id i = 0; i < 40; ++i) CHECK(mixed.neighbors(i, found) <= 3);
  constexpr item_id last = std::numeric_limits<item_id>::max();
  online_swing ids;
  for (const user_id u : {last, 0u})
    for (const item_id i : {last, 0u}) ids.add({u, i, 1, std::numeric_limits<std::int64_t>::max()});
  CHECK(is_close(ids.similarity(last, 0), 1. / 3));
  CHECK(ids.table(1).neighbors(0).empty());
  CHECK(online_swing().table().size() == 0);
}

TEST_CASE("online_swing is loaded and goes on with the same bits") {
  for (const swing_updates updates : {swing_updates::exact, swing_updates::additions}) {
    const online_swing_options options{.user_beta = .5,
                                       .updates = updates,
                                       .neighbors = 3,
                                       .most_items_of_user = 9,
                                       .most_users_of_item = 11,
                                       .most_pairs_of_item = 20,
                                       .half_life = updates == swing_updates::exact ? 0. : 30.};
    const auto events = random_events(8, 3000, 50, 70, 3000);
    online_swing whole(options), loaded;
    for (std::size_t e = 0; e < events.size(); ++e) {
      whole.add(events[e]);
      if (e == 1500) {
        saved_state(whole).load(loaded);
        CHECK(saved_state(loaded) == saved_state(whole));
        CHECK(loaded.options().most_items_of_user == 9);
      }
      if (e > 1500) loaded.add(events[e]);
    }
    CHECK(saved_state(loaded) == saved_state(whole));
    CHECK(saved_state(loaded.table()) == saved_state(whole.table()));
  }
}

TEST_CASE("online_swing: a damaged state is refused") {
  online_swing swing;
  add_all(swing, random_events(8, 60, 5, 7, 30));
  const saved_state state(swing);
  const auto refused = [&](const std::string& path, const auto& values, const char* words) {
    return refuses_state(swing, state.with(path, values), words);
  };
  using ids = std::vector<std::uint64_t>;
  using rows = std::vector<std::uint32_t>;
  CHECK(refused("neighbors", ids{0}, "neighbors is 0"));
  CHECK(refused("updates", std::vector<std::uint8_t>{2}, "updates is 2"));
  CHECK(refused("alpha", std::vector<double>{-1}, "alpha is -1"));
  CHECK(refused("half_life", std::vector<double>{3}, "half_life is 3"));
  CHECK(refused("most_items_of_user", ids{1}, "list of entries"));
  CHECK(refused("most_users_of_item", ids{1}, "list of entries"));
  CHECK(refused("user_ids.ids", ids{0, 1, 2}, "items_of_users has 5"));
  CHECK(refused("user_ids.ids", ids{0, 1, 2, 3, std::uint64_t{1} << 32}, "an id is 4294967296"));
  CHECK(refused("item_ids.ids", ids{0, 1, 2, 3, 4, 5}, "users_of_items has 7"));
  const std::size_t events = state.fields.at("times").size() / 8;
  CHECK(refused("times", std::vector<std::int64_t>(3), "times has 3 values"));
  CHECK(refused("items", rows(events), "each once"));
  CHECK(refused("users", rows(events), "each once"));
  // Users of an item that do not have it.
  rows users(events);
  std::memcpy(users.data(), state.fields.at("users").data(), 4 * events);
  rows counts(7);
  std::memcpy(counts.data(), state.fields.at("users_of_items").data(), 28);
  std::size_t begin = 0, changed = 0;
  for (const std::uint32_t count : counts) {
    for (std::uint32_t u = 0; u < 5 && count > 0 && count < 5; ++u)
      if (std::ranges::find(users.begin() + static_cast<std::ptrdiff_t>(begin),
                            users.begin() + static_cast<std::ptrdiff_t>(begin + count),
                            u) == users.begin() + static_cast<std::ptrdiff_t>(begin + count)) {
        rows others = users;
        others[begin] = u;
        CHECK(refused("users", others, "do not fit together"));
        ++changed;
      }
    begin += count;
  }
  CHECK(changed > 0);
  CHECK(refused("pairs.full_at", rows(6, 2001), "lists of pairs"));
}

TEST_CASE("online_swing: options and events out of range") {
  const auto refused = [](const online_swing_options& options, const char* words) {
    return refuses([&] { online_swing{options}; }, "funnel::online_swing: ", words);
  };
  for (const double bad : {-1., std::nan(""), static_cast<double>(INFINITY)}) {
    CHECK(refused({.alpha = bad}, "alpha is"));
    CHECK(refused({.user_alpha = bad}, "user_alpha is"));
    CHECK(refused({.user_beta = bad}, "user_beta is"));
    CHECK(refused({.updates = swing_updates::additions, .half_life = bad}, "half_life is"));
  }
  CHECK(refused({.alpha = 0, .without_item = true}, "alpha is 0, expected above 0"));
  CHECK(refused({.updates = static_cast<swing_updates>(2)}, "updates is 2, expected below 2"));
  CHECK(refused({.half_life = 5}, "half_life is 5, expected 0 without additions"));
  CHECK(refused({.neighbors = 0}, "neighbors is 0"));
  CHECK(refused({.most_items_of_user = 0}, "most_items_of_user is 0"));
  CHECK(refused({.most_users_of_item = 0}, "most_users_of_item is 0"));
  CHECK(refused({.most_pairs_of_item = 0}, "most_pairs_of_item is 0"));
  for (const std::size_t many : {largest, largest / 2 + 1}) {
    online_swing swing({.neighbors = many,
                        .most_items_of_user = many,
                        .most_users_of_item = many,
                        .most_pairs_of_item = many});
    for (std::uint32_t i = 0; i < 20; ++i) swing.add({i % 3, i % 7});
    CHECK(swing.table().neighbors(0).size() == 6);
  }
  online_swing swing;
  for (const float bad : {0.f, -1.f, std::nanf(""), INFINITY})
    CHECK(refuses([&] { swing.add({1, 2, bad}); }, "funnel::online_swing::add", "value is"));
  CHECK(saved_state(swing) == saved_state(online_swing()));
}
