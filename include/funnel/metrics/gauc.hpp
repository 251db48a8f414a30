// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/metrics/detail/ranked_rows.hpp>

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

namespace funnel {

/// The result of `gauc`.
struct gauc_result {
  /// The weighted mean; NaN if no user counts.
  double value = std::numeric_limits<double>::quiet_NaN();
  /// Number of users with at least one positive and one negative.
  std::size_t users_counted = 0;
  /// Number of users with only one class; they are left out of the sum and of the weights.
  std::size_t users_skipped = 0;
};

/// GAUC (group AUC): the AUC within each user's impressions, averaged over users with the number of
/// impressions as weight.
///
///     gauc = sum_u w_u auc_u / sum_u w_u,  w_u = impressions of u
///
/// The sums are over users who have both positives and negatives: an AUC of 0 for the others would
/// lower the mean.
///
/// Shapes      users [n], scores [n], labels [n]; the rows of a user need not be adjacent.
/// Units       scores on any scale; labels are 0 or 1.
/// Order       NaN scores rank below all others and tie with each other.
/// Errors      std::invalid_argument if the sizes differ or a label is neither 0 nor 1.
/// Cost        O(n log n), a copy of the input.
/// Source      Zhou et al., KDD 2018, section 5; docs/formulas.md#gauc.
template <detail::Numbers Scores, detail::Numbers Labels>
gauc_result gauc(std::span<const user_id> users, const Scores& scores, const Labels& labels) {
  const auto score = detail::as_span(scores);
  const auto label = detail::as_span(labels);
  detail::check_size("gauc", "users", users.size(), score.size(), "scores");
  detail::check_size("gauc", "labels", label.size(), score.size(), "scores");
  detail::check_binary("gauc", "labels", label);
  struct row {
    detail::element_of<const Scores> score;
    user_id user;
    bool positive;
  };
  std::vector<row> rows(score.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {score[i], users[i], label[i] == 1};
  std::sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
    return a.user != b.user ? a.user < b.user : detail::scores_below(a.score, b.score);
  });

  gauc_result result;
  double sum = 0, impressions = 0;
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    while (end < rows.size() && rows[end].user == rows[begin].user) ++end;
    const double value =
        detail::auc_of_sorted(std::span<const row>(rows).subspan(begin, end - begin));
    if (value != value) {
      ++result.users_skipped;
      continue;
    }
    ++result.users_counted;
    const double weight = static_cast<double>(end - begin);
    sum += weight * value;
    impressions += weight;
  }
  if (result.users_counted > 0) result.value = sum / impressions;
  return result;
}

}  // namespace funnel
