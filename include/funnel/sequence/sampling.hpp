// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>

namespace funnel {

/// Options of `sample_sequence` and `sample_sequence_balanced`.
struct sequence_sampling_options {
  /// Number of newest items that are always kept; use 0 to draw seeds for U2I2I retrieval (items
  /// like those the user liked). r in the lectures (docs/formulas.md#the-lectures).
  std::size_t recent = 50;
  /// Number of items drawn at random from the older ones. t in the lectures.
  std::size_t sampled = 50;
  /// How much `sample_sequence_balanced` favors small categories, in [0, 1]. 0: not at all; 1:
  /// categories of all sizes are equally likely. beta in docs/formulas.md#history-sampling.
  double balance = 1;
};

namespace detail {

/// Sizes of the two parts of a sample.
struct sequence_split {
  std::size_t older;  // items before the recent ones
  std::size_t drawn;  // number of older items to draw
  std::size_t count;  // items kept in total
};

inline sequence_split split_sequence(std::string_view function, std::size_t n,
                                     const sequence_sampling_options& options, std::size_t slots) {
  check_size_of_32_bits(function, "the history", n);
  const std::size_t recent = std::min(n, options.recent);
  const std::size_t drawn = std::min(n - recent, options.sampled);
  if (slots < recent + drawn)
    fail("funnel::", function, ": positions has ", slots, " values, expected ", recent + drawn,
         " or more");
  return {n - recent, drawn, recent + drawn};
}

}  // namespace detail

/// Samples a long history of n items: keeps the r newest items and draws t of the older ones at
/// random; every set of t is equally likely.
///
/// Shapes      positions [K], K >= min(n, r + t); the first min(n, r + t) are written and that
///             number is returned.
/// Order       oldest first as in the history; position n - 1 is the newest.
/// Errors      std::invalid_argument if positions is too small or n >= 2^32; nothing is written or
///             drawn then.
/// Cost        t random numbers; O(r + t log t), and up to t^2 / 2 moves of 4 bytes if t is much
///             smaller than n; no scratch memory.
/// Source      Floyd's sampling (Bentley and Floyd, CACM 1987); docs/formulas.md#history-sampling.
template <RandomGenerator Bits>
std::size_t sample_sequence(Bits& bits, std::size_t n, std::span<std::uint32_t> positions,
                            const sequence_sampling_options& options = {}) {
  const auto [older, drawn, count] =
      detail::split_sequence("sample_sequence", n, options, positions.size());
  std::uint32_t* const begin = positions.data();
  std::uint32_t* end = begin;
  for (std::size_t last = older - drawn; last < older; ++last) {
    const auto draw = static_cast<std::uint32_t>(uniform_below(bits, last + 1));
    std::uint32_t* place = std::lower_bound(begin, end, draw);
    if (place != end && *place == draw) {
      *end++ = static_cast<std::uint32_t>(last);  // larger than all drawn so far
    } else {
      std::copy_backward(place, end, end + 1);
      *place = draw;
      ++end;
    }
  }
  std::iota(end, begin + count, static_cast<std::uint32_t>(older));
  return count;
}

/// Samples a long history so that small categories are drawn more often than in `sample_sequence`:
/// t draws without replacement, in which an item has the weight
///
///     w = 1 / n_c^balance
///
/// where n_c is the number of older items of its category. With balance 0 all items are equally
/// likely in a draw. With balance 1 all categories are equally likely in the first draw; later,
/// each category's weight is proportional to the fraction of it that is left.
///
/// Shapes      categories [n], oldest first; a missing category is treated like any other.
///             positions and the returned number as in `sample_sequence`.
/// Errors      as `sample_sequence`; also std::invalid_argument if the balance is outside [0, 1].
/// Cost        n - r random numbers; O(n log n); 24 bytes per item in `scratch`, which stay there
///             until it is reset.
/// Source      Efraimidis and Spirakis, Information Processing Letters 2006;
///             docs/formulas.md#history-sampling.
template <RandomGenerator Bits>
std::size_t sample_sequence_balanced(Bits& bits, std::span<const category_id> categories,
                                     std::span<std::uint32_t> positions,
                                     const sequence_sampling_options& options, arena& scratch) {
  constexpr std::string_view name = "sample_sequence_balanced";
  detail::check_unit_interval(name, "balance", options.balance);
  const auto [older, drawn, count] =
      detail::split_sequence(name, categories.size(), options, positions.size());

  // Sorted by category, then by position, so that the items of a category are adjacent.
  std::uint64_t* sorted = scratch.allocate<std::uint64_t>(older);
  for (std::size_t i = 0; i < older; ++i) sorted[i] = std::uint64_t{categories[i]} << 32 | i;
  std::sort(sorted, sorted + older);

  struct candidate {
    double key;
    std::uint32_t position;
  };
  candidate* candidates = scratch.allocate<candidate>(older);
  for (std::size_t begin = 0, end = 0; begin < older; begin = end) {
    while (end < older && sorted[end] >> 32 == sorted[begin] >> 32) ++end;
    const double inverse_weight = std::pow(static_cast<double>(end - begin), options.balance);
    for (std::size_t i = begin; i < end; ++i)
      candidates[i] = {standard_exponential(bits) * inverse_weight,
                       static_cast<std::uint32_t>(sorted[i])};
  }
  // The t smallest values of Exp(1) / w are equivalent to t weighted draws without replacement.
  if (drawn < older)
    std::nth_element(candidates, candidates + drawn, candidates + older,
                     [](const candidate& a, const candidate& b) {
                       return a.key != b.key ? a.key < b.key : a.position < b.position;
                     });
  for (std::size_t i = 0; i < drawn; ++i) positions[i] = candidates[i].position;
  std::sort(positions.data(), positions.data() + drawn);
  std::iota(positions.data() + drawn, positions.data() + count, static_cast<std::uint32_t>(older));
  return count;
}

/// The same with its own scratch memory.
template <RandomGenerator Bits>
std::size_t sample_sequence_balanced(Bits& bits, std::span<const category_id> categories,
                                     std::span<std::uint32_t> positions,
                                     const sequence_sampling_options& options = {}) {
  arena scratch;
  return sample_sequence_balanced(bits, categories, positions, options, scratch);
}

}  // namespace funnel
