// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/rows.hpp>

#include <cstddef>

namespace funnel {

/// Slice: columns [begin, begin + count) of a value, for example the logits of one head of a layer
/// that computes all heads. Copies nothing: the gradient of the slice is part of that of x.
///
/// Shapes      [n, d] -> [n, count]; also [1, d] and [R, d] with one row per request.
/// Errors      std::invalid_argument if the columns are not all in x.
template <Context C>
value_of<C> slice(C&, const value_of<C>& x, std::size_t begin, std::size_t count) {
  const std::size_t d = x.cols();
  detail::check_that("slice", "begin", begin, begin <= d, "at most ", d, ", the columns of x");
  detail::check_that("slice", "count", count, count <= d - begin, "at most ", d - begin,
                     ", the columns of x from column ", begin, " on");
  return detail::middle_cols(x, begin, count);
}

}  // namespace funnel
