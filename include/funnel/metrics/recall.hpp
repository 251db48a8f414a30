// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/metrics/detail/relevant_ids.hpp>

#include <algorithm>
#include <limits>
#include <span>

namespace funnel {

/// What `recall_at_k` divides by.
enum class recall_denominator {
  /// The number of relevant items: below 1 even for a perfect list when there are more than k.
  relevant,
  /// min(k, number of relevant items): a perfect list has 1.
  attainable,
};

/// What `recall_at_k` can be told.
struct recall_options {
  /// How many of the first items count, 1 or more.
  std::size_t k = 10;
  recall_denominator denominator = recall_denominator::relevant;
};

/// The part of one user's relevant items that is among the first k of a ranked list.
///
///     recall@k = |relevant and in the first k| / |relevant|,  or / min(k, |relevant|)
///
/// A mean over users is recall@k of a system; skip the NaNs. For retrieval, rank the full corpus:
/// a sample of negatives changes the order of systems.
///
/// Shapes      ranked [m], best first; a list shorter than k misses the rest. relevant [r], any
///             order. Ids listed twice count once, but take up their place.
/// Errors      std::invalid_argument if k is 0.
/// Cost        O((r + k) log r), a copy of relevant.
/// Numerics    NaN if nothing is relevant.
/// Source      docs/formulas.md#recall-and-hit-rate.
inline double recall_at_k(std::span<const item_id> ranked, std::span<const item_id> relevant,
                          const recall_options& options = {}) {
  if (options.k == 0) detail::fail("funnel::recall_at_k: k is 0, expected 1 or more");
  detail::relevant_ids sought(relevant);
  if (sought.size() == 0) return std::numeric_limits<double>::quiet_NaN();
  std::size_t hits = 0;
  for (const item_id id : ranked.first(std::min(options.k, ranked.size()))) hits += sought.take(id);
  const std::size_t of = options.denominator == recall_denominator::relevant
                             ? sought.size()
                             : std::min(options.k, sought.size());
  return static_cast<double>(hits) / static_cast<double>(of);
}

/// One over the place of the first relevant item of a ranked list, 0 if there is none; MRR is its
/// mean over users.
///
/// Shapes      ranked [m], best first; relevant [r], any order.
/// Cost        O((r + m) log r), a copy of relevant.
/// Numerics    NaN if nothing is relevant.
/// Source      Voorhees, TREC 1999; docs/formulas.md#reciprocal-rank.
inline double reciprocal_rank(std::span<const item_id> ranked, std::span<const item_id> relevant) {
  detail::relevant_ids sought(relevant);
  if (sought.size() == 0) return std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < ranked.size(); ++i)
    if (sought.take(ranked[i])) return 1.0 / static_cast<double>(i + 1);
  return 0;
}

/// 1 if any of the first k items is relevant, else 0; HR@k is its mean over users.
///
/// Shapes      ranked [m], best first; relevant [r], any order.
/// Errors      std::invalid_argument if k is 0.
/// Cost        O((r + k) log r), a copy of relevant.
/// Numerics    NaN if nothing is relevant.
/// Source      docs/formulas.md#recall-and-hit-rate.
inline double hit_at_k(std::span<const item_id> ranked, std::span<const item_id> relevant,
                       std::size_t k) {
  if (k == 0) detail::fail("funnel::hit_at_k: k is 0, expected 1 or more");
  const double first = reciprocal_rank(ranked.first(std::min(k, ranked.size())), relevant);
  return first > 0 ? 1 : first;
}

}  // namespace funnel
