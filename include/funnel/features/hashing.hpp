// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <cstdint>

namespace funnel {

/// Combines two 32-bit ids, such as (user, tag), into one key without collisions.
constexpr std::uint64_t pair_key(std::uint32_t first, std::uint32_t second) {
  return std::uint64_t{first} << 32 | second;
}

/// Hashes a 64-bit key: the finalizer of splitmix64, a bijection.
///
/// For a key of three or more ids, nest the calls: `mix_key(mix_key(a) ^ b)` and so on. Such keys
/// may collide; with n keys the probability of a collision is about n^2 / 2^65.
///
/// Source      docs/formulas.md#hashing.
constexpr std::uint64_t mix_key(std::uint64_t key) {
  key += 0x9e3779b97f4a7c15ULL;
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ULL;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebULL;
  return key ^ (key >> 31);
}

/// Feature hashing: returns the row of an id in an embedding table without a vocabulary, 1 + hash
/// mod (rows - 1). Row 0 stays free for "missing".
///
/// Errors      std::invalid_argument if rows < 2.
/// Source      docs/formulas.md#hashing.
inline std::uint32_t hash_row(std::uint64_t id, std::uint32_t rows) {
  detail::check_that("hash_row", "rows", rows, rows >= 2, "2 or more");
  return static_cast<std::uint32_t>(1 + mix_key(id) % (rows - 1));
}

}  // namespace funnel
