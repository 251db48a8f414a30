// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace funnel::detail {

/// Ascending order of scores in which NaN, the worst score, comes first; NaNs are equal.
template <class T>
constexpr bool scores_below(T a, T b) {
  return a < b || (a != a && b == b);
}

/// The AUC of rows (with members `score` and `positive`) in ascending order of score.
template <class Row>
double auc_of_sorted(std::span<const Row> rows) {
  // Twice the sum of the positives' mean ranks is an integer, so nothing is rounded before the end.
  std::uint64_t positives = 0, doubled_ranks = 0;
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    std::uint64_t tied_positives = 0;
    while (end < rows.size() && !scores_below(rows[begin].score, rows[end].score))
      tied_positives += rows[end++].positive;
    doubled_ranks += tied_positives * (begin + 1 + end);
    positives += tied_positives;
  }
  const std::uint64_t negatives = rows.size() - positives;
  if (positives == 0 || negatives == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(doubled_ranks - positives * (positives + 1)) /
         (2.0 * static_cast<double>(positives) * static_cast<double>(negatives));
}

}  // namespace funnel::detail
