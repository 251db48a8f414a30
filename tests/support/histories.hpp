// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

/// One history given to each of n candidates, as a list of its own.
template <class T>
struct copied_history {
  funnel::matrix<T> events;
  std::vector<std::uint32_t> offsets{0};

  copied_history(const funnel::matrix<T>& history, std::size_t n)
      : events(n * history.rows(), history.cols()) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t e = 0; e < history.rows(); ++e)
        std::ranges::copy(history.row(e), events.row(i * history.rows() + e).begin());
      offsets.push_back(static_cast<std::uint32_t>((i + 1) * history.rows()));
    }
  }
};
