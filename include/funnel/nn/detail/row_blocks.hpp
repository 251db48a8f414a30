// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// Number of rows (candidates) that a network processes at a time in serving. The values of its
/// widest layers then stay in L2.
inline constexpr std::size_t rows_in_cache = 256;

/// Calls `run(block, begin)` for each block of rows of x; `begin` is the first row of the block.
/// The values that `run` makes are released after each call.
template <Context C, std::size_t N, class Run>
void in_row_blocks(C& context, const concatenated<value_of<C>, N>& x, const Run& run) {
  const std::size_t n = x.rows();
  for (std::size_t begin = 0; begin < n; begin += rows_in_cache) {
    const arena::scope temporary(context.scratch());
    auto block = x;
    for (auto& part : block.parts) {
      // Of a part with one row per request only the shared product is read.
      part = part.rows() == n ? part.middle_rows(begin, std::min(rows_in_cache, n - begin))
                              : part.middle_rows(0, 1);
    }
    run(block, begin);
  }
}

}  // namespace funnel::detail
