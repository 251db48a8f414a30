// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/data/interaction_log.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Names of the actions that `history_impressions` adds to a log.
inline constexpr std::array<std::string_view, 3> history_actions{"earlier", "earlier_long_view",
                                                                 "earlier_like"};

/// Turns the histories of a log into impressions before it, for counters: with `log_columns` they are
/// the earlier events of `side_tables`. Each video in `user_history::watched` is one, at `time_ms`. It
/// has the actions `history_actions`, which the log gets if it does not have them: "earlier", and the
/// others if the video is in `long_watched` or `liked` as well. The last two lists may reach further
/// back than `watched`: what is not in `watched` is not counted.
///
///     log_columns(log, history_impressions(log, first_midnight - 1))
///
/// Units       time_ms: milliseconds, before the first impression of the log.
/// Errors      std::invalid_argument if the log would have more than 32 actions, or a history has an
///             item that the log does not have. The log is unchanged then.
/// Cost        per user, the product of the lengths of the lists.
inline std::vector<impression> history_impressions(interaction_log& log, std::int64_t time_ms) {
  constexpr std::string_view name = "history_impressions";
  std::vector<std::string> actions = log.actions;
  std::array<std::size_t, history_actions.size()> numbers{};
  for (std::size_t a = 0; a < history_actions.size(); ++a) {
    const auto found = std::ranges::find(actions, history_actions[a]);
    numbers[a] = static_cast<std::size_t>(found - actions.begin());
    if (found == actions.end()) actions.emplace_back(history_actions[a]);
  }
  detail::check_that(name, "the number of actions of log", actions.size(),
                     actions.size() <= action_set::capacity, action_set::capacity,
                     " or fewer, with those of the histories");
  std::vector<impression> before;
  for (std::size_t user = 0; user < log.histories.size(); ++user) {
    const user_history& history = log.histories[user];
    for (const item_id item : history.watched) {
      detail::check_below(name, "an item of log.histories", item, log.videos.size());
      impression& e = before.emplace_back();
      e.user = static_cast<user_id>(user);
      e.item = item;
      e.time_ms = time_ms;
      e.done.set(numbers[0]);
      e.done.set(numbers[1], std::ranges::count(history.long_watched, item) > 0);
      e.done.set(numbers[2], std::ranges::count(history.liked, item) > 0);
    }
  }
  log.actions = std::move(actions);
  return before;
}

/// Removes the days of a log that its histories cover, and returns the number of impressions removed:
/// features of these rows that read the histories would contain the outcomes of the rows. A day is
/// removed if its last impression is not after the end of the last history
/// (`user_history::last_time_ms`).
///
/// Order       the remaining impressions keep their order.
/// Cost        O(n log days).
inline std::size_t remove_days_of_histories(interaction_log& log) {
  std::int64_t end = std::numeric_limits<std::int64_t>::min();
  for (const user_history& history : log.histories)
    if (history.last_time_ms != 0) end = std::max(end, history.last_time_ms);
  std::map<std::int32_t, std::int64_t> last;
  for (const impression& e : log.impressions) {
    std::int64_t& of_day = last.try_emplace(e.date, e.time_ms).first->second;
    of_day = std::max(of_day, e.time_ms);
  }
  return std::erase_if(log.impressions, [&](const impression& e) { return last[e.date] <= end; });
}

}  // namespace funnel
