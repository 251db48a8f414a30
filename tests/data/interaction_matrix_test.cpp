// SPDX-License-Identifier: MIT
#include <funnel/data/interaction_matrix.hpp>
#include <funnel/data/log_histories.hpp>
#include <funnel/data/simulator.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/threads.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

interaction_log small_log() {
  interaction_log log;
  log.actions = {"click", "like", "share"};
  log.users.resize(3);
  log.videos.resize(4);
  const auto add = [&](user_id user, item_id item, std::int64_t time, std::int32_t date,
                       action_set done) {
    impression e;
    e.user = user;
    e.item = item;
    e.time_ms = time;
    e.date = date;
    e.done = done;
    log.impressions.push_back(e);
  };
  add(0, 1, 10, 20240101, {0});
  add(0, 1, 20, 20240102, {0, 1});
  add(0, 1, 30, 20240103, {0});
  add(0, 2, 11, 20240101, {2});
  add(1, 3, 12, 20240102, {});
  add(2, 0, 13, 20240103, {1, 2});
  return log;
}

using cells = std::map<std::pair<std::size_t, std::size_t>, std::pair<float, std::int64_t>>;

cells cells_of(const sparse_matrix& m) {
  cells all;
  for (std::size_t r = 0; r < m.rows(); ++r)
    for (std::size_t i = 0; i < m[r].size(); ++i)
      all[{r, m[r].columns[i]}] = {m[r].values[i], m[r].times[i]};
  return all;
}

}  // namespace

TEST_CASE("the strongest action counts, in the days that are asked for") {
  const interaction_log log = small_log();
  const std::vector<action_weight> weights{{"click", 1}, {"like", 2}};
  const sparse_matrix all = interaction_matrix(log, {.weights = weights});
  CHECK(all.rows() == 3);
  CHECK(all.columns() == 4);
  CHECK(cells_of(all) == cells{{{0, 1}, {2, 30}}, {{2, 0}, {2, 13}}});
  CHECK(
      cells_of(interaction_matrix(log, {.weights = weights, .repeated = repeated_entries::sum})) ==
      cells{{{0, 1}, {4, 30}}, {{2, 0}, {2, 13}}});
  CHECK(cells_of(
            interaction_matrix(log, {.weights = weights, .repeated = repeated_entries::latest})) ==
        cells{{{0, 1}, {1, 30}}, {{2, 0}, {2, 13}}});
  CHECK(cells_of(interaction_matrix(log, {.weights = weights, .until = 20240101})) ==
        cells{{{0, 1}, {1, 10}}});
  CHECK(cells_of(
            interaction_matrix(log, {.weights = weights, .from = 20240102, .until = 20240102})) ==
        cells{{{0, 1}, {2, 20}}});
  CHECK(cells_of(interaction_matrix(log, {.weights = {{"share", .5f}}})) ==
        cells{{{0, 2}, {.5f, 11}}, {{2, 0}, {.5f, 13}}});
  CHECK(interaction_matrix(log, {}, {.weights = weights}).rows() == 3);
  CHECK(interaction_matrix(log, {}, {.weights = weights}).entries() == 0);
}

TEST_CASE("a simulated log, with its histories as impressions") {
  interaction_log log =
      simulator({.users = 60, .videos = 80, .authors = 10, .days = 2, .history_days = 3}).log();
  const std::size_t click = log.action("click"), like = log.action("like");
  cells expected;
  const auto count = [&](const impression& e, float value) {
    if (value == 0) return;
    auto& [best, time] = expected[{e.user, e.item}];
    best = std::max(best, value);
    time = std::max(time, e.time_ms);
  };
  for (const impression& e : log.impressions) count(e, e.did(like) ? 3.f : e.did(click) ? 1.f : 0);
  const std::vector<action_weight> weights{{"like", 3}, {"click", 1}};
  CHECK(cells_of(interaction_matrix(log, {.weights = weights})) == expected);
  thread_executor threads{4};
  CHECK(cells_of(interaction_matrix(threads, log, {.weights = weights})) == expected);

  std::vector<impression> events = history_impressions(log, log.impressions.front().time_ms - 1);
  REQUIRE(!events.empty());
  for (const impression& e : events) count(e, 2);
  events.insert(events.end(), log.impressions.begin(), log.impressions.end());
  CHECK(cells_of(interaction_matrix(
            log, events, {.weights = {{"like", 3}, {"click", 1}, {"earlier", 2}}})) == expected);
}

TEST_CASE("what interaction_matrix refuses") {
  const auto refused = [](const interaction_log& log, const interaction_matrix_options& options,
                          const char* words) {
    return refuses([&] { interaction_matrix(log, options); }, "funnel::interaction_", words);
  };
  const interaction_log log = small_log();
  CHECK(refused(log, {}, "weights is empty"));
  CHECK(refused(log, {.weights = {{"buy", 1}}}, "name is \"buy\", expected one of \"click\""));
  CHECK(refused(log, {.weights = {{"click", 0}}}, "a weight is 0"));
  CHECK(refused(log, {.weights = {{"click", -1}}}, "a weight is -1"));
  CHECK(refused(log, {.weights = {{"click", std::numeric_limits<float>::quiet_NaN()}}}, "is nan"));
  CHECK(refused(log, {.weights = {{"click", std::numeric_limits<float>::infinity()}}}, "is inf"));
  CHECK(refused(log, {.weights = {{"click", 1}, {"click", 2}}}, "weights has \"click\" twice"));
  CHECK(refused(log, {.weights = {{"click", 1}}, .from = 20240102, .until = 20240101},
                "until is 20240101"));
  CHECK(refused(log, {.weights = {{"click", 1}}, .repeated = static_cast<repeated_entries>(9)},
                "repeated is 9"));
  interaction_log many = log;
  many.actions.resize(33);
  CHECK(refused(many, {.weights = {{"click", 1}}}, "the number of actions of log is 33"));
  interaction_log bad = log;
  bad.impressions[1].user = 3;
  CHECK(refused(bad, {.weights = {{"click", 1}}},
                "the user of an impression is 3, expected below 3"));
  bad = log;
  bad.impressions[5].item = 4;
  CHECK(refused(bad, {.weights = {{"click", 1}}},
                "the item of an impression is 4, expected below 4"));
}
