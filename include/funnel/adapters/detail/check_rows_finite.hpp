// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

namespace funnel::detail {

/// Throws unless all values of `vectors` are finite: graphs and clusters of vectors are no use with
/// others.
inline void check_rows_finite(std::string_view function, matrix_view<const float> vectors) {
  const auto is_finite = [](float v) { return std::isfinite(v); };
  for (std::size_t i = 0; i < vectors.rows(); ++i)
    if (!std::ranges::all_of(vectors.row(i), is_finite))
      check_finite(function, join_text("vectors, row ", i, ": value"), vectors.row(i));
}

}  // namespace funnel::detail
