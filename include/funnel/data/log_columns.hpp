// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/date.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/interaction_log.hpp>
#include <funnel/features/column_table.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {
namespace detail {

/// Errors      std::invalid_argument if not all users, or all videos, have a value of each field.
template <class Entities>
void check_fields(std::string_view function, std::string_view what, const Entities& entities,
                  std::size_t fields, std::size_t numbers) {
  for (std::size_t i = 0; i < entities.size(); ++i) {
    const auto check = [&](std::string_view part, std::size_t size, std::size_t expected) {
      if (size != expected)
        fail("funnel::", function, ": ", what, "[", i, "].", part, " has ", size,
             " values, expected ", expected, " as fields of the log");
    };
    check("categorical", entities[i].categorical.size(), fields);
    check("numeric", entities[i].numeric.size(), numbers);
  }
}

/// Adds a column for each field of users or videos.
template <class Entities>
void add_fields(column_table& table, const Entities& entities,
                std::span<const categorical_field> fields, std::span<const std::string> numbers) {
  for (std::size_t f = 0; f < fields.size(); ++f)
    table.add(fields[f].name, entities.size(), [&](std::size_t i) {
      const std::uint32_t value = entities[i].categorical[f];
      return value == 0 ? std::nullopt : std::optional(value);
    });
  for (std::size_t f = 0; f < numbers.size(); ++f)
    table.add(numbers[f], entities.size(), [&](std::size_t i) { return entities[i].numeric[f]; });
}

template <class T>
std::optional<T> unless_zero(T value) {
  return value == 0 ? std::nullopt : std::optional(value);
}

}  // namespace detail

/// The impressions of a log as named columns, for `fit_schema`; some of its impressions, such as
/// those of the days for training, in the second form.
///
///     user_id, item_id    ids in the source data
///     time                milliseconds: set `schema_options::ticks_per_second` to 1000
///     request             a number that is the same for the impressions of a request
///     tab, hour, date, position, random, play_s, duration_s
///     click, like, ...    a column for each action of the log, 0 or 1
///
/// If the request was not recorded, impressions of one user with the same time, date, hour and tab
/// are one request.
///
/// Shapes      a row for each impression, in their order.
/// Units       as in `impression`; a position or duration of 0 is missing.
/// Errors      std::invalid_argument if an impression has a user or an item that the log does not
///             have, or an action has the name of another column.
inline column_table log_columns(const interaction_log& log,
                                std::span<const impression> impressions) {
  const std::size_t n = impressions.size();
  for (std::size_t i = 0; i < n; ++i) {
    const auto check = [&](std::string_view what, std::size_t index, std::size_t size) {
      if (index >= size)
        detail::fail("funnel::log_columns: impressions[", i, "].", what, " is ", index,
                     ", expected below ", size);
    };
    check("user", impressions[i].user, log.users.size());
    check("item", impressions[i].item, log.videos.size());
  }
  column_table table;
  const auto add = [&](std::string_view name, const auto& value_of) {
    table.add(std::string(name), n, [&](std::size_t i) { return value_of(impressions[i]); });
  };
  add("user_id", [&](const impression& e) { return log.users[e.user].id; });
  add("item_id", [&](const impression& e) { return log.videos[e.item].id; });
  add("time", [](const impression& e) { return e.time_ms; });
  // Numbered anew: even numbers for those that were recorded, odd ones for the others.
  vocabulary recorded, others;
  add("request", [&](const impression& e) {
    if (e.request != 0) return 2 * std::uint64_t{recorded.add(e.request)};
    const auto date = static_cast<std::uint32_t>(e.date);
    std::uint64_t key = mix_key(static_cast<std::uint64_t>(e.time_ms)) ^ pair_key(e.user, date);
    key = mix_key(key) ^ pair_key(e.tab, e.hour);
    return 2 * std::uint64_t{others.add(key)} + 1;
  });
  add("tab", [](const impression& e) { return e.tab; });
  add("hour", [](const impression& e) { return e.hour; });
  add("date", [](const impression& e) { return e.date; });
  add("position", [](const impression& e) { return detail::unless_zero(e.position); });
  add("random", [](const impression& e) { return e.random; });
  add("play_s", [](const impression& e) { return e.play_s; });
  add("duration_s", [](const impression& e) { return detail::unless_zero(e.duration_s); });
  for (std::size_t a = 0; a < log.actions.size(); ++a)
    add(log.actions[a], [a](const impression& e) { return e.did(a); });
  return table;
}
inline column_table log_columns(const interaction_log& log) {
  return log_columns(log, log.impressions);
}

/// The users of a log as named columns: the user table of `fit_schema` (`side_tables`).
///
///     user_id                         id in the source data
///     a column for each of `user_fields` and `user_numbers`
///     watched, liked, long_watched    lists of item ids, oldest first, for `history`
///     watched_total                   the number of videos in `watched`, and of older ones
///     last_watched                    the time of the last one, in milliseconds
///
/// The last five are those of `interaction_log::histories`, and are left out if the log has none.
/// For impressions before `last_watched` they are the future: leave such impressions out.
///
/// Shapes      a row for each user, in their order.
/// Units       as in `user_profile`; a categorical value of 0 is missing.
/// Errors      std::invalid_argument if there are histories, but not one per user, a history has an
///             item that the log does not have, a user has not one value per field, or two columns
///             have the same name.
inline column_table user_columns(const interaction_log& log) {
  const std::size_t n = log.users.size();
  detail::check_fields("user_columns", "users", log.users, log.user_fields.size(),
                       log.user_numbers.size());
  if (!log.histories.empty())
    detail::check_size("user_columns", "histories", log.histories.size(), n, "users");
  column_table table;
  table.add("user_id", n, [&](std::size_t i) { return log.users[i].id; });
  detail::add_fields(table, log.users, log.user_fields, log.user_numbers);
  if (log.histories.empty()) return table;
  const auto add_list = [&](const char* name, std::vector<item_id> user_history::*items) {
    table.add(name, n, [&, items](std::size_t i) {
      std::vector<std::uint64_t> ids;
      for (const item_id item : log.histories[i].*items) {
        if (item >= log.videos.size())
          detail::fail("funnel::user_columns: histories[", i, "].", name, " has the item ", item,
                       ", expected below ", log.videos.size());
        ids.push_back(log.videos[item].id);
      }
      return ids;
    });
  };
  add_list("watched", &user_history::watched);
  add_list("liked", &user_history::liked);
  add_list("long_watched", &user_history::long_watched);
  table.add("watched_total", n, [&](std::size_t i) { return log.histories[i].total; });
  table.add("last_watched", n,
            [&](std::size_t i) { return detail::unless_zero(log.histories[i].last_time_ms); });
  return table;
}

/// The videos of a log as named columns: the item table of `fit_schema` (`side_tables`).
///
///     item_id, author_id    ids in the source data
///     tags                  list of the tags' ids in the source data
///     tag                   the first of them
///     duration_s
///     uploaded              the midnight at which the upload date begins, in milliseconds, for `age`
///     a column for each of `video_fields` and `video_numbers`
///     content               list of numbers, for `vector_of`; left out if the log has none
///
/// `utc_offset` is local time minus UTC in seconds, as `schema_options::utc_offset`: upload dates
/// are local.
///
/// Shapes      a row for each video, in their order.
/// Units       as in `video`; a duration, a date or a categorical value of 0 is missing.
/// Errors      std::invalid_argument if a video has not one value per field, an author or a tag
///             that the log does not have, `content` does not have one row per video, or two columns
///             have the same name.
inline column_table item_columns(const interaction_log& log, std::int64_t utc_offset = 0) {
  const std::size_t n = log.videos.size();
  detail::check_fields("item_columns", "videos", log.videos, log.video_fields.size(),
                       log.video_numbers.size());
  if (!log.content.empty())
    detail::check_size("item_columns", "content", log.content.rows(), n, "videos");
  for (std::size_t i = 0; i < n; ++i) {
    const auto check = [&](std::string_view what, std::size_t index, std::size_t size) {
      if (index >= size)
        detail::fail("funnel::item_columns: videos[", i, "].", what, " is ", index,
                     ", expected below ", size);
    };
    check("author", log.videos[i].author, log.authors.size());
    for (const category_id tag : log.videos[i].tags) check("tags", tag, log.categories.size());
    check("category", log.videos[i].category, std::max<std::size_t>(1, log.categories.size()));
  }
  column_table table;
  const auto add = [&](const char* name, const auto& value_of) {
    table.add(name, n, [&](std::size_t i) { return value_of(log.videos[i]); });
  };
  add("item_id", [](const video& v) { return v.id; });
  add("author_id", [&](const video& v) { return log.authors[v.author]; });
  add("tags", [&](const video& v) {
    std::vector<std::uint64_t> ids;
    for (const category_id tag : v.tags) ids.push_back(log.categories[tag]);
    return ids;
  });
  add("tag", [&](const video& v) {
    return v.category == 0 ? std::nullopt : std::optional(log.categories[v.category]);
  });
  add("duration_s", [](const video& v) { return detail::unless_zero(v.duration_s); });
  add("uploaded", [&](const video& v) {
    const std::int64_t midnight = day_number(v.upload_date) * std::int64_t{86'400} - utc_offset;
    return v.upload_date == 0 ? std::nullopt : std::optional(midnight * 1000);
  });
  detail::add_fields(table, log.videos, log.video_fields, log.video_numbers);
  if (!log.content.empty())
    table.add("content", n, [&](std::size_t i) {
      const std::span<const float> row = log.content.row(i);
      return std::vector<float>(row.begin(), row.end());
    });
  return table;
}

}  // namespace funnel
