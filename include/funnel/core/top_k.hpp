// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/order_key.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>

namespace funnel {

/// The order of every ranking in this library: larger scores first, equal scores by lower position,
/// NaN last. Returns true if a ranks before b.
template <class T>
constexpr bool ranks_before(T score_a, std::size_t position_a, T score_b, std::size_t position_b) {
  if (score_a > score_b) return true;
  if (score_a < score_b) return false;
  const bool nan_a = score_a != score_a;
  const bool nan_b = score_b != score_b;
  if (nan_a != nan_b) return nan_b;
  return position_a < position_b;
}

namespace detail {

/// Number of scores above a bound. Compilers turn blocks of constant size into SIMD instructions.
template <class T>
std::size_t count_above(std::span<const T> scores, T bound) {
  constexpr std::size_t block = 256;
  std::size_t count = 0;
  std::size_t i = 0;
  for (; i + block <= scores.size(); i += block) {
    std::uint32_t of_block = 0;
    for (std::size_t j = 0; j < block; ++j) of_block += scores[i + j] > bound ? 1u : 0u;
    count += of_block;
  }
  for (; i < scores.size(); ++i) count += scores[i] > bound ? 1u : 0u;
  return count;
}

/// Returns a bound that exactly k scores are above or, if there is none, the lowest bound that at
/// most k scores are above. All scores above the bound are among the k largest; the other picks are
/// equal to it or NaN.
template <class T>
T top_k_bound(std::span<const T> scores, std::size_t k) {
  using limits = std::numeric_limits<T>;
  const bool infinite = limits::has_infinity;
  auto low = order_key(infinite ? static_cast<T>(-limits::infinity()) : limits::lowest());
  auto high = order_key(infinite ? limits::infinity() : limits::max());
  while (low < high) {
    const auto middle = static_cast<decltype(low)>(low + (high - low) / 2);
    const T bound = from_order_key<T>(middle);
    const std::size_t above = count_above(scores, bound);
    if (above == k) return bound;
    if (above > k) {
      low = static_cast<decltype(low)>(middle + 1);
    } else {
      high = middle;
    }
  }
  return from_order_key<T>(low);
}

/// Up to this many scores are sorted on the stack, in at most 8 KB.
inline constexpr std::size_t few_scores = 1024;

/// Maps a score to an integer that is smaller if the score ranks earlier. Equal scores have equal
/// keys, and NaN has the largest. Without branches.
template <class T>
constexpr std::uint32_t rank_key(T score) {
  if constexpr (std::floating_point<T>) {
    const auto bits = std::bit_cast<std::uint32_t>(score);
    const std::uint32_t size = bits & 0x7fffffffu;
    const std::uint32_t negative = size == 0 ? 0u : bits >> 31;  // -0 is 0
    const std::uint32_t key = (0x7fffffffu - size) ^ (0u - negative);
    return size > 0x7f800000u ? 0xffffffffu : key;
  } else {
    return ~std::uint32_t{order_key(score)};
  }
}

/// Top-1: the position of the best score. There is at least one score.
template <class T, class Position>
void top_one(std::span<const T> scores, Position& picked) {
  std::size_t best = 0;
  while (best + 1 < scores.size() && scores[best] != scores[best]) ++best;
  if (scores[best] != scores[best]) best = 0;  // only NaN
  for (std::size_t i = best + 1; i < scores.size(); ++i)
    if (scores[i] > scores[best]) best = i;
  picked = static_cast<Position>(best);
}

/// Insertion sort of the positions.
template <class Position, class Before>
void top_k_by_insertion(std::size_t n, std::span<Position> picked, const Before& before) {
  for (std::size_t i = 0; i < n; ++i) {
    const auto position = static_cast<Position>(i);
    std::size_t at = std::min(i, picked.size());
    if (at == picked.size() && !before(position, picked[--at])) continue;
    for (; at > 0 && before(position, picked[at - 1]); --at) picked[at] = picked[at - 1];
    picked[at] = position;
  }
}

template <class T, class Position>
void top_k_of_few(std::span<const T> scores, std::span<Position> picked) {
  const std::size_t n = scores.size();
  const std::size_t k = picked.size();
  const auto sort_front = [&](auto* begin, auto before) {
    if (k < n) std::nth_element(begin, begin + k, begin + n, before);
    std::sort(begin, begin + k, before);
  };
  if constexpr (sizeof(T) <= 4) {
    std::uint64_t keys[few_scores];
    // One simple loop per operation, over blocks of constant size: these become SIMD instructions.
    constexpr std::size_t block = 32;
    std::uint32_t of_block[block];
    std::size_t i = 0;
    for (; i + block <= n; i += block) {
      for (std::size_t j = 0; j < block; ++j) of_block[j] = rank_key(scores[i + j]);
      for (std::size_t j = 0; j < block; ++j) keys[i + j] = std::uint64_t{of_block[j]} << 32;
      for (std::size_t j = 0; j < block; ++j) keys[i + j] |= i + j;
    }
    for (; i < n; ++i) keys[i] = std::uint64_t{rank_key(scores[i])} << 32 | i;
    sort_front(keys, std::less<>());
    for (i = 0; i < k; ++i) picked[i] = static_cast<Position>(keys[i] & 0xffffffffu);
  } else {
    std::uint32_t positions[few_scores];
    for (std::uint32_t i = 0; i < n; ++i) positions[i] = i;
    sort_front(positions, [&](std::uint32_t a, std::uint32_t b) {
      return ranks_before(scores[a], a, scores[b], b);
    });
    for (std::size_t i = 0; i < k; ++i) picked[i] = static_cast<Position>(positions[i]);
  }
}

/// The k largest of many more scores, by a heap that few scores enter. Returns false, with nothing
/// useful in `picked`, if too many scores enter it, for example if they are sorted in rising order.
template <class T, class Position, class Before>
bool top_few(std::span<const T> scores, std::span<Position> picked, const Before& before) {
  constexpr std::size_t block = 32;
  // In random order about k log(n / k) scores enter the heap.
  std::size_t changes_left = 24 * picked.size();
  std::size_t i = 0;
  for (; i < picked.size(); ++i) picked[i] = static_cast<Position>(i);
  std::ranges::make_heap(picked, before);  // the worst pick is at the front
  while (i < scores.size()) {
    // Positions come in rising order, so an equal score never replaces a pick.
    const T worst = scores[picked.front()];
    if (worst == worst && i + block <= scores.size()) {
      std::uint32_t above = 0;
      for (std::size_t j = 0; j < block; ++j) above += scores[i + j] > worst ? 1u : 0u;
      if (above == 0) {
        i += block;
        continue;
      }
      while (!(scores[i] > worst)) ++i;
    }
    if (before(static_cast<Position>(i), picked.front())) {
      if (changes_left-- == 0) return false;
      std::ranges::pop_heap(picked, before);
      picked.back() = static_cast<Position>(i);
      std::ranges::push_heap(picked, before);
    }
    ++i;
  }
  std::ranges::sort_heap(picked, before);
  return true;
}

template <class T, class Position>
void top_k_of_spans(std::span<const T> scores, std::span<Position> picked) {
  const std::size_t n = scores.size();
  const std::size_t k = picked.size();
  if (k > n)
    fail("funnel::top_k: picked has ", k, " values, expected at most ", n,
         ", the number of scores");
  if (n > 0 && n - 1 > std::numeric_limits<Position>::max())
    fail("funnel::top_k: picked has values of ", sizeof(Position),
         " bytes, expected a type that holds ", n - 1, ", the last position");
  if (k == 0) return;
  const auto before = [&](Position a, Position b) {
    return ranks_before(scores[a], a, scores[b], b);
  };
  if (k == 1 && n <= few_scores) return top_one(scores, picked.front());
  if (n <= 8) return top_k_by_insertion(n, picked, before);
  if (n <= few_scores) return top_k_of_few(scores, picked);
  if (n / k >= 64 && top_few(scores, picked, before)) return;
  const T bound = top_k_bound(scores, k);
  std::size_t equal_left = k - count_above(scores, bound);
  std::size_t count = 0;
  for (std::size_t i = 0; i < n && count < k; ++i) {
    const bool equal = scores[i] == bound && equal_left > 0;
    picked[count] = static_cast<Position>(i);
    equal_left -= equal ? 1u : 0u;
    count += scores[i] > bound || equal ? 1u : 0u;
  }
  const std::size_t numbers = count;  // NaN fills the other picks
  for (std::size_t i = 0; count < k; ++i)
    if (scores[i] != scores[i]) picked[count++] = static_cast<Position>(i);
  std::ranges::sort(picked.first(numbers), before);
}

}  // namespace detail

/// Top-k selection: writes the positions of the k largest scores, best first; k is `picked.size()`.
///
/// `scores` and `picked` are vectors, arrays, spans, or anything else that converts to `std::span`.
///
/// Shapes      scores [n]; picked [k], k <= n; every element of picked is written.
/// Order       larger scores first; equal scores by lower position; NaN last.
/// Errors      std::invalid_argument if k > n, or if the element type of `picked` cannot hold
///             n - 1.
/// Cost        at most one branch-free pass over the scores per bit of a score, and a sort of k. If
///             k is at most n / 64 and the scores are in no particular order: one pass and about
///             k log(n / k) updates of a heap. Up to 1024 scores: a partial sort in at most 8 KB of
///             the stack. Allocates nothing.
template <class Scores, class Picked>
requires std::unsigned_integral<detail::element_of<Picked>>
void top_k(const Scores& scores, Picked&& picked) {
  detail::top_k_of_spans(std::span<const detail::element_of<const Scores>>(scores),
                         std::span<detail::element_of<Picked>>(picked));
}

}  // namespace funnel
