// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// Candidates a network takes at a time while serving, so that its widest layers stay in L2.
inline constexpr std::size_t rows_in_cache = 256;

/// Calls `run(rows of x, the first of them)` for blocks of rows; what it makes is gone after each.
template <Context C, std::size_t N, class Run>
void in_row_blocks(C& context, const concatenated<value_of<C>, N>& x, const Run& run) {
  const std::size_t n = x.rows();
  for (std::size_t begin = 0; begin < n; begin += rows_in_cache) {
    const arena::scope temporary(context.scratch());
    auto block = x;
    for (auto& part : block.parts) {
      if (part.rows() != 1) part = part.middle_rows(begin, std::min(rows_in_cache, n - begin));
    }
    run(block, begin);
  }
}

}  // namespace funnel::detail
