// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/random.hpp>
#include <funnel/features/column_table.hpp>
#include <funnel/features/schema.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// One row of a random log.
struct log_row {
  std::int64_t user = 0, item = 0, time = 0, request = 0;
  std::optional<double> price = {};
  std::string category = {}, device = {};
  std::vector<std::string> tags = {};
  std::int64_t published = 0;
  double position = 0;
  bool click = false, like = false;
  float seconds = 0;
};

/// Options of `random_log`.
struct random_log_options {
  std::size_t requests = 60;
  std::size_t most_rows = 3;  ///< of a request
  std::int64_t users = 7, items = 11;
  std::int64_t last_time = 400'000;  ///< few times: many are equal
  std::int64_t time_step = 20'000;
  bool categories_change = false;
  bool devices_change = false;  ///< within a request, which a log should not do
  bool times_change = false;    ///< within a request
};

/// A log whose rows are not in the order of time, with equal times.
inline std::vector<log_row> random_log(std::uint64_t seed, const random_log_options& options = {}) {
  funnel::random_generator bits(seed);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(funnel::uniform_below(bits, static_cast<std::uint64_t>(n)));
  };
  std::vector<log_row> rows;
  for (std::size_t r = 0; r < options.requests; ++r) {
    const std::int64_t user = below(options.users) + 100;
    const std::int64_t time = below(options.last_time / options.time_step) * options.time_step;
    const std::string device = below(2) == 0 ? "ios" : "web";
    const std::int64_t count = 1 + below(static_cast<std::int64_t>(options.most_rows));
    for (std::int64_t i = 0; i < count; ++i) {
      log_row row{.user = user,
                  .item = below(options.items),
                  .time = time,
                  .request = static_cast<std::int64_t>(r)};
      // Values of an item: the same in all of its rows, unless they change.
      const std::int64_t change = options.categories_change ? time / (options.last_time / 3) : 0;
      if (row.item % 4 != 0) row.price = 1.5 * static_cast<double>(row.item);
      row.category = std::string(1, static_cast<char>('a' + (row.item + change) % 3));
      for (std::int64_t t = 0; t < row.item % 3; ++t)
        row.tags.push_back("t" + std::to_string((row.item + t) % 5));
      row.published = 1000 * row.item - 50'000;
      row.device = options.devices_change && i == 1 ? "tv" : device;
      if (options.times_change) row.time += i * 700;
      row.position = static_cast<double>(i);
      row.click = below(10) < (row.item % 3 == 0 ? 8 : 2);
      row.like = row.click && below(3) == 0;
      row.seconds = static_cast<float>(row.click ? below(60) : 0);
      rows.push_back(row);
    }
  }
  funnel::shuffle(bits, std::span<log_row>(rows));
  return rows;
}

inline funnel::column_table table_of(const std::vector<log_row>& rows) {
  funnel::column_table table;
  const auto add = [&](std::string name, auto member) {
    table.add(std::move(name), rows.size(), [&, member](std::size_t i) { return rows[i].*member; });
  };
  add("user_id", &log_row::user);
  add("item_id", &log_row::item);
  add("time", &log_row::time);
  add("request", &log_row::request);
  add("price", &log_row::price);
  add("category", &log_row::category);
  add("device", &log_row::device);
  add("tags", &log_row::tags);
  add("published", &log_row::published);
  add("position", &log_row::position);
  add("click", &log_row::click);
  add("like", &log_row::like);
  add("seconds", &log_row::seconds);
  return table;
}

/// A schema with every kind of feature for a random log.
inline funnel::schema_options every_kind(funnel::event_delay delay = {}) {
  using namespace funnel;
  return {
      .name = "shop",
      .request = "request",
      .of_user = {category{"user_id"}, rate{"user_rate", "user_id", {"click", "like"}},
                  rate{.name = "user_seconds",
                       .keys = "user_id",
                       .actions = "seconds",
                       .prior_strength = 5,
                       .as = rate_as::value},
                  activity{.name = "active", .keys = "user_id", .days = 4, .bounds = {1, 2}},
                  history{.name = "clicked",
                          .action = "click",
                          .last = 3,
                          .fields = {"item_id", "category"}}},
      .of_item =
          {category{"item_id", 2}, category{"category"}, category_list{"tags"},
           number{"price", number_as::log1p}, age{"published"},
           rate{"item_rate", "item_id", "click"},
           rate{.name = "likes_per_click", .keys = "category", .actions = "like", .per = "click"},
           window{.name = "item_window", .keys = "item_id", .actions = "click", .lengths = {1, 3}},
           stock{"category_clicks", "category", "click"},
           stock{.name = "category_items", .keys = "category", .of_items = true}},
      .of_context = {category{"device"}, time_of{},
                     rate{"user_device", {"user_id", "device"}, "click"}},
      .of_cross = {number{"position", number_as::raw},
                   rate{"user_category", {"user_id", "category"}, "click"}},
      .labels = {"click", "like"},
      .delay = delay};
}
