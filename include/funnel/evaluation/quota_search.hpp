// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/candidates.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/evaluation/retrieval.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/merge_channels.hpp>
#include <funnel/retrieval/split_quota.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// What one retrieval channel found for each user, best first.
using channel_results = std::vector<std::vector<scored_item>>;

namespace detail {

/// Throws unless every channel has a list for each user.
inline void check_channels(std::string_view name, std::span<const channel_results> channels,
                           std::size_t users) {
  check_not_empty(name, "channels", channels.size());
  check_that(name, "the number of channels", channels.size(),
             channels.size() <= candidates::most_sources, candidates::most_sources, " or fewer");
  for (const channel_results& channel : channels)
    check_size(name, "a channel", channel.size(), users, "relevant");
}

}  // namespace detail

/// Merges what channels found for each user by `merge_channels`, and returns the recall of each user:
/// the part of the user's relevant items that is in the merged list; NaN for a user without relevant
/// items.
///
/// With a quota of 0 for one channel it tells what the others find without it; with the total as the
/// quota of one channel, what that finds alone.
///
/// Shapes      channels [channels][users]; relevant [users], in any order, an item once; quotas
///             [channels]. Returns [users].
/// Errors      std::invalid_argument if there is no channel, or more than 64, the sizes differ, or the
///             sum of the quotas is above 2^53.
/// Cost        one `merge_channels` per user with relevant items; the users are split over the threads.
/// Source      docs/formulas.md#quota-search, docs/formulas.md#recall-and-hit-rate.
template <Executor E, ItemLists Relevant>
std::vector<double> merged_recalls(E& executor, std::span<const channel_results> channels,
                                   const Relevant& relevant, std::span<const std::size_t> quotas) {
  constexpr std::string_view name = "merged_recalls";
  const std::size_t users = relevant.size();
  detail::check_channels(name, channels, users);
  detail::check_size(name, "quotas", quotas.size(), channels.size(), "channels");
  std::vector<double> recalls(users, std::numeric_limits<double>::quiet_NaN());
  for_blocks(executor, users, 64, [&](std::size_t begin, std::size_t end) {
    candidates merged(std::vector<std::string>(channels.size()));
    std::vector<std::span<const scored_item>> lists(channels.size());
    for (std::size_t u = begin; u < end; ++u) {
      const std::span<const item_id> sought = relevant[u];
      if (sought.empty()) continue;
      for (std::size_t c = 0; c < channels.size(); ++c)
        lists[c] = quotas[c] > 0 ? std::span<const scored_item>(channels[c][u])
                                 : std::span<const scored_item>();
      merged.clear();
      merge_channels<scored_item>(lists, quotas, merged);
      const auto found = std::ranges::count_if(
          sought, [&](item_id item) { return merged.find(item) != candidates::none; });
      recalls[u] = static_cast<double>(found) / static_cast<double>(sought.size());
    }
  });
  return recalls;
}

/// Options of `search_quotas`.
struct quota_search_options {
  /// The sum of the quotas, 1 or more, at most 2^53.
  std::size_t total = 2000;
  /// The search ends when moving this part of the total from one channel to another no longer helps;
  /// above 0, at most 1.
  double smallest_step = .01;
};

/// The result of `search_quotas`.
struct found_quotas {
  std::vector<std::size_t>
      quotas;                   ///< [channels]; the sum is the total, or that of the longest lists
  double recall = 0;            ///< mean over the users, with these quotas
  double equal_recall = 0;      ///< with equal quotas
  std::size_t evaluations = 0;  ///< numbers of quotas that were tried
};

/// Searches quotas of retrieval channels with the best mean recall of the merged list at a fixed total,
/// on held-out requests.
///
/// Begins with equal quotas. Moves a part of the total from one channel to another wherever that raises
/// the mean recall, first large parts, then half as large ones, down to `smallest_step`. The result is
/// at least as good as equal quotas on these users; how good it is on others has to be measured on later
/// days. For quotas by segment, search with the users of each segment. No channel gets more than its
/// longest list.
///
///     const found_quotas best = search_quotas(pool, channels, clicked, {.total = 1000});
///
/// Shapes      channels [channels][users]; relevant [users].
/// Errors      std::invalid_argument if an option is out of range, there is no channel, or more than
///             64, the sizes differ, or no user has relevant items.
/// Cost        some (channels)^2 log(1 / smallest_step) calls of `merged_recalls`.
/// Numerics    the same result on any number of threads.
/// Source      docs/formulas.md#quota-search.
template <Executor E, ItemLists Relevant>
found_quotas search_quotas(E& executor, std::span<const channel_results> channels,
                           const Relevant& relevant, const quota_search_options& options = {}) {
  constexpr std::string_view name = "search_quotas";
  detail::check_at_least_one(name, "total", options.total);
  detail::check_that(name, "total", options.total, options.total <= std::size_t{1} << 53,
                     "at most 2^53");
  detail::check_that(name, "smallest_step", options.smallest_step,
                     options.smallest_step > 0 && options.smallest_step <= 1, "a number in (0, 1]");
  detail::check_channels(name, channels, relevant.size());
  std::size_t users = 0;
  for (std::size_t u = 0; u < relevant.size(); ++u)
    users += std::span<const item_id>(relevant[u]).empty() ? 0 : 1;
  detail::check_that(name, "the number of users with relevant items", users, users > 0,
                     "1 or more");
  found_quotas best{.quotas = std::vector<std::size_t>(channels.size())};
  const auto mean = [&](std::span<const std::size_t> quotas) {
    ++best.evaluations;
    double sum = 0;
    for (const double recall : merged_recalls(executor, channels, relevant, quotas))
      if (!std::isnan(recall)) sum += recall;
    return sum / static_cast<double>(users);
  };
  // A quota above the longest list of its channel would only hide what the channel leaves to others.
  std::vector<std::size_t> longest(channels.size());
  for (std::size_t c = 0; c < channels.size(); ++c)
    for (const auto& list : channels[c]) longest[c] = std::max(longest[c], list.size());
  for (std::size_t left = options.total; left > 0;) {
    std::vector<double> shares(channels.size());
    std::vector<std::size_t> more(channels.size());
    for (std::size_t c = 0; c < channels.size(); ++c) shares[c] = best.quotas[c] < longest[c];
    split_quota(left, shares, more);
    std::size_t given = 0;
    for (std::size_t c = 0; c < channels.size(); ++c) {
      const std::size_t own = std::min(more[c], longest[c] - best.quotas[c]);
      best.quotas[c] += own;
      given += own;
    }
    if (given == 0) break;  // all lists are shorter than the total
    left -= given;
  }
  best.recall = best.equal_recall = mean(best.quotas);
  const auto total = static_cast<double>(options.total);
  const auto last = static_cast<std::size_t>(std::ceil(total * options.smallest_step));
  for (std::size_t step = std::max(last, options.total / channels.size());; step /= 2) {
    step = std::max(step, last);
    for (bool is_better = true; is_better;) {
      is_better = false;
      for (std::size_t from = 0; from < channels.size(); ++from)
        for (std::size_t to = 0; to < channels.size(); ++to) {
          const std::size_t moved =
              std::min({step, best.quotas[from], longest[to] - best.quotas[to]});
          if (from == to || moved == 0) continue;
          std::vector<std::size_t> tried = best.quotas;
          tried[from] -= moved;
          tried[to] += moved;
          const double recall = mean(tried);
          if (!(recall > best.recall)) continue;
          best.quotas = tried;
          best.recall = recall;
          is_better = true;
        }
    }
    if (step == last) return best;
  }
}

}  // namespace funnel
