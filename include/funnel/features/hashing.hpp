// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mixed_bits.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

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
  return detail::mixed_bits(key + 0x9e3779b97f4a7c15ULL);
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

/// The key of a missing value. No integer id and no text has it, except the integer -2^63.
inline constexpr std::uint64_t missing_key = std::uint64_t{1} << 63;

/// The key of an integer id: its bits.
constexpr std::uint64_t category_key(std::int64_t id) {
  return static_cast<std::uint64_t>(id);
}

/// The key of a text: a 64-bit hash. A text that is an integer in its usual form, such as "42" or
/// "-7", has the key of that integer, so that it does not matter whether ids were read as text.
/// "007", "+7" and "1e3" are texts.
///
/// With n texts the probability that two have the same key is about n^2 / 2^65.
///
/// Source      docs/formulas.md#hashing.
constexpr std::uint64_t category_key(std::string_view text) {
  const std::size_t sign = text.starts_with('-') ? 1 : 0;
  const std::size_t digits = text.size() - sign;
  if (digits >= 1 && digits <= 18 && (text[sign] != '0' || text.size() == 1)) {
    std::int64_t value = 0;
    std::size_t i = sign;
    for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i)
      value = 10 * value + (text[i] - '0');
    if (i == text.size()) return category_key(sign == 1 ? -value : value);
  }
  std::uint64_t key = mix_key(text.size());
  for (std::size_t begin = 0; begin < text.size(); begin += 8) {
    std::uint64_t block = 0;
    for (std::size_t i = begin; i < text.size() && i < begin + 8; ++i)
      block |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * (i - begin));
    key = mix_key(key ^ block);
  }
  return key == missing_key ? 0 : key;
}

}  // namespace funnel
