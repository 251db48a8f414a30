// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstdint>

namespace funnel {

/// The exact key of a pair of dense ids, such as (user, tag).
constexpr std::uint64_t pair_key(std::uint32_t first, std::uint32_t second) {
  return std::uint64_t{first} << 32 | second;
}

/// 64 well-mixed bits of a key: the finalizer of splitmix64, a bijection.
///
/// Chained, `mix_key(mix_key(a) ^ b)`, it makes a key of three or more ids; such keys may collide,
/// with a chance of about n^2 / 2^65 over n keys.
constexpr std::uint64_t mix_key(std::uint64_t key) {
  key += 0x9e3779b97f4a7c15ULL;
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ULL;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebULL;
  return key ^ (key >> 31);
}

/// The row of an id in a table of hashed rows: 1 + hash mod (rows - 1), so that row 0 stays free
/// for "missing".
///
/// Errors      std::invalid_argument if rows < 2.
inline std::uint32_t hash_row(std::uint64_t id, std::uint32_t rows) {
  if (rows < 2) detail::fail("funnel::hash_row: rows is ", rows, ", expected 2 or more");
  return static_cast<std::uint32_t>(1 + mix_key(id) % (rows - 1));
}

}  // namespace funnel
