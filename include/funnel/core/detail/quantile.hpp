// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>

namespace funnel::detail {

/// Finds the quantiles of n sorted values, which cut them into `parts` parts of about equal size.
///
/// Quantile j = 1 .. parts - 1 is the value at rank ceil(j n / parts), counted from 0. Calls
/// `visit(begin, rank, end)` for each quantile, in order: [begin, end) are the positions of the
/// values equal to it. A cut at `begin` or at `end` therefore separates no equal values. Stops at a
/// rank of n, which exists only if there are more parts than values. `same(i, j)` returns whether
/// the values at positions i and j, i < j, are equal.
///
/// Cost        O(n + parts).
template <class Same, class Visit>
void for_each_quantile(std::size_t n, std::size_t parts, Same same, Visit visit) {
  std::size_t begin = 0, end = 0;
  for (std::size_t j = 1; j < parts; ++j) {
    const std::size_t rest = j * (n % parts);  // in this form j n does not overflow
    const std::size_t rank = j * (n / parts) + rest / parts + (rest % parts != 0);
    if (rank >= n) return;
    while (end <= rank) {
      begin = end++;
      while (end < n && same(begin, end)) ++end;
    }
    visit(begin, rank, end);
  }
}

/// Returns `begin` or `end`, whichever is nearer to `rank`; `end` if both are equally near.
constexpr std::size_t nearer_cut(std::size_t begin, std::size_t rank, std::size_t end) {
  return rank - begin < end - rank ? begin : end;
}

}  // namespace funnel::detail
