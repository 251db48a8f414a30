// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace funnel {

/// Set of actions. An action is its position in `interaction_log::actions`, below 32.
///
/// Errors      std::invalid_argument for a position of 32 or more.
class action_set {
 public:
  static constexpr std::size_t capacity = 32;

  action_set() = default;
  action_set(std::initializer_list<std::size_t> actions) {
    for (const std::size_t action : actions) set(action);
  }

  bool contains(std::size_t action) const {
    detail::check_below("action_set::contains", "action", action, capacity);
    return (bits_ >> action & 1u) != 0;
  }
  /// Adds an action, or removes it if `done` is false.
  void set(std::size_t action, bool done = true) {
    detail::check_below("action_set::set", "action", action, capacity);
    const std::uint32_t bit = std::uint32_t{1} << action;
    bits_ = done ? bits_ | bit : bits_ & ~bit;
  }
  bool empty() const { return bits_ == 0; }

  friend bool operator==(const action_set&, const action_set&) = default;

 private:
  std::uint32_t bits_ = 0;
};

/// Impression: one video shown to one user, with what the user did.
struct impression {
  /// Index in `interaction_log::users`.
  user_id user = 0;
  /// Index in `interaction_log::videos`.
  item_id item = 0;
  /// Number of the request: impressions that were shown together, such as those of one page, have
  /// the same; 0 if it was not recorded.
  std::uint64_t request = 0;
  /// Milliseconds since 1970-01-01 UTC.
  std::int64_t time_ms = 0;
  /// Local date, yyyymmdd.
  std::int32_t date = 0;
  /// Local hour, 0 to 23.
  std::uint8_t hour = 0;
  /// Page or tab of the app in which it was shown.
  std::uint16_t tab = 0;
  /// Slot on the page, from 1; 0 if it was not recorded.
  std::uint16_t position = 0;
  /// Whether the video was chosen at random instead of by the recommender.
  bool random = false;
  /// What the user did; see `did`.
  action_set done{};
  /// Seconds played, including replays; 0 or more, not clipped.
  float play_s = 0;
  /// Length of the video in seconds as recorded in the log; 0 if it is not.
  float duration_s = 0;

  /// Whether the user did an action, which is a position in `interaction_log::actions`:
  /// `e.did(log.action("click"))`. Look the position up once, before the loop over impressions.
  bool did(std::size_t action) const { return done.contains(action); }

  friend bool operator==(const impression&, const impression&) = default;
};

/// User profile: what is known about a user apart from the log.
struct user_profile {
  /// Id in the source data.
  std::uint64_t id = 0;
  /// One value per field of `interaction_log::user_fields`, below the field's size; 0 is missing.
  std::vector<std::uint32_t> categorical = {};
  /// One value per name in `interaction_log::user_numbers`; 0 is missing.
  std::vector<float> numeric = {};

  friend bool operator==(const user_profile&, const user_profile&) = default;
};

/// Video: what is known about it apart from the log.
struct video {
  /// Id in the source data.
  std::uint64_t id = 0;
  /// Index in `interaction_log::authors`.
  author_id author = 0;
  /// The first tag, as an index in `interaction_log::categories`; 0 if there are no tags.
  category_id category = 0;
  /// All tags, as indices in `interaction_log::categories`; may be empty.
  std::vector<category_id> tags = {};
  /// Length in seconds; 0 if unknown.
  float duration_s = 0;
  /// Upload date, yyyymmdd; 0 if unknown.
  std::int32_t upload_date = 0;
  /// One value per field of `interaction_log::video_fields`, below the field's size; 0 is missing.
  std::vector<std::uint32_t> categorical = {};
  /// One value per name in `interaction_log::video_numbers`; 0 is missing.
  std::vector<float> numeric = {};

  friend bool operator==(const video&, const video&) = default;
};

/// A user's history before the log begins, as indices in `interaction_log::videos`, oldest first.
struct user_history {
  /// The last videos shown; a video that was shown several times occurs several times.
  std::vector<item_id> watched = {};
  std::vector<item_id> liked = {};
  std::vector<item_id> long_watched = {};
  /// Number of videos shown in total; `watched` may hold only the last of them.
  std::uint32_t total = 0;
  /// Time at which the last one was shown, milliseconds since 1970-01-01 UTC; 0 without history.
  std::int64_t last_time_ms = 0;

  friend bool operator==(const user_history&, const user_history&) = default;
};

/// Categorical feature: its values are below `size`, and 0 means missing.
struct categorical_field {
  std::string name;
  std::uint32_t size = 1;

  friend bool operator==(const categorical_field&, const categorical_field&) = default;
};

/// Interaction log of a short-video feed or another service: users, videos, histories and
/// impressions. Readers and the simulator return the same type, so a program works with either. In
/// the log of a shop, the items are in `videos`.
struct interaction_log {
  /// Names of the actions that the log records, such as "click", "like" or "cart"; at most 32. What
  /// is true of an impression is in `impression::done`.
  std::vector<std::string> actions;
  std::vector<user_profile> users;
  std::vector<video> videos;
  /// One history per user, in the order of `users`.
  std::vector<user_history> histories;
  std::vector<impression> impressions;
  /// Names of the values in `user_profile::categorical` and `user_profile::numeric`.
  std::vector<categorical_field> user_fields;
  std::vector<std::string> user_numbers;
  /// Names of the values in `video::categorical` and `video::numeric`.
  std::vector<categorical_field> video_fields;
  std::vector<std::string> video_numbers;
  /// Ids of the authors in the source data.
  std::vector<std::uint64_t> authors;
  /// Ids of the tags in the source data; index 0 means "no tag".
  std::vector<std::uint64_t> categories;
  /// Content vectors of the videos, [videos, d], normalized to length 1; similar videos have
  /// similar vectors. Empty if the source has none.
  matrix<float> content;

  /// Returns the position of an action in `actions`.
  ///
  /// Errors      std::invalid_argument, which lists the names, if the log has no such action.
  std::size_t action(std::string_view name) const {
    const auto found = std::ranges::find(actions, name);
    if (found == actions.end()) {
      std::string names;
      for (const std::string& known : actions)
        names += detail::join_text(names.empty() ? "" : ", ", '"' + known + '"');
      detail::fail("funnel::interaction_log::action: name is \"", name, "\", expected ",
                   names.empty() ? "nothing: the log has no actions" : "one of " + names);
    }
    return static_cast<std::size_t>(found - actions.begin());
  }
};

namespace detail {

inline void check_days(std::string_view function, std::int32_t from, std::int32_t until) {
  check_that(function, "until", until, until >= from, from, ", the date of from, or later");
}

}  // namespace detail

/// Copies the impressions of the days `from` to `until`, both included, in the same order.
///
/// Units       dates as yyyymmdd.
/// Errors      std::invalid_argument if until < from.
inline std::vector<impression> impressions_between(std::span<const impression> impressions,
                                                   std::int32_t from, std::int32_t until) {
  detail::check_days("impressions_between", from, until);
  std::vector<impression> kept;
  for (const impression& e : impressions)
    if (e.date >= from && e.date <= until) kept.push_back(e);
  return kept;
}

/// Removes duplicate impressions, those whose user, item and time equal an earlier one's, and
/// returns their number.
///
/// Order       the first of the duplicates is kept; the remaining impressions keep their order.
/// Cost        O(n log n), 8 bytes of temporary memory per impression.
inline std::size_t remove_duplicates(std::vector<impression>& impressions) {
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

/// Sorts impressions by time; impressions with equal times keep their order.
///
/// Errors      std::bad_alloc if memory runs out; the impressions are unchanged then.
/// Cost        O(n log n), a copy of the impressions and 16 bytes of temporary memory per
///             impression.
inline void sort_by_time(std::span<impression> impressions) {
  // Not std::stable_sort: with libstdc++ before 13, clang++ 19 and later warn about its buffer.
  std::vector<std::pair<std::int64_t, std::size_t>> order(impressions.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = {impressions[i].time_ms, i};
  std::ranges::sort(order);
  const std::vector<impression> unsorted(impressions.begin(), impressions.end());
  for (std::size_t i = 0; i < order.size(); ++i) impressions[i] = unsorted[order[i].second];
}

}  // namespace funnel
