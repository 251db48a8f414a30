// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>

namespace funnel::detail {

/// Where the quantiles of n sorted values fall, for cutting them into `parts` of about equal size.
///
/// Quantile j = 1 .. parts - 1 is the value at rank ceil(j n / parts), from 0. Calls
/// `visit(begin, rank, end)` for each, in order: [begin, end) are the positions of the values equal
/// to it, so that a cut at either end splits no equal values. A rank of n, which comes only with
/// more parts than values, ends the walk. `same(i, j)` says whether the values at i and j, i < j,
/// are equal.
///
/// Cost        O(n + parts).
template <class Same, class Visit>
void for_each_quantile(std::size_t n, std::size_t parts, Same same, Visit visit) {
  std::size_t begin = 0, end = 0;
  for (std::size_t j = 1; j < parts; ++j) {
    const std::size_t rest = j * (n % parts);  // so written, j n does not overflow
    const std::size_t rank = j * (n / parts) + rest / parts + (rest % parts != 0);
    if (rank >= n) return;
    while (end <= rank) {
      begin = end++;
      while (end < n && same(begin, end)) ++end;
    }
    visit(begin, rank, end);
  }
}

/// The end of [begin, end) that is nearer to rank, the upper one of two that are as near.
constexpr std::size_t nearer_cut(std::size_t begin, std::size_t rank, std::size_t end) {
  return rank - begin < end - rank ? begin : end;
}

}  // namespace funnel::detail
