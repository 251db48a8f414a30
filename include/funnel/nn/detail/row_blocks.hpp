// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// Number of rows (candidates) that a network processes at a time in serving. The values of its
/// widest layers then stay in L2.
inline constexpr std::size_t rows_in_cache = 256;

/// The row after the block of rows that begins with row `begin`, of n rows: `rows_in_cache` rows on,
/// or at the last boundary of two requests before. Only a request of more rows is cut.
inline std::size_t end_of_block(const request_rows& requests, std::size_t n, std::size_t begin) {
  if (n - begin <= rows_in_cache) return n;
  const std::size_t end = begin + rows_in_cache;
  if (requests.rows() != n) return end;
  const std::size_t boundary = requests.begin(requests.of_row()[end]);
  return boundary > begin ? boundary : end;
}

/// Calls `run(block, begin)` for each block of rows of x; `begin` is the first row of the block. A
/// part with one row per request is cut to the requests of the block; a request of more than
/// `rows_in_cache` rows is in several blocks. The values that `run` makes are released after each
/// call.
template <Context C, std::size_t N, class Run>
void in_row_blocks(C& context, const concatenated<value_of<C>, N>& x, const Run& run) {
  const std::size_t n = x.rows();
  const request_rows requests = requests_of(context);
  for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
    end = end_of_block(requests, n, begin);
    const arena::scope temporary(context.scratch());
    auto block = x;
    for (auto& part : block.parts) {
      if (part.rows() == n) {
        part = part.middle_rows(begin, end - begin);
      } else if (part.rows() != 1) {
        const std::size_t first = requests.of_row()[begin];
        part = part.middle_rows(first, requests.of_row()[end - 1] + 1 - first);
      }
    }
    run(block, begin);
  }
}

}  // namespace funnel::detail
