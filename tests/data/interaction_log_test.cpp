// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>
#include <funnel/data/interaction_log.hpp>

#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

using funnel::impression;

namespace {

impression make(funnel::user_id user, funnel::item_id item, std::int64_t time_ms, std::int32_t date,
                float play_s = 0) {
  impression e;
  e.user = user;
  e.item = item;
  e.time_ms = time_ms;
  e.date = date;
  e.play_s = play_s;
  return e;
}

}  // namespace

TEST_CASE("interaction_log finds an action by its name") {
  funnel::interaction_log log;
  CHECK(refuses([&] { log.action("click"); }, "funnel::interaction_log::action",
                "name is \"click\", expected nothing: the log has no actions"));
  log.actions = {"click", "cart", "pay"};
  CHECK(log.action("click") == 0);
  CHECK(log.action("pay") == 2);
  CHECK(refuses([&] { log.action("buy"); }, "funnel::interaction_log::action",
                "name is \"buy\", expected one of \"click\", \"cart\", \"pay\""));
  CHECK(refuses([&] { log.action(""); }, "funnel::interaction_log::action", "name is \"\""));
  impression e;
  e.done.set(log.action("cart"));
  CHECK((e.did(log.action("cart")) && !e.did(log.action("click"))));
}

TEST_CASE("action_set holds every position below 32 on its own") {
  CHECK(funnel::action_set{}.empty());
  CHECK(funnel::action_set() == funnel::action_set{});
  for (std::size_t a = 0; a < funnel::action_set::capacity; ++a) {
    funnel::action_set done;
    done.set(a);
    CHECK_FALSE(done.empty());
    CHECK(done == funnel::action_set{a});
    for (std::size_t b = 0; b < funnel::action_set::capacity; ++b)
      CHECK(done.contains(b) == (a == b));
    done.set(a);
    CHECK(done == funnel::action_set{a});
    done.set((a + 1) % 32);
    done.set(a, false);
    CHECK(done == funnel::action_set{(a + 1) % 32});
    done.set(a, false);
    CHECK(done == funnel::action_set{(a + 1) % 32});
  }
  funnel::action_set all;
  for (std::size_t a = 0; a < 32; ++a) all.set(a);
  const funnel::action_set before = all;
  CHECK(
      refuses([&] { all.set(32); }, "funnel::action_set::set", "action is 32, expected below 32"));
  CHECK(refuses([&] { all.set(64, false); }, "funnel::action_set::set", "action is 64"));
  CHECK(refuses([&] { all.contains(32); }, "funnel::action_set::contains",
                "action is 32, expected below 32"));
  CHECK(refuses([&] { impression{}.did(99); }, "funnel::action_set::contains", "action is 99"));
  CHECK(all == before);
}

TEST_CASE("impressions_between keeps the days from one to another, both included") {
  const std::vector<impression> all = {make(0, 0, 1, 20220430), make(1, 0, 2, 20220501),
                                       make(2, 0, 3, 20220503), make(3, 0, 4, 20220501),
                                       make(4, 0, 5, 20220504)};
  CHECK(funnel::impressions_between(all, 20220501, 20220503) ==
        std::vector<impression>{all[1], all[2], all[3]});
  CHECK(funnel::impressions_between(all, 20220501, 20220501).size() == 2);
  CHECK(funnel::impressions_between(all, 20230101, 20230102).empty());
  CHECK(funnel::impressions_between({}, 20230101, 20230102).empty());
  CHECK(refuses([&] { funnel::impressions_between(all, 20220503, 20220501); },
                "funnel::impressions_between",
                "until is 20220501, expected 20220503, the date of from, or later"));
}

TEST_CASE("remove_duplicates keeps the first of equal user, item and time") {
  std::vector<impression> impressions = {make(1, 2, 30, 0, 1), make(1, 2, 31, 0, 2),
                                         make(1, 2, 30, 0, 3), make(2, 1, 30, 0, 4),
                                         make(1, 2, 30, 0, 5), make(1, 3, 30, 0, 6)};
  const std::vector<impression> expected = {impressions[0], impressions[1], impressions[3],
                                            impressions[5]};
  CHECK(funnel::remove_duplicates(impressions) == 2);
  CHECK(impressions == expected);
  CHECK(funnel::remove_duplicates(impressions) == 0);
  CHECK(impressions == expected);
  std::vector<impression> none;
  CHECK(funnel::remove_duplicates(none) == 0);
}

TEST_CASE("remove_duplicates does what a set would do") {
  funnel::random_generator bits(3);
  for (const std::size_t n : {1u, 2u, 50u, 2000u}) {
    std::vector<impression> impressions;
    for (std::size_t i = 0; i < n; ++i)
      impressions.push_back(make(static_cast<funnel::user_id>(funnel::uniform_below(bits, 10)),
                                 static_cast<funnel::item_id>(funnel::uniform_below(bits, 10)),
                                 static_cast<std::int64_t>(funnel::uniform_below(bits, 10)), 0,
                                 static_cast<float>(i)));
    std::set<std::tuple<funnel::user_id, funnel::item_id, std::int64_t>> seen;
    std::vector<impression> expected;
    for (const impression& e : impressions)
      if (seen.emplace(e.user, e.item, e.time_ms).second) expected.push_back(e);
    CHECK(funnel::remove_duplicates(impressions) == n - expected.size());
    CHECK(impressions == expected);
  }
}

TEST_CASE("sort_by_time keeps the order of equal times") {
  std::vector<impression> impressions;
  for (funnel::user_id i = 0; i < 200; ++i) impressions.push_back(make(i, 0, i * 7919 % 5, 0));
  funnel::sort_by_time(impressions);
  for (std::size_t i = 1; i < impressions.size(); ++i) {
    const impression &a = impressions[i - 1], &b = impressions[i];
    CHECK((a.time_ms < b.time_ms || (a.time_ms == b.time_ms && a.user < b.user)));
  }
}
