// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/metrics/detail/relevant_ids.hpp>

#include <algorithm>
#include <limits>
#include <span>

namespace funnel {

/// The denominator of `recall_at_k`.
enum class recall_denominator {
  /// The number of relevant items. If there are more than k, even a perfect list has a recall
  /// below 1.
  relevant,
  /// min(k, number of relevant items). A perfect list has a recall of 1.
  attainable,
};

/// Options of `recall_at_k`.
struct recall_options {
  /// Number of first items that count, 1 or more.
  std::size_t k = 10;
  recall_denominator denominator = recall_denominator::relevant;
};

/// Recall@k: the fraction of one user's relevant items that are among the first k of a ranked list.
///
///     recall@k = |relevant and in the first k| / |relevant|,  or / min(k, |relevant|)
///
/// The recall@k of a system is the mean over users; leave NaNs out. To evaluate retrieval, rank the
/// full catalog: on a sample of negatives, systems may compare differently.
///
/// Shapes      ranked [m], best first; m may be below k. relevant [r], in any order. An id listed
///             twice counts once; in ranked it still takes up two positions.
/// Errors      std::invalid_argument if k is 0.
/// Cost        O((r + k) log r), a copy of relevant.
/// Numerics    NaN if relevant is empty.
/// Source      docs/formulas.md#recall-and-hit-rate.
inline double recall_at_k(std::span<const item_id> ranked, std::span<const item_id> relevant,
                          const recall_options& options = {}) {
  detail::check_at_least_one("recall_at_k", "k", options.k);
  detail::relevant_ids sought(relevant);
  if (sought.size() == 0) return std::numeric_limits<double>::quiet_NaN();
  std::size_t hits = 0;
  for (const item_id id : ranked.first(std::min(options.k, ranked.size()))) hits += sought.take(id);
  const std::size_t of = options.denominator == recall_denominator::relevant
                             ? sought.size()
                             : std::min(options.k, sought.size());
  return static_cast<double>(hits) / static_cast<double>(of);
}

/// Reciprocal rank: 1 / (rank of the first relevant item), or 0 if the list has none. Its mean over
/// users is the mean reciprocal rank (MRR).
///
/// Shapes      ranked [m], best first; relevant [r], in any order.
/// Cost        O((r + m) log r), a copy of relevant.
/// Numerics    NaN if relevant is empty.
/// Source      Voorhees, TREC 1999; docs/formulas.md#reciprocal-rank.
inline double reciprocal_rank(std::span<const item_id> ranked, std::span<const item_id> relevant) {
  detail::relevant_ids sought(relevant);
  if (sought.size() == 0) return std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < ranked.size(); ++i)
    if (sought.take(ranked[i])) return 1.0 / static_cast<double>(i + 1);
  return 0;
}

/// Hit@k: 1 if any of the first k items is relevant, otherwise 0. Its mean over users is the hit
/// rate (HR@k).
///
/// Shapes      ranked [m], best first; relevant [r], in any order.
/// Errors      std::invalid_argument if k is 0.
/// Cost        O((r + k) log r), a copy of relevant.
/// Numerics    NaN if relevant is empty.
/// Source      docs/formulas.md#recall-and-hit-rate.
inline double hit_at_k(std::span<const item_id> ranked, std::span<const item_id> relevant,
                       std::size_t k) {
  detail::check_at_least_one("hit_at_k", "k", k);
  const double first = reciprocal_rank(ranked.first(std::min(k, ranked.size())), relevant);
  return first > 0 ? 1 : first;
}

}  // namespace funnel
