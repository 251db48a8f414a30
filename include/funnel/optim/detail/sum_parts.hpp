// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/elementwise.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>

namespace funnel::detail {

/// Largest number of parts that a batch can have.
inline constexpr std::size_t most_parts = 64;

/// How many of n parts the left subtree of their sum has: the largest power of two below n.
///
/// Sums over parts, of gradients and of losses, follow this one binary tree, so that they have the
/// same bits whoever computes which part.
constexpr std::size_t left_parts(std::size_t n) {
  return std::bit_ceil(n) / 2;
}

/// Memory for `sum_parts`.
template <class T>
struct sum_room {
  static constexpr std::size_t chunk = 1024;  // values: some chunks fit in L1
  alignas(64) T values[std::bit_width(most_parts)][chunk];
};

/// Sums n values, at most `sum_room::chunk`, of several parts, along the tree. Returns where the
/// sum is: in `out`, or in the only part there is, or null. A part may be null: it is left out.
///
/// `out` may be the first part that is not null.
template <class Arch, class T>
const T* sum_parts(Arch arch, std::span<const T* const> parts, std::size_t n, T* out,
                   sum_room<T>& room, std::size_t depth = 0) noexcept {
  if (parts.size() <= 1) return parts.empty() ? nullptr : parts[0];
  const auto left = parts.first(left_parts(parts.size()));
  const auto right = parts.subspan(left.size());
  const auto is_empty = [](std::span<const T* const> some) {
    return std::ranges::all_of(some, [](const T* part) { return part == nullptr; });
  };
  if (is_empty(left)) return sum_parts(arch, right, n, out, room, depth);
  if (is_empty(right)) return sum_parts(arch, left, n, out, room, depth);
  const T* a = sum_parts(arch, left, n, out, room, depth);
  const T* b = sum_parts(arch, right, n, room.values[depth], room, depth + 1);
  map(
      arch, n, out, [](const auto& x, const auto& y) { return x + y; }, a, b);
  return out;
}

}  // namespace funnel::detail
