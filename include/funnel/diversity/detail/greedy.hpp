// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/top_k.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace funnel::detail {

/// Checks what `mmr` and `dpp` have in common, and marks the items that are picked beforehand.
inline bool* mark_given(std::string_view function, std::size_t n,
                        std::span<const std::size_t> picked, std::size_t given,
                        double relevance_weight, arena& scratch) {
  if (picked.size() > n) fail(function, ": picked has ", picked.size(), " slots for ", n, " items");
  if (!(relevance_weight >= 0 && relevance_weight <= 1))
    fail(function, ": relevance_weight should be in [0, 1], got ", relevance_weight);
  if (given > picked.size())
    fail(function, ": given is ", given, ", more than the ", picked.size(), " slots of picked");
  bool* taken = scratch.allocate<bool>(n);
  std::fill_n(taken, n, false);
  for (std::size_t t = 0; t < given; ++t) {
    if (picked[t] >= n)
      fail(function, ": picked[", t, "] is given as ", picked[t], ", there are ", n, " items");
    if (taken[picked[t]]) fail(function, ": picked[", t, "] = ", picked[t], " is given twice");
    taken[picked[t]] = true;
  }
  return taken;
}

/// The window, or 0 where it reaches back over everything that k picks can look back at.
inline std::size_t sliding_window(std::size_t window, std::size_t k) {
  return k == 0 || window >= k - 1 ? 0 : window;
}

/// Fills picked[given..] by relevance alone: larger first, then by position; not finite last.
template <class T>
void pick_by_relevance(std::span<const T> relevance, std::span<std::size_t> picked,
                       std::size_t given, const bool* taken, arena& scratch) {
  const std::size_t n = relevance.size();
  std::size_t* left = scratch.allocate<std::size_t>(n);
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; ++i)
    if (!taken[i]) left[count++] = i;
  const std::size_t wanted = picked.size() - given;
  std::partial_sort(left, left + wanted, left + count, [&](std::size_t a, std::size_t b) {
    constexpr T last = -std::numeric_limits<T>::infinity();
    return ranks_before(std::isfinite(relevance[a]) ? relevance[a] : last, a,
                        std::isfinite(relevance[b]) ? relevance[b] : last, b);
  });
  std::copy_n(left, wanted, picked.data() + given);
}

/// Fills picked[given..], one argmax of `score(i)` after another; `show(j, taken)` tells of a pick
/// that later scores depend on.
///
/// Scores that differ by less than rounding are equal: those within 1e-12 of the best go by
/// relevance, then by position. Items whose relevance is not finite come last, by position.
template <class T, class Score, class Show>
void pick_greedily(std::span<const T> relevance, std::span<std::size_t> picked, std::size_t given,
                   bool* taken, arena& scratch, const Score& score, const Show& show) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  constexpr double tie = 1e-12;
  const std::size_t n = relevance.size();
  const std::size_t k = picked.size();
  if (k == given) return;

  std::fill_n(taken, n, false);  // `show` wants those that were taken before the pick it is told of
  for (std::size_t t = 0; t < given; ++t) {
    taken[picked[t]] = true;
    show(picked[t], taken);
  }
  double* scores = scratch.allocate<double>(n);
  std::size_t t = given;
  for (; t < k; ++t) {
    double best = none;
    for (std::size_t i = 0; i < n; ++i) {
      scores[i] = taken[i] || !std::isfinite(relevance[i]) ? none : score(i);
      best = std::max(best, scores[i]);
    }
    if (!std::isfinite(best)) break;
    const double enough = best - tie * std::max(1.0, std::abs(best));
    std::size_t pick = n;
    for (std::size_t i = 0; i < n; ++i)
      if (scores[i] >= enough && (pick == n || relevance[i] > relevance[pick])) pick = i;
    picked[t] = pick;
    taken[pick] = true;
    if (t + 1 < k) show(pick, taken);
  }
  for (std::size_t i = 0; t < k; ++i)
    if (!taken[i]) picked[t++] = i;
}

/// A similarity as a number to compute with: one that is not finite says nothing, 0.
inline double finite_or_zero(double similarity) {
  return std::isfinite(similarity) ? similarity : 0;
}

/// row[i] = similarity(i, j) for every item that is not taken, else 0.
template <class Similarity>
void fill_similarities(const Similarity& similarity, std::size_t j, const bool* taken,
                       std::size_t n, double* row) {
  for (std::size_t i = 0; i < n; ++i)
    row[i] = taken[i] ? 0 : finite_or_zero(static_cast<double>(similarity(i, j)));
}

}  // namespace funnel::detail
