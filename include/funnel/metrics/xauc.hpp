// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/metrics/detail/ranked_rows.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace funnel {

/// XAUC, an AUC for numeric targets such as watch time: the probability that predictions order two
/// rows as their targets do. Equal predictions count one half.
///
///     xauc = P((p_i - p_j)(t_i - t_j) > 0) + P(p_i = p_j) / 2  over all pairs with t_i != t_j
///
/// All pairs are counted, none are sampled. With targets 0 and 1 it equals `auc`.
///
/// Shapes      predictions [n], targets [n].
/// Units       any scale for each.
/// Order       NaN predictions rank below all others and tie with each other.
/// Errors      std::invalid_argument if the sizes differ or a target is NaN.
/// Cost        O(n log n), 4 copies of the input.
/// Numerics    exact up to the last division for n < 2^32. NaN if no two targets differ.
/// Source      Zhan et al., KDD 2022; docs/formulas.md#xauc.
template <detail::Numbers Predictions, detail::Numbers Targets>
double xauc(const Predictions& predictions, const Targets& targets) {
  const auto prediction = detail::as_span(predictions);
  const auto target = detail::as_span(targets);
  const std::size_t n = prediction.size();
  detail::check_size("xauc", "targets", target.size(), n, "predictions");
  detail::check_each("xauc", "targets", target, "a number", [](auto v) { return v == v; });
  struct row {
    detail::element_of<const Predictions> prediction;
    detail::element_of<const Targets> target;
    std::size_t place;  // rank of the prediction among the distinct ones, from 1
  };
  std::vector<row> rows(n);
  for (std::size_t i = 0; i < n; ++i) rows[i] = {prediction[i], target[i], 0};
  std::sort(rows.begin(), rows.end(), [](const row& a, const row& b) {
    return detail::scores_below(a.prediction, b.prediction);
  });
  std::size_t places = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i == 0 || detail::scores_below(rows[i - 1].prediction, rows[i].prediction)) ++places;
    rows[i].place = places;
  }
  std::sort(rows.begin(), rows.end(),
            [](const row& a, const row& b) { return a.target < b.target; });

  // A Fenwick tree counts the rows that have a smaller target and a place in 1..p.
  std::vector<std::size_t> tree(places + 1);
  const auto count_up_to = [&](std::size_t place) {
    std::uint64_t count = 0;
    for (; place > 0; place &= place - 1) count += tree[place];
    return count;
  };
  std::uint64_t doubled_wins = 0, pairs = 0;
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    for (; end < n && rows[end].target == rows[begin].target; ++end) {
      doubled_wins += count_up_to(rows[end].place - 1) + count_up_to(rows[end].place);
      pairs += begin;
    }
    for (std::size_t i = begin; i < end; ++i)
      for (std::size_t place = rows[i].place; place <= places; place += place & (0 - place))
        ++tree[place];
  }
  if (pairs == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(doubled_wins) / (2.0 * static_cast<double>(pairs));
}

}  // namespace funnel
