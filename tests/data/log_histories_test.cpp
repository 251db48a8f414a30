// SPDX-License-Identifier: MIT
#include <funnel/data/log_histories.hpp>

#include <funnel/data/log_columns.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace funnel;

namespace {

interaction_log log_with_histories() {
  interaction_log log;
  log.actions = {"click"};
  log.authors = {1};
  log.categories = {0};
  log.users = {{.id = 70}, {.id = 80}, {.id = 90}};
  log.videos = {{.id = 500}, {.id = 501}, {.id = 502}};
  log.histories = {{.watched = {2, 0, 2}, .liked = {1, 2}, .long_watched = {0}, .last_time_ms = 50},
                   {},
                   {.watched = {1}, .last_time_ms = 100}};
  const auto add = [&](std::int32_t date, std::int64_t time) {
    log.impressions.push_back({.user = 0, .item = 0, .time_ms = time, .date = date});
  };
  add(20220426, 101);
  add(20220425, 90);
  add(20220424, 100);
  add(20220425, 101);
  add(20220424, 30);
  return log;
}

}  // namespace

TEST_CASE("histories as impressions before the log") {
  interaction_log log = log_with_histories();
  const std::vector<impression> before = history_impressions(log, -5);
  CHECK(log.actions ==
        std::vector<std::string>{"click", "earlier", "earlier_long_view", "earlier_like"});
  REQUIRE(before.size() == 4);
  const std::vector<user_id> users{0, 0, 0, 2};
  const std::vector<item_id> items{2, 0, 2, 1};
  const std::vector<bool> long_views{false, true, false, false}, likes{true, false, true, false};
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(before[i].user == users[i]);
    CHECK(before[i].item == items[i]);
    CHECK(before[i].time_ms == -5);
    CHECK(before[i].did(log.action("earlier")));
    CHECK(before[i].did(log.action("earlier_long_view")) == long_views[i]);
    CHECK(before[i].did(log.action("earlier_like")) == likes[i]);
    CHECK_FALSE(before[i].did(log.action("click")));
  }
  CHECK(log_columns(log, before).rows() == 4);
  CHECK(history_impressions(log, 0).size() == 4);  // the actions are there already
  CHECK(log.actions.size() == 4);
}

TEST_CASE("what histories cannot become") {
  interaction_log log = log_with_histories();
  log.actions.assign(30, "a");
  CHECK(refuses([&] { history_impressions(log, 0); }, "funnel::history_impressions",
                "actions of log is 33, expected 32 or fewer"));
  log = log_with_histories();
  log.histories[1].watched = {3};
  CHECK(refuses([&] { history_impressions(log, 0); }, "funnel::history_impressions",
                "an item of log.histories is 3, expected below 3"));
  CHECK(log.actions.size() == 1);
}

TEST_CASE("days that end before the histories do are removed") {
  interaction_log log = log_with_histories();
  CHECK(remove_days_of_histories(log) == 2);
  std::vector<std::int32_t> dates;
  for (const impression& e : log.impressions) dates.push_back(e.date);
  CHECK(dates == std::vector<std::int32_t>{20220426, 20220425, 20220425});
  log = log_with_histories();
  log.histories.clear();
  CHECK(remove_days_of_histories(log) == 0);
  log.histories.resize(3);  // users without a history
  log.impressions[0].time_ms = -1;
  CHECK(remove_days_of_histories(log) == 0);
}
