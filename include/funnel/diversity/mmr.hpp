// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/lazy_greedy.hpp>
#include <funnel/diversity/detail/mmr_bound.hpp>
#include <funnel/diversity/detail/sliding_maximum.hpp>
#include <funnel/diversity/detail/unit_vectors.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/diversity/slate_rule.hpp>
#include <funnel/simd/arch.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// Options of `mmr`.
struct mmr_options {
  /// Weight of relevance against dissimilarity, in [0, 1]; 1 sorts by relevance alone. lambda in
  /// the paper, theta in the lectures.
  double relevance_weight = 0.7;
  /// Number of last picks that a candidate is compared with; 0 means all picks. W in the lectures.
  std::size_t window = 0;
  /// Number of items at the front of `picked` that are already chosen, such as the previous page or
  /// fixed first slots. They are not changed, and they count as shown.
  std::size_t given = 0;
  /// Page rules, the most important first; see slate_rule.hpp.
  std::span<const slate_rule> rules = {};
  /// Range of the cosine, if vectors are passed; a similarity function has its own scale.
  cosine_range range = cosine_range::minus_one_to_one;
};

namespace detail {

inline bool* check_mmr(std::size_t n, std::span<const std::size_t> picked,
                       const mmr_options& options, arena& scratch) {
  return mark_given("mmr", n, picked, options, scratch);
}

/// `mmr` with the cosine of the rows of a matrix.
template <class Arch, class R, class T>
std::size_t mmr_of_vectors(std::span<const R> relevance, matrix_view<const T> vectors,
                           std::span<std::size_t> picked, const mmr_options& options, bool* taken,
                           arena& scratch, scan how = scan::adaptive) {
  const double weight = options.relevance_weight;
  if (weight == 1) return pick_by_relevance(relevance, picked, options, taken, scratch);
  const std::size_t window = sliding_window(options.window, picked.size());
  unit_vectors<Arch, R, T> items(relevance, vectors, scratch);
  mmr_bound<Arch, R, T> bound(items, weight, options.range, window > 0,
                              window > 0 ? window : picked.size(), scratch);
  return pick_lazily<Arch>(relevance, picked, options, taken, scratch, items, bound, how);
}

/// `mmr` with any similarity function.
template <class R, class Similarity>
std::size_t mmr_of_pairs(std::span<const R> relevance, const Similarity& similarity,
                         std::span<std::size_t> picked, const mmr_options& options, bool* taken,
                         arena& scratch) {
  const double weight = options.relevance_weight;
  if (weight == 1) return pick_by_relevance(relevance, picked, options, taken, scratch);
  const std::size_t n = relevance.size();
  sliding_maximum<double> most_similar(n, sliding_window(options.window, picked.size()), scratch);
  return pick_greedily(
      relevance, picked, options, taken, scratch,
      [&](std::size_t i) {
        return estimate{weight * static_cast<double>(relevance[i]) -
                        (1 - weight) * most_similar[i]};
      },
      [&](std::size_t j, const bool* before) {
        fill_similarities(similarity, j, before, n, most_similar.next_row());
        most_similar.add();
      });
}

}  // namespace detail

/// Maximal marginal relevance (MMR): picks items one by one; each next item has the best balance of
/// relevance and dissimilarity to the items picked before.
///
///     next = argmax_i  w*relevance[i] - (1 - w)*max_{j in window} similarity(i, j)
///
/// Shapes      relevance [n]; similarity over [0, n) x [0, n); picked [k], k <= n; all slots after
///             the first `given` are written. Returns k, or the number of filled slots if the hard
///             rules forbid every remaining item.
/// Units       relevance and similarity on the same scale, because the weight balances one against
///             the other. The maximum over no picks is 0.
/// Order       picked[0] is the first pick. Scores within 1e-12 of the best are equal; then the
///             more relevant item wins, then the lower position. Items whose relevance is not
///             finite come last, by position.
/// Errors      std::invalid_argument if k > n, the weight is outside [0, 1], the given picks are
///             not distinct positions below n, a rule does not have n labels, has window 0 or is
///             hard but follows one that is not hard, or the similarity has a size() below n.
///             Nothing is written then.
/// Cost        O(n k), with or without a window; n k calls of `similarity`; (W + 5) n words of
///             scratch memory, where W is the window, or 1 without one. The memory is taken from
///             `scratch` until that is reset; a warm arena (used before, then reset) allocates
///             nothing. Without `scratch`, a temporary arena is used.
/// Numerics    scores in double. A similarity that is not finite counts as 0. For a
///             `cosine_similarity`, the function below is called with its vectors.
/// Source      Carbonell and Goldstein, SIGIR 1998, section 2; docs/formulas.md#mmr.
template <detail::Floats Relevance, PairSimilarity Similarity>
std::size_t mmr(const Relevance& relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const mmr_options& options, arena& scratch) {
  const auto values = detail::as_span(relevance);
  bool* taken = detail::check_mmr(values.size(), picked, options, scratch);
  detail::check_similarity("mmr", values.size(), similarity);
  if constexpr (detail::is_cosine_similarity<Similarity>) {
    mmr_options by_vectors = options;
    by_vectors.range = similarity.range();
    return detail::mmr_of_vectors<default_arch>(values, similarity.vectors(), picked, by_vectors,
                                                taken, scratch);
  } else {
    return detail::mmr_of_pairs(values, similarity, picked, options, taken, scratch);
  }
}

template <detail::Floats Relevance, PairSimilarity Similarity>
std::size_t mmr(const Relevance& relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const mmr_options& options = {}) {
  arena scratch;
  return mmr(relevance, similarity, picked, options, scratch);
}

/// MMR with the cosine of vectors as the similarity; `options.range` is its range.
///
/// Shapes, units, order and errors are those of the function above, except for the following.
///
/// Shapes      vectors [n, d], of any length: only their directions matter.
/// Errors      also std::invalid_argument if there are not n vectors.
/// Cost        at most about the cost of comparing every item with every pick, O(n k d), and
///             usually a small part of it: an item is compared with a pick only while it could
///             still be the next one, unless comparing all items at once is cheaper. Exception:
///             many items that tie and are nearly copies of each other cost more (docs/diversity.md
///             has figures). There is never an n x n matrix. Scratch memory for n d floats, and
///             with a window for n W more.
/// Numerics    the cosine is that of `cosine_similarity`: computed in double, rounded once to
///             float. Upper bounds in float, which allow for rounding, decide which items could
///             win. The picks are the same as if every cosine were computed, on every instruction
///             set.
template <class Arch = default_arch, detail::Floats Relevance, detail::Matrix Vectors>
std::size_t mmr(const Relevance& relevance, const Vectors& vectors, std::span<std::size_t> picked,
                const mmr_options& options, arena& scratch) {
  const auto values = detail::as_span(relevance);
  bool* taken = detail::check_mmr(values.size(), picked, options, scratch);
  detail::check_rows("mmr", "vectors", vectors.rows(), values.size(), "relevance");
  return detail::mmr_of_vectors<Arch>(values, detail::as_view(vectors), picked, options, taken,
                                      scratch);
}

template <class Arch = default_arch, detail::Floats Relevance, detail::Matrix Vectors>
std::size_t mmr(const Relevance& relevance, const Vectors& vectors, std::span<std::size_t> picked,
                const mmr_options& options = {}) {
  arena scratch;
  return mmr<Arch>(relevance, vectors, picked, options, scratch);
}

}  // namespace funnel
