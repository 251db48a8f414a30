// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/metrics/detail/ranked_rows.hpp>

#include <algorithm>
#include <span>
#include <vector>

namespace funnel {

/// AUC (area under the ROC curve): the probability that a random positive scores above a random
/// negative. A tie counts one half.
///
///     auc = (sum of the positives' ranks - n1 (n1 + 1) / 2) / (n1 n0)
///
/// for n1 positives and n0 negatives. Rank 1 is the smallest score; tied scores share their mean
/// rank.
///
/// Shapes      scores [n], labels [n].
/// Units       scores on any scale; labels are 0 or 1.
/// Order       NaN scores rank below all others, -infinity included, and tie with each other.
/// Errors      std::invalid_argument if the sizes differ or a label is neither 0 nor 1.
/// Cost        O(n log n), a copy of the input.
/// Numerics    exact up to the last division. NaN if there are no positives or no negatives.
/// Source      Hanley and McNeil, Radiology 1982; docs/formulas.md#auc.
template <detail::Numbers Scores, detail::Numbers Labels>
double auc(const Scores& scores, const Labels& labels) {
  const auto score = detail::as_span(scores);
  const auto label = detail::as_span(labels);
  detail::check_size("auc", "labels", label.size(), score.size(), "scores");
  detail::check_binary("auc", "labels", label);
  struct row {
    detail::element_of<const Scores> score;
    bool positive;
  };
  std::vector<row> rows(score.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {score[i], label[i] == 1};
  std::sort(rows.begin(), rows.end(),
            [](const row& a, const row& b) { return detail::scores_below(a.score, b.score); });
  return detail::auc_of_sorted(std::span<const row>(rows));
}

}  // namespace funnel
