// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
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
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

namespace funnel {

/// What `dpp` can be told.
struct dpp_options {
  /// Weight of relevance against volume, in [0, 1]; 1 sorts by relevance alone, 0 ignores it but
  /// for ties (the first pick is then the most relevant). theta in the lectures.
  double relevance_weight = 0.5;
  /// How many of the last picks an item is held against; 0 means all of them. W in the lectures;
  /// the source's w counts the item itself too, so its w is W + 1.
  std::size_t window = 0;
  /// How many items at the front of `picked` are chosen already, as the page before or a fixed
  /// head: they are read, kept, and count as shown.
  std::size_t given = 0;
  /// Added to every S_ii, >= 0: mends a similarity that is not quite positive semi-definite.
  double jitter = 0;
  /// A d^2 of at most this is none, >= 0: ln d^2 is then -1e9. Less than 1e-14, which rounding leaves
  /// where there is none, counts as 1e-14.
  double epsilon = 1e-10;
  /// What the page must not look like, the most important first; see rules.hpp.
  std::span<const slate_rule> rules = {};
  /// Scale of the similarity of vectors; a similarity function has its own.
  cosine_range range = cosine_range::minus_one_to_one;
};

namespace detail {

inline bool* check_dpp(std::size_t n, std::span<const std::size_t> picked,
                       const dpp_options& options, arena& scratch) {
  bool* taken = mark_given("funnel::dpp", n, picked, options, scratch);
  constexpr double largest = std::numeric_limits<double>::max();
  if (!(options.jitter >= 0 && options.jitter <= largest))
    fail("funnel::dpp: jitter should be finite and >= 0, got ", options.jitter);
  if (!(options.epsilon >= 0 && options.epsilon <= largest))
    fail("funnel::dpp: epsilon should be finite and >= 0, got ", options.epsilon);
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

/// `dpp` by the rows of a matrix.
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

/// `dpp` by any similarity.
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

/// Picks items one by one, each the best trade of its relevance against the volume it adds: greedy
/// MAP inference of a determinantal point process.
///
///     next = argmax_i  w*relevance[i] + (1 - w)*ln d_i^2,  d_i^2 = det S_{P+i} / det S_P
///
/// where P are the picks in the window and S_ij = similarity(i, j), S_ii = similarity(i, i) +
/// jitter.
///
/// Shapes      relevance [n]; similarity over [0, n) x [0, n); picked [k], k <= n, written in full
///             behind the `given` first, also where S has rank below k. Returns k, or the fewer
///             picks made where a hard rule forbids every item that is left.
/// Units       any scale of relevance; S positive semi-definite, with S_ii about 1.
/// Order       picked[0] is the first pick; of equal scores (within 1e-12 of the best, or as near as
///             a change of 1e-14 in d^2 brings them) the more relevant, then the lower position,
///             wins. Items without volume follow by relevance.
///             Relevance that is not finite comes last, by position.
/// Errors      std::invalid_argument if k > n, the weight is outside [0, 1], jitter or epsilon is
///             negative or not finite, the given picks are not distinct positions below n, or a
///             rule has not n labels, no window, or is hard behind one that is not, or a
///             similarity has a size() and it is less than n; nothing is written then.
/// Cost        O(n k^2) and k n doubles of scratch without a window, O(n k W^2) and W n doubles
///             with one, and n k calls of similarity; never an n x n matrix. `scratch` keeps its
///             memory until it is reset, and a warm one allocates nothing; without it one is made
///             for the call.
/// Numerics    in double. The vectors of a `cosine_similarity` are looked at as by the function below,
///             where cosines are not rounded to float. With a window the factor is made anew at each pick, so errors don't grow
///             with k. A similarity that is not finite counts as 0.
/// Source      Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1; docs/formulas.md#dpp.
template <class T = float, PairSimilarity Similarity>
std::size_t dpp(std::span<const std::type_identity_t<T>> relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const dpp_options& options, arena& scratch) {
  const std::span<const T> values = relevance;
  bool* taken = detail::check_dpp(relevance.size(), picked, options, scratch);
  detail::check_similarity("funnel::dpp", relevance.size(), similarity);
  if constexpr (detail::is_cosine_similarity<Similarity>) {
    dpp_options by_vectors = options;
    by_vectors.range = similarity.range();
    return detail::dpp_of_vectors<default_arch>(values, similarity.vectors(), picked, by_vectors,
                                                taken, scratch);
  } else {
    return detail::dpp_of_pairs(values, similarity, picked, options, taken, scratch);
  }
}

template <class T = float, PairSimilarity Similarity>
std::size_t dpp(std::span<const std::type_identity_t<T>> relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const dpp_options& options = {}) {
  arena scratch;
  return dpp<T>(relevance, similarity, picked, options, scratch);
}

/// The same with the cosine of vectors for the similarity, `options.range` its scale; S_ii = 1 +
/// jitter for every item.
///
/// Shapes      vectors [n, d], of any length: only their directions count.
/// Errors      and std::invalid_argument if there are not n vectors.
/// Cost        about that of holding every item against every pick, O(n k d) or O(n k (d + W^2)) with a
///             window, at most, where the picks in view are not nearly dependent; mostly a small part
///             of it, as for `mmr`; never an n x n matrix. Scratch for n d floats and k d doubles,
///             with a window n W more floats.
/// Numerics    scores in double, from inner products in double that are not rounded to float. What
///             items could score at best is bounded in float, with all that float can be wrong; what
///             isn't looked at in double could not have won. A vector that is zero, or has a value
///             that is not finite, has cosine 0 with every other item.
template <class T = float, class Arch = default_arch>
std::size_t dpp(std::span<const std::type_identity_t<T>> relevance,
                matrix_view<const std::type_identity_t<T>> vectors, std::span<std::size_t> picked,
                const dpp_options& options, arena& scratch) {
  const std::span<const T> values = relevance;
  bool* taken = detail::check_dpp(relevance.size(), picked, options, scratch);
  if (vectors.rows() != relevance.size())
    detail::fail("funnel::dpp: vectors has ", vectors.rows(), " rows for ", relevance.size(),
                 " items");
  return detail::dpp_of_vectors<Arch>(values, vectors, picked, options, taken, scratch);
}

template <class T = float, class Arch = default_arch>
std::size_t dpp(std::span<const std::type_identity_t<T>> relevance,
                matrix_view<const std::type_identity_t<T>> vectors, std::span<std::size_t> picked,
                const dpp_options& options = {}) {
  arena scratch;
  return dpp<T, Arch>(relevance, vectors, picked, options, scratch);
}

}  // namespace funnel
