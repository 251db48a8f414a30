// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace funnel {

/// One video shown to one user, and what the user did.
struct impression {
  /// Position in `interaction_log::users`.
  user_id user = 0;
  /// Position in `interaction_log::videos`.
  item_id item = 0;
  /// Milliseconds since 1970-01-01 UTC.
  std::int64_t time_ms = 0;
  /// Local date, yyyymmdd.
  std::int32_t date = 0;
  /// Local hour, 0..23.
  std::uint8_t hour = 0;
  /// The page or tab of the app it was shown in.
  std::uint16_t tab = 0;
  /// Slot on the page, from 1; 0 where it was not recorded.
  std::uint16_t position = 0;
  /// Chosen at random, not by the recommender.
  bool random = false;
  bool click = false;
  bool like = false;
  bool follow = false;
  bool comment = false;
  bool forward = false;
  /// Opened the comment section, whether or not they wrote one.
  bool comment_section = false;
  /// Went on to the author's profile.
  bool profile_entered = false;
  /// Asked to see no such videos.
  bool hate = false;
  /// Watched long by the log's own rule.
  bool long_view = false;
  /// Seconds played, replays included; 0 or more, not clipped.
  float play_s = 0;
  /// Length in seconds as the log states it; 0 where it does not.
  float duration_s = 0;

  friend bool operator==(const impression&, const impression&) = default;
};

/// What is known of a user apart from the log.
struct user_profile {
  /// Id in the source.
  std::uint64_t id = 0;
  /// One value a field of `interaction_log::user_fields`, below its size; 0 is missing.
  std::vector<std::uint32_t> categorical;
  /// One value a name of `interaction_log::user_numbers`; 0 is missing.
  std::vector<float> numeric;

  friend bool operator==(const user_profile&, const user_profile&) = default;
};

/// What is known of a video apart from the log.
struct video {
  /// Id in the source.
  std::uint64_t id = 0;
  /// Position in `interaction_log::authors`.
  author_id author = 0;
  /// The first tag, as a position in `interaction_log::categories`; 0 without tags.
  category_id category = 0;
  /// All tags, as positions in `interaction_log::categories`; may be empty.
  std::vector<category_id> tags;
  /// Length in seconds; 0 is unknown.
  float duration_s = 0;
  /// yyyymmdd; 0 is unknown.
  std::int32_t upload_date = 0;
  /// One value a field of `interaction_log::video_fields`, below its size; 0 is missing.
  std::vector<std::uint32_t> categorical;
  /// One value a name of `interaction_log::video_numbers`; 0 is missing.
  std::vector<float> numeric;

  friend bool operator==(const video&, const video&) = default;
};

/// A user's past before the log begins: positions in `interaction_log::videos`, oldest first.
struct user_history {
  /// The last videos shown, each as often as it was.
  std::vector<item_id> watched;
  std::vector<item_id> liked;
  std::vector<item_id> long_watched;
  /// Videos shown in all, of which `watched` holds the last.
  std::uint32_t total = 0;
  /// When the last one was shown, milliseconds since 1970-01-01 UTC; 0 without history.
  std::int64_t last_time_ms = 0;

  friend bool operator==(const user_history&, const user_history&) = default;
};

/// A categorical feature: its values are below `size`, 0 is missing.
struct categorical_field {
  std::string name;
  std::uint32_t size = 1;

  friend bool operator==(const categorical_field&, const categorical_field&) = default;
};

/// A short-video feed's record in the shape that readers and the simulator share, so that a program
/// is written once.
struct interaction_log {
  std::vector<user_profile> users;
  std::vector<video> videos;
  /// One a user, in the order of `users`.
  std::vector<user_history> histories;
  std::vector<impression> impressions;
  /// What the values of `user_profile::categorical` and `numeric` are.
  std::vector<categorical_field> user_fields;
  std::vector<std::string> user_numbers;
  /// What the values of `video::categorical` and `numeric` are.
  std::vector<categorical_field> video_fields;
  std::vector<std::string> video_numbers;
  /// Ids of the authors in the source.
  std::vector<std::uint64_t> authors;
  /// Ids of the tags in the source; position 0 stands for "no tag".
  std::vector<std::uint64_t> categories;
  /// [videos, d], unit rows that are near where videos are alike; empty if the source has none.
  matrix<float> content;
};

/// Copies the impressions of the days `from` to `until`, both included, in their order.
///
/// Units       dates as yyyymmdd.
/// Errors      std::invalid_argument if until < from.
inline std::vector<impression> impressions_between(std::span<const impression> impressions,
                                                   std::int32_t from, std::int32_t until) {
  if (until < from)
    detail::fail("funnel::impressions_between: until is ", until, ", before from, ", from);
  std::vector<impression> kept;
  for (const impression& e : impressions)
    if (e.date >= from && e.date <= until) kept.push_back(e);
  return kept;
}

/// Removes every impression whose user, item and time equal an earlier one's, and says how many.
///
/// Order       the first of equals is kept; those kept stay in order.
/// Cost        O(n log n), 8 bytes of scratch an impression.
inline std::size_t remove_repeats(std::vector<impression>& impressions) {
  std::vector<std::size_t> order(impressions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto key = [&](std::size_t i) {
    const impression& e = impressions[i];
    return std::tuple(e.time_ms, e.user, e.item);
  };
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return std::tuple_cat(key(a), std::tuple(a)) < std::tuple_cat(key(b), std::tuple(b));
  });
  std::vector<bool> repeated(impressions.size());
  for (std::size_t i = 1; i < order.size(); ++i)
    repeated[order[i]] = key(order[i]) == key(order[i - 1]);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < impressions.size(); ++i)
    if (!repeated[i]) impressions[kept++] = impressions[i];
  const std::size_t removed = impressions.size() - kept;
  impressions.resize(kept);
  return removed;
}

/// Sorts impressions by time; equal times keep their order.
///
/// Errors      std::bad_alloc if memory runs out; the impressions are as they were then.
/// Cost        O(n log n), a copy of the impressions and 16 bytes each of scratch.
inline void sort_by_time(std::span<impression> impressions) {
  // Not by std::stable_sort: with libstdc++ before 13, clang++ 19 and later warn of its buffer.
  std::vector<std::pair<std::int64_t, std::size_t>> order(impressions.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = {impressions[i].time_ms, i};
  std::ranges::sort(order);
  const std::vector<impression> unsorted(impressions.begin(), impressions.end());
  for (std::size_t i = 0; i < order.size(); ++i) impressions[i] = unsorted[order[i].second];
}

}  // namespace funnel
