// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/random.hpp>
#include <funnel/core/sparse_matrix.hpp>

#include "support/tolerance.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

/// Whether a similarity in float is a sum in double, but for rounding.
inline bool is_close(float found, double expected) {
  return tolerance::within(static_cast<double>(found), expected,
                           tolerance::elementwise<float>(expected));
}

/// Users by items with `count` entries, some of the same cell, values of 1 .. `values` and times below 50.
inline funnel::sparse_matrix random_matrix_of(std::uint64_t seed, std::size_t users,
                                              std::size_t items, std::size_t count,
                                              std::size_t values) {
  funnel::random_generator bits(seed);
  std::vector<funnel::sparse_entry> entries;
  for (std::size_t e = 0; e < count; ++e)
    entries.push_back({static_cast<std::uint32_t>(uniform_below(bits, users)),
                       static_cast<std::uint32_t>(uniform_below(bits, items)),
                       static_cast<float>(1 + uniform_below(bits, values)),
                       static_cast<std::int64_t>(uniform_below(bits, 50))});
  return funnel::sparse_matrix(entries, {.rows = users, .columns = items});
}
