// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/data/interaction_log.hpp>
#include <funnel/data/sparse_matrix_builder.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel {

/// How much an action says about what a user likes.
struct action_weight {
  std::string action = {};  ///< a name in `interaction_log::actions`
  float weight = 1;         ///< above 0
};

/// Options of `interaction_matrix`.
struct interaction_matrix_options {
  /// The actions that count, each at most once: {{"click", 1}, {"like", 2}}. Needed.
  std::vector<action_weight> weights = {};
  /// First and last local date, yyyymmdd; by default all.
  std::int32_t from = std::numeric_limits<std::int32_t>::min();
  std::int32_t until = std::numeric_limits<std::int32_t>::max();
  /// What the value is of a user and an item with several impressions.
  repeated_entries repeated = repeated_entries::largest;
};

/// Makes the matrix of users and items that item-to-item methods read, such as `item_cf` and `swing`.
///
///     value of an impression = max of the weights of the actions that were done
///
/// Impressions without any of the actions are left out. The time is that of the impression. The
/// histories of the log do not count, as their likes and views have no times; as impressions of
/// `history_impressions` they can be passed together with those of the log.
///
/// Shapes      [log.users, log.videos], whatever is in the impressions.
/// Units       times in milliseconds.
/// Errors      std::invalid_argument if there are no weights, the log does not have an action, or it
///             occurs twice, a weight is not a finite number above 0, until < from, or an impression
///             has a user or an item that the log does not have.
/// Cost        O(n log n); 24 bytes per impression that counts beside the matrix.
/// Source      docs/formulas.md#interaction-matrix.
template <Executor E>
sparse_matrix interaction_matrix(E& executor, const interaction_log& log,
                                 std::span<const impression> impressions,
                                 const interaction_matrix_options& options) {
  constexpr std::string_view name = "interaction_matrix";
  detail::check_sparse_matrix(name, log.users.size(), log.videos.size(), options.repeated);
  detail::check_that(name, "the number of actions of log", log.actions.size(),
                     log.actions.size() <= action_set::capacity, action_set::capacity, " or fewer");
  detail::check_not_empty(name, "weights", options.weights.size());
  detail::check_days(name, options.from, options.until);
  std::array<float, action_set::capacity> weight_of{};
  for (const action_weight& w : options.weights) {
    detail::check_positive(name, "a weight", w.weight);
    float& weight = weight_of[log.action(w.action)];
    if (weight != 0)
      detail::fail("funnel::interaction_matrix: weights has \"", w.action,
                   "\" twice, expected once");
    weight = w.weight;
  }
  sparse_matrix_builder builder(
      {.rows = log.users.size(), .columns = log.videos.size(), .repeated = options.repeated});
  for (const impression& e : impressions) {
    detail::check_below(name, "the user of an impression", e.user, log.users.size());
    detail::check_below(name, "the item of an impression", e.item, log.videos.size());
    if (e.date < options.from || e.date > options.until) continue;
    float value = 0;
    for (std::size_t a = 0; a < log.actions.size(); ++a)
      if (e.did(a)) value = std::max(value, weight_of[a]);
    if (value > 0) builder.add({e.user, e.item, value, e.time_ms});
  }
  return builder.finish(executor);
}
/// Of all impressions of the log.
template <Executor E>
sparse_matrix interaction_matrix(E& executor, const interaction_log& log,
                                 const interaction_matrix_options& options) {
  return interaction_matrix(executor, log, log.impressions, options);
}
/// The same on the caller's thread.
inline sparse_matrix interaction_matrix(const interaction_log& log,
                                        std::span<const impression> impressions,
                                        const interaction_matrix_options& options) {
  serial_executor executor;
  return interaction_matrix(executor, log, impressions, options);
}
inline sparse_matrix interaction_matrix(const interaction_log& log,
                                        const interaction_matrix_options& options) {
  return interaction_matrix(log, log.impressions, options);
}

}  // namespace funnel
