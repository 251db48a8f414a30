// SPDX-License-Identifier: MIT
#include <funnel/data/log_columns.hpp>

#include <funnel/data/simulator.hpp>
#include <funnel/features/fit_schema.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

using namespace funnel;

namespace {

interaction_log small_log() {
  interaction_log log;
  log.actions = {"click", "like"};
  log.user_fields = {{"degree", 3}};
  log.user_numbers = {"follows"};
  log.users = {{.id = 70, .categorical = {2}, .numeric = {5}},
               {.id = 90, .categorical = {0}, .numeric = {-1}}};
  log.video_fields = {{"kind", 4}};
  log.video_numbers = {"width"};
  log.authors = {1001, 1002};
  log.categories = {~std::uint64_t{0}, 39, 20};
  log.videos = {{.id = 500,
                 .author = 1,
                 .category = 2,
                 .tags = {2, 1},
                 .duration_s = 9.5f,
                 .upload_date = 20220425,
                 .categorical = {3},
                 .numeric = {720}},
                {.id = 501, .author = 0, .tags = {}, .categorical = {0}, .numeric = {0}}};
  log.histories = {
      {.watched = {1, 0, 1}, .liked = {0}, .long_watched = {}, .total = 7, .last_time_ms = 60}, {}};
  log.impressions = {
      {.user = 1, .item = 0, .time_ms = 1000, .date = 20220425, .hour = 3, .tab = 4},
      {.user = 0, .item = 1, .time_ms = 1000, .position = 2, .random = true, .done = {1}},
      {.user = 1, .item = 1, .time_ms = 1000, .done = {0, 1}, .play_s = 2.5f, .duration_s = 10},
      {.user = 1, .item = 1, .time_ms = 1001}};
  return log;
}

using numbers = std::vector<double>;

/// The values of a column; -99 where one is missing.
numbers values(const columns& table, std::string_view name) {
  const column& of = table[name];
  numbers found;
  for (std::size_t j = 0; j < of.values(); ++j)
    found.push_back(of.has_value(j) ? of.number(j) : -99);
  return found;
}
std::vector<numbers> lists(const columns& table, std::string_view name) {
  const column& of = table[name];
  std::vector<numbers> found(of.rows());
  for (std::size_t i = 0; i < of.rows(); ++i)
    for (std::size_t j = of.begin(i); j < of.end(i); ++j) found[i].push_back(of.number(j));
  return found;
}
std::string names_of(const columns& table) {
  std::string all;
  for (std::size_t c = 0; c < table.size(); ++c) all += (c == 0 ? "" : " ") + table.name(c);
  return all;
}

/// The number of different values, with the first row of each value.
std::vector<std::size_t> groups(const columns& table, std::string_view name) {
  const numbers all = values(table, name);
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::size_t first = 0;
    while (all[first] != all[i]) ++first;
    found.push_back(first);
  }
  return found;
}

}  // namespace

TEST_CASE("log_columns: a worked example") {
  const interaction_log log = small_log();
  const column_table made = log_columns(log);
  const columns table = made;
  CHECK(names_of(table) ==
        "user_id item_id time request tab hour date position random play_s duration_s click like");
  CHECK(table.rows() == 4);
  CHECK(values(table, "user_id") == numbers{90, 70, 90, 90});
  CHECK(values(table, "item_id") == numbers{500, 501, 501, 501});
  CHECK(values(table, "time") == numbers{1000, 1000, 1000, 1001});
  CHECK(table["time"].kind() == value_kind::integer);
  CHECK(values(table, "tab") == numbers{4, 0, 0, 0});
  CHECK(values(table, "hour") == numbers{3, 0, 0, 0});
  CHECK(values(table, "date") == numbers{20220425, 0, 0, 0});
  CHECK(values(table, "position") == numbers{-99, 2, -99, -99});
  CHECK(values(table, "random") == numbers{0, 1, 0, 0});
  CHECK(values(table, "play_s") == numbers{0, 0, 2.5, 0});
  CHECK(values(table, "duration_s") == numbers{-99, -99, 10, -99});
  CHECK(values(table, "click") == numbers{0, 0, 1, 0});
  CHECK(values(table, "like") == numbers{0, 1, 1, 0});
  // The same user and time, but in another tab.
  CHECK(groups(table, "request") == std::vector<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("log_columns: requests that were not recorded") {
  interaction_log log = small_log();
  const impression shown{.user = 1, .time_ms = 1000, .date = 20220425, .hour = 3, .tab = 4};
  log.impressions.assign(8, shown);
  log.impressions[1].item = 1;  // two items of one request
  log.impressions[2].user = 0;
  log.impressions[3].time_ms = 1001;
  log.impressions[4].date = 20220426;
  log.impressions[5].hour = 2;
  log.impressions[6].tab = 5;
  CHECK(groups(log_columns(log), "request") == std::vector<std::size_t>{0, 0, 2, 3, 4, 5, 6, 0});
}

TEST_CASE("log_columns: requests that were recorded, and some that were not") {
  interaction_log log = small_log();
  log.impressions[0].request = 5;
  log.impressions[3].request = 5;  // the same request, although the time differs
  for (std::uint64_t i = 1; i <= 4; ++i)
    log.impressions.push_back({.user = 0, .item = 0, .request = i, .time_ms = 2000});
  log.impressions.push_back({.user = 0, .item = 0, .time_ms = 2000});
  CHECK(groups(log_columns(log), "request") == std::vector<std::size_t>{0, 1, 2, 0, 4, 5, 6, 7, 8});
}

TEST_CASE("log_columns of some impressions") {
  const interaction_log log = small_log();
  const std::vector<impression> some = impressions_between(log.impressions, 20220425, 20220425);
  const column_table made = log_columns(log, some);
  CHECK(values(made, "user_id") == numbers{90});
  const column_table none = log_columns(log, std::span<const impression>());
  CHECK(none.rows() == 0);
  CHECK(names_of(none) == names_of(made));
}

TEST_CASE("user_columns: a worked example") {
  interaction_log log = small_log();
  const column_table made = user_columns(log);
  const columns table = made;
  CHECK(names_of(table) ==
        "user_id degree follows watched liked long_watched watched_total last_watched");
  CHECK(values(table, "user_id") == numbers{70, 90});
  CHECK(values(table, "degree") == numbers{2, -99});
  CHECK(table["degree"].kind() == value_kind::integer);
  CHECK(values(table, "follows") == numbers{5, -1});
  CHECK(lists(table, "watched") == std::vector<numbers>{{501, 500, 501}, {}});
  CHECK(lists(table, "liked") == std::vector<numbers>{{500}, {}});
  CHECK(lists(table, "long_watched") == std::vector<numbers>{{}, {}});
  CHECK(table["long_watched"].rows() == 2);
  CHECK(values(table, "watched_total") == numbers{7, 0});
  CHECK(values(table, "last_watched") == numbers{60, -99});
  log.histories.clear();
  CHECK(names_of(user_columns(log)) == "user_id degree follows");
}

TEST_CASE("item_columns: a worked example") {
  interaction_log log = small_log();
  const column_table made = item_columns(log, 8 * 3600);
  const columns table = made;
  CHECK(names_of(table) == "item_id author_id tags tag duration_s uploaded kind width");
  CHECK(values(table, "item_id") == numbers{500, 501});
  CHECK(values(table, "author_id") == numbers{1002, 1001});
  CHECK(lists(table, "tags") == std::vector<numbers>{{20, 39}, {}});
  CHECK(values(table, "tag") == numbers{20, -99});
  CHECK(values(table, "duration_s") == numbers{9.5, -99});
  // 2022-04-25 begins in Beijing at 16:00 UTC of the day before: `date -d 2022-04-24T16:00Z +%s`.
  CHECK(values(table, "uploaded") == numbers{1650816000e3, -99});
  CHECK(values(item_columns(log), "uploaded") == numbers{1650844800e3, -99});
  CHECK(values(table, "kind") == numbers{3, -99});
  CHECK(values(table, "width") == numbers{720, 0});
  log.content.assign(2, 3);
  log.content(1, 2) = .5f;
  const column_table with_content = item_columns(log);
  CHECK(lists(with_content, "content") == std::vector<numbers>{{0, 0, 0}, {0, 0, .5}});
}

TEST_CASE("the columns of a simulated log fit a schema with tables") {
  const interaction_log log = simulator({.users = 40, .videos = 60}).log();
  schema features({.request = "request",
                   .of_user = {category{"user_id"}, rate{"user_rate", "user_id", "click"},
                               history{.name = "before", .column = "long_watched"}},
                   .of_item = {category{"item_id"}, category_list{"tags"}, age{"uploaded"},
                               stock{"posts", "author_id", {}, true}},
                   .of_context = {category{"tab"}, rate{"tab_rate", {"hour", "tab"}, "click"}},
                   .of_cross = {number{"position"}, rate{"pair", {"user_id", "tag"}, "play_s"}},
                   .labels = {"click", "play_s"},
                   .item_keys = {"author_id", "tag"},
                   .context_keys = "hour",
                   .ticks_per_second = 1000});
  const column_table rows = log_columns(log), users = user_columns(log), items = item_columns(log);
  const fitted past = fit_schema(features, rows, {users, items});
  CHECK(past.rows.rows() == log.impressions.size());
  CHECK(past.rows.requests() < past.rows.rows());
  // Pages of the simulator are requests.
  std::size_t mixed = 0;
  for (std::size_t r = 0; r < past.rows.requests(); ++r)
    for (std::uint32_t i = past.rows.offsets()[r]; i < past.rows.offsets()[r + 1]; ++i)
      mixed += log.impressions[past.rows.log_rows()[i]].request !=
               log.impressions[past.rows.log_rows()[past.rows.offsets()[r]]].request;
  CHECK(mixed == 0);
  for (const column_coverage& c : past.coverage) {
    INFO(c.column);
    CHECK(c.coverage > 0);
  }
}

TEST_CASE("columns of a log: errors") {
  const auto complains = [](std::string_view function, std::string_view words, auto&& change,
                            auto&& call) {
    interaction_log log = small_log();
    change(log);
    return refuses([&] { call(log); }, "funnel::" + std::string(function), words);
  };
  const auto rows = [](const interaction_log& log) { log_columns(log); };
  const auto users = [](const interaction_log& log) { user_columns(log); };
  const auto items = [](const interaction_log& log) { item_columns(log); };
  CHECK(complains(
      "log_columns", "impressions[2].user is 2, expected below 2",
      [](auto& log) { log.impressions[2].user = 2; }, rows));
  CHECK(complains(
      "log_columns", "impressions[3].item is 7, expected below 2",
      [](auto& log) { log.impressions[3].item = 7; }, rows));
  CHECK(complains(
      "column_table", "two columns \"time\"", [](auto& log) { log.actions[1] = "time"; }, rows));
  CHECK(complains(
      "user_columns", "histories has 1 value, expected 2",
      [](auto& log) { log.histories.pop_back(); }, users));
  CHECK(complains(
      "user_columns", "histories[0].liked has the item 2, expected below 2",
      [](auto& log) { log.histories[0].liked[0] = 2; }, users));
  CHECK(complains(
      "user_columns", "users[1].categorical has 2 values, expected 1",
      [](auto& log) { log.users[1].categorical.push_back(0); }, users));
  CHECK(complains(
      "user_columns", "users[0].numeric has 0 values, expected 1",
      [](auto& log) { log.users[0].numeric.clear(); }, users));
  CHECK(complains(
      "column_table", "two columns \"user_id\"", [](auto& log) { log.user_numbers[0] = "user_id"; },
      users));
  CHECK(complains(
      "item_columns", "videos[1].categorical has 0 values, expected 1",
      [](auto& log) { log.videos[1].categorical.clear(); }, items));
  CHECK(complains(
      "item_columns", "videos[0].author is 2, expected below 2",
      [](auto& log) { log.videos[0].author = 2; }, items));
  CHECK(complains(
      "item_columns", "videos[0].tags is 3, expected below 3",
      [](auto& log) { log.videos[0].tags[1] = 3; }, items));
  CHECK(complains(
      "item_columns", "videos[1].category is 3, expected below 3",
      [](auto& log) { log.videos[1].category = 3; }, items));
  CHECK(complains(
      "item_columns", "content has 1 value, expected 2",
      [](auto& log) { log.content.assign(1, 4); }, items));
}
