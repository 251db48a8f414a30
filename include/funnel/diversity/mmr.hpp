// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
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
#include <type_traits>

namespace funnel {

/// What `mmr` can be told.
struct mmr_options {
  /// Weight of relevance against novelty, in [0, 1]; 1 sorts by relevance alone. lambda in the
  /// source, theta in the lectures.
  double relevance_weight = 0.7;
  /// How many of the last picks count as "already shown"; 0 means all of them. W in the lectures.
  std::size_t window = 0;
  /// How many items at the front of `picked` are chosen already, as the page before or a fixed
  /// head: they are read, kept, and count as shown.
  std::size_t given = 0;
  /// What the page must not look like, the most important first; see rules.hpp.
  std::span<const slate_rule> rules = {};
  /// Scale of the similarity of vectors; a similarity function has its own.
  cosine_range range = cosine_range::minus_one_to_one;
};

namespace detail {

inline bool* check_mmr(std::size_t n, std::span<const std::size_t> picked,
                       const mmr_options& options, arena& scratch) {
  return mark_given("funnel::mmr", n, picked, options, scratch);
}

/// `mmr` by the rows of a matrix.
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

/// `mmr` by any similarity.
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

/// Picks items one by one, each the best trade of its relevance against its similarity to those
/// picked.
///
///     next = argmax_i  w*relevance[i] - (1 - w)*max_{j in window} similarity(i, j)
///
/// Shapes      relevance [n]; similarity over [0, n) x [0, n); picked [k], k <= n, written in full
///             behind the `given` first. Returns k, or the fewer picks made where a hard rule
///             forbids every item that is left.
/// Units       relevance and similarity on one scale, as the weight trades one for the other. The
///             maximum over no picks is 0.
/// Order       picked[0] is the first pick; of equal scores (within 1e-12 of the best) the more
///             relevant, then the lower position, wins. Relevance that is not finite comes last, by
///             position.
/// Errors      std::invalid_argument if k > n, the weight is outside [0, 1], the given picks are
///             not distinct positions below n, or a rule has not n labels, no window, or is hard
///             behind one that is not, or a
///             similarity has a size() and it is less than n; nothing is written then.
/// Cost        O(n k), with a window too; n k calls of similarity; (W + 5) n words of scratch, W =
///             1 without a window. `scratch` keeps them until it is reset, and a warm one allocates
///             nothing; without it one is made for the call.
/// Numerics    scores in double. A similarity that is not finite counts as 0. The vectors of a
///             `cosine_similarity` are looked at as by the function below.
/// Source      Carbonell and Goldstein, SIGIR 1998, section 2; docs/formulas.md#mmr.
template <class T = float, PairSimilarity Similarity>
std::size_t mmr(std::span<const std::type_identity_t<T>> relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const mmr_options& options, arena& scratch) {
  const std::span<const T> values = relevance;
  bool* taken = detail::check_mmr(relevance.size(), picked, options, scratch);
  detail::check_similarity("funnel::mmr", relevance.size(), similarity);
  if constexpr (detail::is_cosine_similarity<Similarity>) {
    mmr_options by_vectors = options;
    by_vectors.range = similarity.range();
    return detail::mmr_of_vectors<default_arch>(values, similarity.vectors(), picked, by_vectors,
                                                taken, scratch);
  } else {
    return detail::mmr_of_pairs(values, similarity, picked, options, taken, scratch);
  }
}

template <class T = float, PairSimilarity Similarity>
std::size_t mmr(std::span<const std::type_identity_t<T>> relevance, const Similarity& similarity,
                std::span<std::size_t> picked, const mmr_options& options = {}) {
  arena scratch;
  return mmr<T>(relevance, similarity, picked, options, scratch);
}

/// The same with the cosine of vectors for the similarity, `options.range` its scale.
///
/// Shapes      vectors [n, d], of any length: only their directions count.
/// Errors      and std::invalid_argument if there are not n vectors.
/// Cost        about that of holding every item against every pick, O(n k d), or a small part of it,
///             and more where many items tie that are nearly copies (docs/diversity.md has figures), as an item is held against a pick only while it could still be the next,
///             unless holding all at once costs less; never an n x n matrix. Scratch for n d floats,
///             and with a window n W more.
/// Numerics    the cosine of `cosine_similarity`: in double, rounded once to float. Which items could
///             win is decided by bounds in float, with all that float can be wrong: the picks are
///             those of computing every cosine, whatever the instruction set.
template <class T = float, class Arch = default_arch>
std::size_t mmr(std::span<const std::type_identity_t<T>> relevance,
                matrix_view<const std::type_identity_t<T>> vectors, std::span<std::size_t> picked,
                const mmr_options& options, arena& scratch) {
  const std::span<const T> values = relevance;
  bool* taken = detail::check_mmr(relevance.size(), picked, options, scratch);
  if (vectors.rows() != relevance.size())
    detail::fail("funnel::mmr: vectors has ", vectors.rows(), " rows for ", relevance.size(),
                 " items");
  return detail::mmr_of_vectors<Arch>(values, vectors, picked, options, taken, scratch);
}

template <class T = float, class Arch = default_arch>
std::size_t mmr(std::span<const std::type_identity_t<T>> relevance,
                matrix_view<const std::type_identity_t<T>> vectors, std::span<std::size_t> picked,
                const mmr_options& options = {}) {
  arena scratch;
  return mmr<T, Arch>(relevance, vectors, picked, options, scratch);
}

}  // namespace funnel
