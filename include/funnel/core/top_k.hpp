// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace funnel {

/// The order of every ranking in the library: larger scores first, equal scores by position, NaN
/// last.
template <class T>
constexpr bool ranks_before(T score_a, std::size_t position_a, T score_b, std::size_t position_b) {
  if (score_a > score_b) return true;
  if (score_a < score_b) return false;
  const bool nan_a = score_a != score_a;
  const bool nan_b = score_b != score_b;
  if (nan_a != nan_b) return nan_b;
  return position_a < position_b;
}

/// Writes the positions of the `picked.size()` largest scores, best first.
///
/// Shapes      scores [n]; picked [k], k <= n, written in full.
/// Order       larger first; of equal scores the lower position; NaN last.
/// Errors      std::invalid_argument if k > n, or n - 1 is no value of Position.
/// Cost        O(n + n log k) comparisons at worst, about n where scores come in random order; no
///             scratch.
template <class T, std::unsigned_integral Position>
void top_k(std::span<const T> scores, std::span<Position> picked) {
  const std::size_t n = scores.size();
  const std::size_t k = picked.size();
  if (k > n) detail::fail("funnel::top_k: picked has ", k, " slots for ", n, " scores");
  if (n > 0 && n - 1 > std::numeric_limits<Position>::max())
    detail::fail("funnel::top_k: picked cannot hold the positions of ", n, " scores");
  if (k == 0) return;
  const auto before = [&](Position a, Position b) {
    return ranks_before(scores[a], a, scores[b], b);
  };
  for (std::size_t i = 0; i < k; ++i) picked[i] = static_cast<Position>(i);
  std::ranges::make_heap(picked, before);  // the worst pick is at the front
  for (std::size_t i = k; i < n; ++i) {
    // Positions rise, so an equal score never replaces a pick.
    const T worst = scores[picked.front()];
    if (scores[i] > worst || (worst != worst && scores[i] == scores[i])) {
      std::ranges::pop_heap(picked, before);
      picked.back() = static_cast<Position>(i);
      std::ranges::push_heap(picked, before);
    }
  }
  std::ranges::sort_heap(picked, before);
}

}  // namespace funnel
