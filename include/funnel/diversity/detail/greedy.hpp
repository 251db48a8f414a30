// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/top_k.hpp>
#include <funnel/diversity/detail/slate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace funnel::detail {

/// Checks the arguments that `mmr` and `dpp` share. Returns one flag per item, set for the given
/// picks.
template <class Options>
bool* mark_given(std::string_view function, std::size_t n, std::span<const std::size_t> picked,
                 const Options& options, arena& scratch) {
  const std::size_t given = options.given;
  if constexpr (sizeof(std::size_t) > 4) check_size_of_32_bits(function, "relevance", n);
  if (picked.size() > n)
    fail("funnel::", function, ": picked has ", picked.size(), " values, expected at most ", n,
         ", the number of items");
  check_unit_interval(function, "relevance_weight", options.relevance_weight);
  check_rules(function, n, options.rules);
  check_that(function, "given", given, given <= picked.size(), "at most ", picked.size(),
             ", the size of picked");
  bool* taken = scratch.allocate<bool>(n);
  std::fill_n(taken, n, false);
  for (std::size_t t = 0; t < given; ++t) {
    if (picked[t] >= n)
      fail("funnel::", function, ": picked[", t, "] is ", picked[t], ", expected below ", n,
           ", the number of items");
    if (taken[picked[t]])
      fail("funnel::", function, ": picked[", t, "] is ", picked[t],
           ", expected an item that is not given before");
    taken[picked[t]] = true;
  }
  return taken;
}

/// A score with an error bound: the exact score differs by at most `slack`.
struct estimate {
  double score;
  double slack = 0;

  /// Scores are equal if they differ by less than this, times the magnitude of the score if that is
  /// above 1.
  static constexpr double tie = 1e-12;
  /// The value that another score must reach to be equal to this one or better.
  double low() const {
    return score - slack - tie * std::clamp(std::abs(score), 1., 1e300);  // of inf: inf
  }
  /// Upper bound of the exact score.
  double high() const { return score + slack; }
};

/// Size of the rounding errors of d^2.
inline constexpr double volume_rounding = 1e-14;

/// A d^2 of at most this counts as 0: it may consist of rounding errors alone.
inline double no_volume(double epsilon) {
  return std::max(epsilon, volume_rounding);
}

/// The score in `dpp` of an item with d^2 = `left`: base + weight ln d^2, with -1e9 for ln d^2 if
/// `left` is at most `epsilon`. The slack is the effect of rounding errors of d^2: items whose
/// scores differ by less are equal.
inline estimate volume_score(double base, double weight, double left, double epsilon) {
  constexpr double log_of_none = -1e9;  // loses, but relevance still breaks ties
  if (!(left > epsilon)) return {base + weight * log_of_none};
  return {base + weight * std::log(left), weight * std::min(volume_rounding / left, .5)};
}

/// The window, or 0 (no window) if it is so long that all of k picks stay in it.
inline std::size_t sliding_window(std::size_t window, std::size_t k) {
  return k == 0 || window >= k - 1 ? 0 : window;
}

/// Greedy search: fills picked[given..], each slot with the item of the largest `score(i)` among
/// those that the rules admit. `show(j, taken)` is called after a pick that later scores depend on,
/// with the items that were taken before it. Returns how many slots are filled: all, unless a hard
/// rule forbids every remaining item.
///
/// `score` returns an `estimate`. Items whose score reaches the low() of the best are equal to it;
/// among them the more relevant wins, then the lower position. Items whose relevance is not finite
/// come last, by position. Items whose relevance is not finite come last, by position.
template <class T, class Options, class Score, class Show>
std::size_t pick_greedily(std::span<const T> relevance, std::span<std::size_t> picked,
                          const Options& options, bool* taken, arena& scratch, const Score& score,
                          const Show& show) {
  constexpr double none = -std::numeric_limits<double>::infinity();
  const std::size_t n = relevance.size();
  const std::size_t k = picked.size();
  if (k == options.given) return k;

  std::fill_n(taken, n, false);  // `show` gets the items that were taken before the pick
  for (std::size_t t = 0; t < options.given; ++t) {
    taken[picked[t]] = true;
    show(picked[t], taken);
  }
  slate page(options.rules, n, k, scratch);
  double* high = scratch.allocate<double>(n);
  for (std::size_t t = options.given; t < k; ++t) {
    const bool* admitted = page.admit(picked.first(t), taken);
    if (admitted == nullptr) return t;
    double enough = none;
    bool found = false;
    for (std::size_t i = 0; i < n; ++i) {
      high[i] = none;
      if (!admitted[i] || !std::isfinite(relevance[i])) continue;
      const estimate of_item = score(i);
      high[i] = of_item.high();
      enough = std::max(enough, of_item.low());
      found = true;
    }
    std::size_t pick = n;
    if (found) {
      for (std::size_t i = 0; i < n; ++i)
        if (high[i] >= enough && (pick == n || relevance[i] > relevance[pick])) pick = i;
    } else {
      pick = static_cast<std::size_t>(std::find(admitted, admitted + n, true) - admitted);
    }
    picked[t] = pick;
    taken[pick] = true;
    if (t + 1 < k) show(pick, taken);
  }
  return k;
}

/// Fills picked[given..] by relevance alone: larger first, then by position; items whose relevance
/// is not finite come last.
template <class T, class Options>
std::size_t pick_by_relevance(std::span<const T> relevance, std::span<std::size_t> picked,
                              const Options& options, bool* taken, arena& scratch) {
  if (!options.rules.empty())
    return pick_greedily(
        relevance, picked, options, taken, scratch,
        [&](std::size_t i) { return estimate{static_cast<double>(relevance[i])}; },
        [](std::size_t, const bool*) {});
  const std::size_t n = relevance.size();
  std::size_t* left = scratch.allocate<std::size_t>(n);
  std::size_t count = 0;
  for (std::size_t i = 0; i < n; ++i)
    if (!taken[i]) left[count++] = i;
  const std::size_t wanted = picked.size() - options.given;
  std::partial_sort(left, left + wanted, left + count, [&](std::size_t a, std::size_t b) {
    constexpr T last = -std::numeric_limits<T>::infinity();
    return ranks_before(std::isfinite(relevance[a]) ? relevance[a] : last, a,
                        std::isfinite(relevance[b]) ? relevance[b] : last, b);
  });
  std::copy_n(left, wanted, picked.data() + options.given);
  return picked.size();
}

/// The similarity, or 0 if it is not finite.
inline double finite_or_zero(double similarity) {
  return std::isfinite(similarity) ? similarity : 0;
}

/// row[i] = similarity(i, j) for every item that is not taken, otherwise 0.
template <class Similarity>
void fill_similarities(const Similarity& similarity, std::size_t j, const bool* taken,
                       std::size_t n, double* row) {
  for (std::size_t i = 0; i < n; ++i)
    row[i] = taken[i] ? 0 : finite_or_zero(static_cast<double>(similarity(i, j)));
}

}  // namespace funnel::detail
