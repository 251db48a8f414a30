// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/diversity/detail/dpp_bound.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/lazy_greedy.hpp>
#include <funnel/diversity/detail/unit_vectors.hpp>
#include <funnel/diversity/detail/volume.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/diversity/slate_rule.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace funnel {

/// Options of `dpp`.
struct dpp_options {
  /// Weight of relevance against volume, in [0, 1]; 1 sorts by relevance alone; 0 uses relevance
  /// only to break ties (the first pick is then the most relevant item). theta in the lectures.
  double relevance_weight = 0.5;
  /// Number of last picks that a candidate is compared with; 0 means all picks. W in the lectures;
  /// the paper's w also counts the candidate, so it is W + 1.
  std::size_t window = 0;
  /// Number of items at the front of `picked` that are already chosen, such as the previous page or
  /// fixed first slots. They are not changed, and they count as shown.
  std::size_t given = 0;
  /// Added to every S_ii, >= 0: corrects a similarity that is not quite positive semi-definite.
  double jitter = 0;
  /// A d^2 of at most this counts as 0, and ln d^2 as -1e9; >= 0. Values below 1e-14 count as
  /// 1e-14, because rounding errors of d^2 are of that size.
  double epsilon = 1e-10;
  /// Page rules, the most important first; see slate_rule.hpp.
  std::span<const slate_rule> rules = {};
  /// Range of the cosine, if vectors are passed; a similarity function has its own scale.
  cosine_range range = cosine_range::minus_one_to_one;
};

namespace detail {

inline bool* check_dpp(std::size_t n, std::span<const std::size_t> picked,
                       const dpp_options& options, arena& scratch) {
  bool* taken = mark_given("dpp", n, picked, options, scratch);
  check_not_negative("dpp", "jitter", options.jitter);
  check_not_negative("dpp", "epsilon", options.epsilon);
  return taken;
}

template <class T, class Volume>
std::size_t pick_by_volume(std::span<const T> relevance, std::span<std::size_t> picked,
                           const dpp_options& options, bool* taken, arena& scratch,
                           Volume&& volume) {
  const double weight = options.relevance_weight;
  return pick_greedily(
      relevance, picked, options, taken, scratch,
      [&](std::size_t i) {
        return volume_score(weight * static_cast<double>(relevance[i]), 1 - weight, volume[i],
                            no_volume(options.epsilon));
      },
      [&](std::size_t j, const bool* before) { volume.add(j, before); });
}

/// `dpp` with the cosine of the rows of a matrix.
template <class Arch, class R, class T>
std::size_t dpp_of_vectors(std::span<const R> relevance, matrix_view<const T> vectors,
                           std::span<std::size_t> picked, const dpp_options& options, bool* taken,
                           arena& scratch, scan how = scan::adaptive) {
  if (options.relevance_weight == 1)
    return pick_by_relevance(relevance, picked, options, taken, scratch);
  const std::size_t k = picked.size();
  const std::size_t window = sliding_window(options.window, k);
  unit_vectors<Arch, R, T> items(relevance, vectors, scratch);
  dpp_bound<Arch, R, T> bound(items, options, window > 0, window > 0 ? window : k, scratch);
  return pick_lazily<Arch>(relevance, picked, options, taken, scratch, items, bound, how);
}

/// `dpp` with any similarity function.
template <class R, class Similarity>
std::size_t dpp_of_pairs(std::span<const R> relevance, const Similarity& similarity,
                         std::span<std::size_t> picked, const dpp_options& options, bool* taken,
                         arena& scratch) {
  if (options.relevance_weight == 1)
    return pick_by_relevance(relevance, picked, options, taken, scratch);
  const std::size_t n = relevance.size();
  const std::size_t k = picked.size();
  const double epsilon = no_volume(options.epsilon);
  double* diagonal = scratch.allocate<double>(n);
  for (std::size_t i = 0; i < n; ++i)
    diagonal[i] = finite_or_zero(static_cast<double>(similarity(i, i))) + options.jitter;
  const auto fill_row = [&](std::size_t j, const bool* before, double* row) {
    fill_similarities(similarity, j, before, n, row);
  };
  const std::size_t window = sliding_window(options.window, k);
  if (window == 0)
    return pick_by_volume(relevance, picked, options, taken, scratch,
                          cholesky_volume(n, fill_row, diagonal, k, epsilon, scratch));
  return pick_by_volume(relevance, picked, options, taken, scratch,
                        window_volume(n, fill_row, diagonal, window, epsilon, scratch));
}

}  // namespace detail

/// Determinantal point process (DPP), greedy MAP inference: picks items one by one; each next item
/// has the best balance of relevance and the volume it adds to the items picked before.
///
///     next = argmax_i  w*relevance[i] + (1 - w)*ln d_i^2,  d_i^2 = det S_{P+i} / det S_P
///
/// where P are the picks in the window and S_ij = similarity(i, j), S_ii = similarity(i, i) +
/// jitter.
///
/// Shapes      relevance [n]; similarity over [0, n) x [0, n); picked [k], k <= n; all slots after
///             the first `given` are written, even if the rank of S is below k. Returns k, or the
///             number of filled slots if the hard rules forbid every remaining item.
/// Units       relevance on any scale; S positive semi-definite, with S_ii about 1.
/// Order       picked[0] is the first pick. Scores are equal if they are within 1e-12 of the best,
///             or would be after a change of 1e-14 in d^2; then the more relevant item wins, then
///             the lower position. Items that add no volume follow, by relevance. Items whose
///             relevance is not finite come last, by position.
/// Errors      std::invalid_argument if k > n, the weight is outside [0, 1], jitter or epsilon is
///             negative or not finite, the given picks are not distinct positions below n, a rule
///             does not have n labels, has window 0 or is hard but follows one that is not hard, or
///             the similarity has a size() below n. Nothing is written then.
/// Cost        O(n k^2) and k n doubles of scratch memory without a window, O(n k W^2) and W n
///             doubles with a window of W; n k calls of `similarity`. There is never an n x n
///             matrix. The memory is taken from `scratch` until that is reset; a warm arena (used
///             before, then reset) allocates nothing. Without `scratch`, a temporary arena is used.
/// Numerics    computed in double. For a `cosine_similarity`, the function below is called with its
///             vectors, and cosines are not rounded to float. With a window the Cholesky factor is
///             computed anew at each pick, so that errors do not grow with k. A similarity that is
///             not finite counts as 0.
/// Source      Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1; docs/formulas.md#dpp.
template <detail::Floats Relevance, PairSimilarity Similarity>
std::size_t dpp(const Relevance& relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const dpp_options& options, arena& scratch) {
  const auto values = detail::as_span(relevance);
  bool* taken = detail::check_dpp(values.size(), picked, options, scratch);
  detail::check_similarity("dpp", values.size(), similarity);
  if constexpr (detail::is_cosine_similarity<Similarity>) {
    dpp_options by_vectors = options;
    by_vectors.range = similarity.range();
    return detail::dpp_of_vectors<default_arch>(values, similarity.vectors(), picked, by_vectors,
                                                taken, scratch);
  } else {
    return detail::dpp_of_pairs(values, similarity, picked, options, taken, scratch);
  }
}

template <detail::Floats Relevance, PairSimilarity Similarity>
std::size_t dpp(const Relevance& relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const dpp_options& options = {}) {
  arena scratch;
  return dpp(relevance, similarity, picked, options, scratch);
}

/// DPP with the cosine of vectors as the similarity; `options.range` is its range. S_ii is 1 +
/// jitter for every item.
///
/// Shapes, units, order and errors are those of the function above, except for the following.
///
/// Shapes      vectors [n, d], of any length: only their directions matter.
/// Errors      also std::invalid_argument if there are not n vectors.
/// Cost        at most about the cost of comparing every item with every pick, O(n k d), or O(n k
///             (d + W^2)) with a window, unless the picks in the window are nearly linearly
///             dependent. Usually a small part of it, as for `mmr`. There is never an n x n matrix.
///             Scratch memory for n d floats and k d doubles, and with a window for n W more
///             floats.
/// Numerics    scores in double, from inner products in double that are not rounded to float. Upper
///             bounds of the scores are in float and allow for rounding; an item that is not scored
///             in double could not have won. A vector that is zero or has a value that is not
///             finite has cosine 0 with every other vector.
template <class Arch = default_arch, detail::Floats Relevance, detail::Matrix Vectors>
std::size_t dpp(const Relevance& relevance, const Vectors& vectors, std::span<std::size_t> picked,
                const dpp_options& options, arena& scratch) {
  const auto values = detail::as_span(relevance);
  bool* taken = detail::check_dpp(values.size(), picked, options, scratch);
  detail::check_rows("dpp", "vectors", vectors.rows(), values.size(), "relevance");
  return detail::dpp_of_vectors<Arch>(values, detail::as_view(vectors), picked, options, taken,
                                      scratch);
}

template <class Arch = default_arch, detail::Floats Relevance, detail::Matrix Vectors>
std::size_t dpp(const Relevance& relevance, const Vectors& vectors, std::span<std::size_t> picked,
                const dpp_options& options = {}) {
  arena scratch;
  return dpp<Arch>(relevance, vectors, picked, options, scratch);
}

}  // namespace funnel
