// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace funnel::detail {

/// Calls `f(from, count)` for every run of neighboring indices below n that are not closed, in
/// parts of at most `most`.
template <class F>
void for_each_open_run(const bool* closed, std::size_t n, std::size_t most, const F& f) {
  for (std::size_t g = 0; g < n;) {
    const std::size_t from = g;
    while (g < n && g - from < most && !closed[g]) ++g;
    if (g > from)
      f(from, g - from);
    else
      ++g;
  }
}

}  // namespace funnel::detail
