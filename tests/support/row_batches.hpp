// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/row_batch.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

/// Whether two batches have the same encoded values, to the bit. Labels are not compared.
inline bool same_batch(const funnel::row_batch& a, const funnel::row_batch& b) {
  const auto same_bits = [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  };
  const auto same_list = [](const auto& x, const auto& y) {
    return x.ids == y.ids && x.offsets == y.offsets;
  };
  const auto same_history = [](const auto& x, const auto& y) {
    return x.fields == y.fields && x.offsets == y.offsets;
  };
  for (std::size_t side = 0; side < 4; ++side) {
    const funnel::side_values &x = a.side(side), &y = b.side(side);
    if (x.rows != y.rows || x.categories != y.categories ||
        !std::ranges::equal(x.numbers, y.numbers, same_bits) ||
        !std::ranges::equal(x.lists, y.lists, same_list))
      return false;
  }
  return std::ranges::equal(a.histories, b.histories, same_history) && a.offsets == b.offsets;
}
