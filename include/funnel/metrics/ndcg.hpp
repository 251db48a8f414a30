// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/metrics/detail/ranked_rows.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// How a graded relevance is turned into a gain.
enum class ndcg_gain {
  /// 2^relevance - 1
  exponential,
  /// relevance
  linear,
};

/// Options of `ndcg_at_k` and `ndcg_of_scores`.
struct ndcg_options {
  /// Number of first items that count, 1 or more.
  std::size_t k = 10;
  /// The gain of a relevance. Both forms are the same for relevance 0 and 1.
  ndcg_gain gain = ndcg_gain::exponential;
};

namespace detail {

template <class T>
std::vector<double> ndcg_gains(std::string_view function, std::span<const T> relevance,
                               const ndcg_options& options) {
  check_at_least_one(function, "k", options.k);
  check_each(function, "relevance", relevance, "a number in [0, 1000]",
             [](T v) { return v >= 0 && v <= 1000; });
  std::vector<double> gains(relevance.begin(), relevance.end());
  if (options.gain == ndcg_gain::exponential)
    for (double& gain : gains)  // expm1: small gains keep their digits
      gain = gain < 0.5 ? std::expm1(gain * std::numbers::ln2) : std::exp2(gain) - 1;
  return gains;
}

/// 1 / log2(rank + 1), where rank = index + 1.
inline double ndcg_discount(std::size_t index) {
  return 1 / std::log2(static_cast<double>(index) + 2);
}

/// The DCG of the best possible order.
inline double ideal_dcg(std::vector<double> gains, std::size_t k) {
  k = std::min(k, gains.size());
  std::partial_sort(gains.begin(), gains.begin() + static_cast<std::ptrdiff_t>(k), gains.end(),
                    std::greater<>());
  double sum = 0;
  for (std::size_t i = 0; i < k; ++i) sum += gains[i] * ndcg_discount(i);
  return sum;
}

}  // namespace detail

/// NDCG@k (normalized discounted cumulative gain): how close a ranked list with graded relevance is
/// to the best possible list. Lower ranks count less, by a logarithmic discount.
///
///     dcg@k = sum_{i <= k} gain_i / log2(i + 1),  ndcg@k = dcg@k / dcg@k of the ideal list
///
/// The ideal list contains all relevant items, including those that the ranked list misses. An
/// ideal list of the hits only would inflate the value.
///
/// Shapes      ranked [m], best first; relevant [r], distinct ids; relevance [r], one value per
///             relevant id. An id that is ranked twice counts once, at its first position.
/// Errors      std::invalid_argument if k is 0, the sizes differ, an id is in relevant twice or a
///             relevance is outside [0, 1000].
/// Cost        O((r + k) log r), copies of relevant and relevance.
/// Numerics    NaN if no relevance is above 0; leave such users out of a mean.
/// Source      Järvelin and Kekäläinen, TOIS 2002; Burges et al., ICML 2005 (gain);
///             docs/formulas.md#ndcg.
template <detail::Numbers Relevance>
double ndcg_at_k(std::span<const item_id> ranked, std::span<const item_id> relevant,
                 const Relevance& relevance, const ndcg_options& options = {}) {
  const auto values = detail::as_span(relevance);
  detail::check_size("ndcg_at_k", "relevance", values.size(), relevant.size(), "relevant");
  const std::vector<double> gains = detail::ndcg_gains("ndcg_at_k", values, options);
  struct row {
    item_id id;
    double gain;
  };
  std::vector<row> rows(gains.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = {relevant[i], gains[i]};
  std::sort(rows.begin(), rows.end(), [](const row& a, const row& b) { return a.id < b.id; });
  for (std::size_t i = 1; i < rows.size(); ++i)
    if (rows[i].id == rows[i - 1].id)
      detail::fail("funnel::ndcg_at_k: relevant has ", rows[i].id, " twice, expected each id once");

  double dcg = 0;
  for (std::size_t i = 0; i < std::min(options.k, ranked.size()); ++i) {
    const auto place = std::lower_bound(rows.begin(), rows.end(), ranked[i],
                                        [](const row& a, item_id id) { return a.id < id; });
    if (place == rows.end() || place->id != ranked[i]) continue;
    dcg += place->gain * detail::ndcg_discount(i);
    place->gain = 0;
  }
  const double ideal = detail::ideal_dcg(gains, options.k);
  return ideal > 0 ? dcg / ideal : std::numeric_limits<double>::quiet_NaN();
}

/// NDCG@k of the order in which scores rank a full list of candidates.
///
/// Shapes      scores [n], relevance [n].
/// Order       larger scores first, NaN last. Tied scores share the mean gain of their ranks, which
///             is the expected value over random orders: a constant score does not profit from a
///             lucky order.
/// Errors      std::invalid_argument if k is 0, the sizes differ or a relevance is outside [0,
///             1000].
/// Cost        O(n log n), a copy of the input.
/// Numerics    NaN if no relevance is above 0.
/// Source      as `ndcg_at_k`; ties as McSherry and Najork, ECIR 2008.
template <detail::Numbers Scores, detail::Numbers Relevance>
double ndcg_of_scores(const Scores& scores, const Relevance& relevance,
                      const ndcg_options& options = {}) {
  const auto score = detail::as_span(scores);
  const auto values = detail::as_span(relevance);
  const std::size_t n = score.size();
  detail::check_size("ndcg_of_scores", "relevance", values.size(), n, "scores");
  const std::vector<double> gains = detail::ndcg_gains("ndcg_of_scores", values, options);
  struct row {
    detail::element_of<const Scores> score;
    double gain;
  };
  std::vector<row> rows(n);
  for (std::size_t i = 0; i < n; ++i) rows[i] = {score[i], gains[i]};
  std::sort(rows.begin(), rows.end(),
            [](const row& a, const row& b) { return detail::scores_below(b.score, a.score); });

  double dcg = 0;
  for (std::size_t begin = 0, end = 0; begin < std::min(options.k, n); begin = end) {
    double gain = 0, discount = 0;
    for (; end < n && !detail::scores_below(rows[end].score, rows[begin].score); ++end) {
      gain += rows[end].gain;
      if (end < options.k) discount += detail::ndcg_discount(end);
    }
    dcg += gain / static_cast<double>(end - begin) * discount;
  }
  const double ideal = detail::ideal_dcg(gains, options.k);
  return ideal > 0 ? dcg / ideal : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace funnel
