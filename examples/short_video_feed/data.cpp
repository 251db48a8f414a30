// SPDX-License-Identifier: MIT
#include "data.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

namespace feed {

namespace {

std::int64_t midnight_of(std::int32_t date, std::int64_t utc_offset) {
  return (day_number(date) * std::int64_t{86'400} - utc_offset) * 1000;
}

std::uint32_t length_class(float duration_s) {
  constexpr std::array<float, 14> bounds{.01f, 5, 7, 10, 12, 15, 20, 30, 45, 60, 90, 120, 180, 300};
  return bucket_of(duration_s, bounds);
}

}  // namespace

schema_options feed_features(const interaction_log& log, std::int64_t utc_offset) {
  schema_options all{.name = "short_video_feed",
                     .labels = {"click", "long_view", "like", "seconds", "log_seconds"},
                     .item_keys = "author_id",
                     .delay = to_midnight,
                     .ticks_per_second = 1000,
                     .utc_offset = utc_offset,
                     .number_limit = 4};
  // What happened in the log with the same key, and what happened before it.
  const auto count = [](std::vector<feature>& to, const std::string& name, const name_list& keys) {
    to.push_back(rate{.name = name + "_rates",
                      .keys = keys,
                      .actions = {"click", "long_view", "like"},
                      .per = "shown",
                      .relative = true});
    to.push_back(rate{name + "_watch", keys, "log_seconds", "shown", 20, rate_as::value, true});
  };
  const auto count_earlier = [](std::vector<feature>& to, const std::string& name,
                                const name_list& keys, double strength) {
    to.push_back(
        rate{"earlier_" + name, keys, {"earlier_long_view", "earlier_like"}, "earlier", strength});
  };
  for (const categorical_field& field : log.user_fields)
    all.of_user.push_back(category{.column = field.name, .dim = 2});
  for (const std::string& name : log.user_numbers)
    all.of_user.push_back(number{name, number_as::log1p});
  const name_list fields{"item_id", "tag"};
  for (const char* list : {"watched", "long_watched", "liked"})
    all.of_user.push_back(history{.name = list, .column = list, .last = 20, .fields = fields});
  all.of_user.push_back(
      history{.name = "clicked", .action = "click", .last = 20, .fields = fields});
  count_earlier(all.of_user, "user", "user_id", 10);
  count(all.of_user, "user", "user_id");

  all.of_context = {category{.column = "tab", .dim = 4}, category{.column = "hour", .dim = 4}};
  count(all.of_context, "user_tab", {"user_id", "tab"});
  count(all.of_context, "hour_tab", {"hour", "tab"});

  all.of_item = {category{"item_id"}, category{.column = "tag", .dim = 8},
                 category{.column = "length", .dim = 4}, number{"duration_s", number_as::log1p},
                 number{"uploaded"}};
  for (const char* key : {"item_id", "author_id", "tag"}) {
    count_earlier(all.of_item, key, key, 20);
    count(all.of_item, key, key);
  }

  all.of_cross = {category{.column = "position", .dim = 4, .drop_rate = .1},
                  stock{"earlier_user_author", {"user_id", "author_id"}, "earlier"}};
  count_earlier(all.of_cross, "user_tag", {"user_id", "tag"}, 5);
  count(all.of_cross, "user_tag", {"user_id", "tag"});
  for (const char* key : {"item_id", "tag", "length"})
    count(all.of_cross, std::string(key) + "_tab", {key, "tab"});
  return all;
}

feed_log::feed_log(interaction_log source, const feed_days& days, std::int64_t local)
    : log(std::move(source)), utc_offset(local) {
  remove_days_of_histories(log);
  repeats_removed = remove_duplicates(log.impressions);
  std::ranges::stable_sort(log.impressions, {}, &impression::date);
  training = impressions_between(log.impressions, 0, days.train_until);
  test = impressions_between(log.impressions, days.test_from, days.test_until);
  if (training.empty() || test.empty())
    throw std::invalid_argument("short_video_feed: the log has " + std::to_string(training.size()) +
                                " rows until " + std::to_string(days.train_until) + " and " +
                                std::to_string(test.size()) + " rows for the test");
  first_day = midnight_of(training.front().date, local);
  last_day = midnight_of(training.back().date, local);
  end_of_training = midnight_of(days.train_until, local) + 86'400'000;
  users = user_columns(log);
  items = item_columns(log, utc_offset);
  items.add("length", items.rows(),
            [&](std::size_t i) { return length_class(log.videos[i].duration_s); });

  earlier = rows(history_impressions(log, first_day - 1));
}

column_table feed_log::rows(std::span<const impression> impressions) const {
  column_table table = log_columns(log, impressions);
  const std::size_t n = impressions.size(), earlier_event = log.action("earlier");
  const auto seconds = [&](std::size_t i) {
    return std::min(impressions[i].play_s, longest_watch);
  };
  table.add("seconds", n, seconds);
  table.add("log_seconds", n, [&](std::size_t i) { return std::log1p(seconds(i)); });
  table.add("shown", n, [&](std::size_t i) { return !impressions[i].did(earlier_event); });
  return table;
}

column_table feed_log::rows_at_end(std::vector<impression> impressions) const {
  for (impression& e : impressions) e.time_ms = end_of_training;
  return rows(impressions);
}

double mean_label(const encoded_log& rows, std::size_t k) {
  const auto labels = rows.label(k);
  const double sum = std::accumulate(labels.begin(), labels.end(), 0.);
  return std::clamp(sum / static_cast<double>(labels.size()), 1e-4, k < watch ? 1 - 1e-4 : 1e4);
}

catalog::catalog(const feed_log& data) {
  const interaction_log& log = data.log;
  // On a page, tags weigh 4/5 and length 1/5.
  const std::size_t tag_count = log.categories.size(),
                    width = tag_count + length_class(INFINITY) + 1;
  similarity.resize(log.videos.size() * width);
  for (std::size_t i = 0; i < log.videos.size(); ++i) {
    const video& v = log.videos[i];
    items.push_back(v.id);
    tags.push_back(v.category);
    float* row = similarity.data() + i * width;
    for (const category_id tag : v.tags)
      row[tag] = std::sqrt(.8f / static_cast<float>(v.tags.size()));
    row[tag_count + length_class(v.duration_s)] = std::sqrt(.2f);
  }
  for (const user_profile& user : log.users) users.add(user.id);
  std::vector<sparse_entry> shown, done;
  std::vector<float> clicks(log.videos.size());
  for (user_id user = 0; user < log.histories.size(); ++user) {
    const user_history& past = log.histories[user];
    for (const item_id item : past.watched) shown.push_back({user, item});
    // Only their order is known, not their times.
    std::int64_t time = data.first_day - 86'400'000;
    for (const item_id item : past.long_watched) done.push_back({user, item, 1, time++});
    for (const item_id item : past.liked) done.push_back({user, item, 2, time++});
  }
  const std::size_t click_action = log.action("click"), like_action = log.action("like");
  for (const impression& e : data.training) {
    shown.push_back({e.user, e.item});
    if (e.did(click_action) || e.did(like_action))
      done.push_back({e.user, e.item, e.did(like_action) ? 2.f : 1.f, e.time_ms});
    clicks[e.item] += e.did(click_action) ? 1.f : 0.f;
  }
  const sparse_matrix_options shape{.rows = log.users.size(), .columns = log.videos.size()};
  seen = sparse_matrix(shown, shape);
  liked = sparse_matrix(done, shape).latest(200);
  similar = item_cf(liked, {.neighbors = 2000});
  popular.resize(clicks.size());
  top_k(clicks, popular);
}

}  // namespace feed
