// SPDX-License-Identifier: MIT
#include <funnel/sequence/history_store.hpp>

#include <funnel/core/random.hpp>
#include <funnel/sequence/history_search.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using found = std::vector<std::uint32_t>;

constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
constexpr cluster_id none = std::numeric_limits<cluster_id>::max();
constexpr std::int64_t end_of_time = stored_history::end_of_time;

found of_category(const stored_history& history, category_id category, std::size_t most = 100,
                  std::int64_t before = end_of_time) {
  found positions(most);
  positions.resize(history.of_category(category, positions, before));
  return positions;
}
found of_cluster(const stored_history& history, cluster_id cluster, std::size_t most = 100,
                 std::int64_t before = end_of_time) {
  found positions(most);
  positions.resize(history.of_cluster(cluster, positions, before));
  return positions;
}

found of_either(const stored_history& history, category_id category, cluster_id cluster,
                std::size_t most, std::int64_t before = end_of_time) {
  found positions(most);
  positions.resize(history.of_either(category, cluster, positions, before));
  return positions;
}

/// The same by the definition: lists of events, and the order of the users.
struct naive_store {
  history_store_options options;
  std::map<user_id, std::deque<history_event>> histories;
  std::list<user_id> order;

  void append(user_id user, const history_event& event) {
    auto& mine = histories[user];
    mine.push_back(event);
    if (mine.size() > options.events_per_user) mine.pop_front();
    order.remove(user);
    order.push_back(user);
    while (events() > options.events) remove(order.front());
  }
  void remove(user_id user) {
    histories.erase(user);
    order.remove(user);
  }
  std::size_t events() const {
    std::size_t sum = 0;
    for (const auto& [user, mine] : histories) sum += mine.size();
    return sum;
  }
  template <class Field>
  found newest(user_id user, Field field, std::uint32_t id, std::size_t most,
               std::int64_t before) const {
    found positions;
    const auto known = histories.find(user);
    if (known == histories.end()) return positions;
    for (std::size_t i = known->second.size(); i-- > 0 && positions.size() < most;) {
      const history_event& e = known->second[i];
      if (e.*field == id && (before == end_of_time || e.time < before))
        positions.push_back(static_cast<std::uint32_t>(i));
    }
    return positions;
  }
};

void check_same(const history_store& store, const naive_store& expected, std::size_t users) {
  CHECK(store.users() == expected.histories.size());
  CHECK(store.events() == expected.events());
  for (user_id user = 0; user < users; ++user) {
    const stored_history mine = store[user];
    const auto known = expected.histories.find(user);
    REQUIRE(mine.size() == (known == expected.histories.end() ? 0 : known->second.size()));
    bool same = true;
    for (std::size_t i = 0; i < mine.size(); ++i) same = same && mine[i] == known->second[i];
    CHECK(same);
    for (std::uint32_t id = 0; id < 6; ++id)
      for (const std::size_t most : {0u, 1u, 3u, 100u})
        for (const std::int64_t before : {std::int64_t{20}, std::int64_t{60}, end_of_time}) {
          CHECK(of_category(mine, id, most, before) ==
                (id == 0 ? found{}
                         : expected.newest(user, &history_event::category, id, most, before)));
          CHECK(of_cluster(mine, id, most, before) ==
                expected.newest(user, &history_event::cluster, id, most, before));
          for (const cluster_id cluster : {1u, 5u, none}) {
            const found all = of_category(mine, id, 1000, before),
                        others = of_cluster(mine, cluster, 1000, before);
            found both;
            std::ranges::set_union(all, others, std::back_inserter(both), std::greater<>());
            if (both.size() > most) both.resize(most);
            CHECK(of_either(mine, id, cluster, most, before) == both);
          }
        }
  }
}

history_event random_event(random_generator& bits, std::int64_t time) {
  return {static_cast<item_id>(uniform_below(bits, 50)),
          static_cast<category_id>(uniform_below(bits, 5)),
          static_cast<cluster_id>(uniform_below(bits, 4)),
          static_cast<std::uint32_t>(uniform_below(bits, 3)), time};
}

}  // namespace

TEST_CASE("history_store: the events of a category and a cluster, newest first") {
  history_store store;
  store.append(7, {10, 1, 8, 0, 100});
  store.append(7, {11, 2, 8, 1, 100});
  store.append(9, {12, 1, 8, 1, 5});
  store.append(7, {10, 1, 9, 0, 120});
  store.append(7, {13, 0, none, 0, 130});
  CHECK(store.users() == 2);
  CHECK(store.events() == 5);
  const stored_history mine = store[7];
  REQUIRE(mine.size() == 4);
  CHECK(mine[1] == history_event{11, 2, 8, 1, 100});
  CHECK(of_category(mine, 1) == found{2, 0});
  CHECK(of_category(mine, 1, 1) == found{2});
  CHECK(of_category(mine, 1, 1, 120) == found{0});
  CHECK(of_category(mine, 1, 100, 100).empty());
  CHECK(of_cluster(mine, 8) == found{1, 0});
  CHECK(of_category(mine, 0).empty());  // no category, no cluster
  CHECK(of_cluster(mine, none).empty());
  CHECK(of_category(mine, 3).empty());
  CHECK(of_category(store[9], 1) == found{0});
  CHECK(mine.count_before(100) == 0);
  CHECK(mine.count_before(101) == 2);
  CHECK(mine.count_before(131) == 4);
  CHECK(store[8].empty());
  CHECK(store[8].count_before(5) == 0);
  CHECK(of_category(store[8], 1).empty());
  // The lists are as `filter_union` takes them.
  found positions(10);
  const found a = of_category(mine, 1), b = of_cluster(mine, 8);
  positions.resize(filter_union({std::span(a), std::span(b)}, positions));
  CHECK(positions == found{0, 1, 2});
}

TEST_CASE("history_store: as lists of events, while the oldest leave and users are forgotten") {
  for (const history_store_options& options :
       {history_store_options{.events_per_user = 1000, .events = 100'000},
        history_store_options{.events_per_user = 1, .events = 3},
        history_store_options{.events_per_user = 5, .events = 5},
        history_store_options{.events_per_user = 7, .events = 40},
        history_store_options{.events_per_user = 33, .events = 100}}) {
    random_generator bits(options.events_per_user);
    history_store store(options);
    naive_store expected{options, {}, {}};
    for (std::int64_t t = 0; t < 600; ++t) {
      const auto user = static_cast<user_id>(uniform_below(bits, 1 + uniform_below(bits, 9)));
      const history_event event = random_event(bits, t / 4);
      store.append(user, event);
      expected.append(user, event);
      if (t % 97 == 5) {
        CHECK(store.remove(user));
        CHECK_FALSE(store.remove(user));
        expected.remove(user);
      }
      if (t % 50 == 3) check_same(store, expected, 10);
    }
    check_same(store, expected, 10);

    // Saved and loaded, it goes on as before.
    const saved_state saved(store);
    history_store loaded;
    saved.load(loaded);
    CHECK(saved_state(loaded) == saved);
    history_store copy;
    copy = loaded;
    history_store moved = std::move(copy);
    for (std::int64_t t = 600; t < 700; ++t) {
      const auto user = static_cast<user_id>(uniform_below(bits, 10));
      const history_event event = random_event(bits, t);
      loaded.append(user, event);
      moved.append(user, event);
      expected.append(user, event);
    }
    check_same(loaded, expected, 10);
    check_same(moved, expected, 10);
  }
}

TEST_CASE("history_store: a moved-from store is empty or can be assigned to") {
  history_store store;
  store.append(1, {1, 1, 1, 1, 1});
  const history_store moved = std::move(store);
  CHECK(moved.events() == 1);
  store = history_store();
  store.append(2, {1, 1, 1, 1, 1});
  CHECK(store.events() == 1);
  CHECK(store.users() == 1);
}

TEST_CASE("history_store: extreme ids and times") {
  history_store store({.missing_category = 5, .missing_cluster = 5});
  constexpr auto first = std::numeric_limits<std::int64_t>::min();
  store.append(none, {none, none, none, none, first});
  store.append(none, {0, none, 0, 0, end_of_time});
  CHECK(of_category(store[none], none) == found{1, 0});
  CHECK(of_category(store[none], none, 9, end_of_time - 1) == found{0});
  CHECK(of_cluster(store[none], none) == found{0});
  CHECK(store[none].count_before(end_of_time) == 1);
  store.append(none, {0, 5, 5, 0, end_of_time});
  CHECK(of_category(store[none], 5).empty());
  CHECK(of_cluster(store[none], 5).empty());
}

TEST_CASE("history_store: what is refused") {
  const auto refused = [](const history_store_options& options, const char* words) {
    return refuses([&] { history_store{options}; }, "funnel::history_store", words);
  };
  CHECK(refused({.events_per_user = 0}, "events_per_user is 0, expected 1 to 4294967295"));
  CHECK(refused({.events_per_user = largest}, "events_per_user is 1844"));
  CHECK(refused({.events_per_user = std::size_t{1} << 63}, "events_per_user is 922"));
  CHECK(refused({.events_per_user = 9, .events = 8}, "events is 8, expected 9 or more"));
  CHECK(refused({.events = 0}, "events is 0"));
  history_store store({.events = largest});
  store.append(3, {.time = 10});
  CHECK(refuses([&] { store.append(3, {.time = 9}); }, "funnel::history_store::append",
                "time is 9, expected 10 or later, the time of the newest event of user 3"));
  CHECK(store.events() == 1);
  CHECK(refuses([&] { store[3][1]; }, "funnel::stored_history", "position is 1, expected below 1"));
  CHECK(refuses([&] { store[4][0]; }, "funnel::stored_history", "position is 0, expected below 0"));
}

TEST_CASE("history_store: damaged states") {
  history_store store({.events_per_user = 3, .events = 6});
  for (std::uint32_t t = 0; t < 3; ++t) store.append(1, {t, t, t, t, t});
  store.append(2, {4, 4, 4, 4, 4});
  const saved_state saved(store);
  using u32 = std::vector<std::uint32_t>;
  using u64 = std::vector<std::uint64_t>;
  const auto refused = [&](const saved_state& state, const char* words) {
    return refuses_state(store, state, words);
  };
  CHECK(refused(saved.with("items", u32{1, 2, 3}), "do not fit together"));
  CHECK(refused(saved.with("actions", u32{}), "do not fit together"));
  CHECK(refused(saved.with("users", u32{1}), "do not fit together"));
  CHECK(refused(saved.with("users", u32{1, 1}), "those of user 1"));
  CHECK(refused(saved.with("sizes", u64{3, 0}), "those of user 2"));
  CHECK(refused(saved.with("sizes", u64{3, 2}), "those of user 2"));
  CHECK(refused(saved.with("sizes", u64{3, largest}), "those of user 2"));
  CHECK(refused(saved.with("sizes", u64{2, 1}), "belong to no user"));
  CHECK(refused(saved.with("events_per_user", u64{2}), "those of user 1"));
  CHECK(refused(saved.with("events_per_user", u64{0}), "events_per_user is 0"));
  CHECK(refused(saved.with("events", u64{2}), "do not fit together"));
  CHECK(refused(saved.with("times", std::vector<std::int64_t>{0, 5, 2, 4}), "time is 2"));
  CHECK(store.events() == 4);
}
