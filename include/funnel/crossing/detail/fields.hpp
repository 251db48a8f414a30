// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/rows.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace funnel::detail {

/// The fields of x: `count` blocks of columns side by side, of which block f has width(f) columns.
/// Each lies within one part of x. They live in the context's scratch memory.
///
/// Errors      std::invalid_argument if x has another number of columns, or a part ends within a
///             field.
template <Context C, std::size_t N, class Width>
std::span<value_of<C>> fields_of(C& context, std::string_view function,
                                 const concatenated<value_of<C>, N>& x, std::size_t count,
                                 const Width& width) {
  std::size_t columns = 0;
  for (std::size_t f = 0; f < count; ++f) columns += width(f);
  check_cols(function, "x", x.cols(), columns);
  auto* fields = context.scratch().template allocate<value_of<C>>(count);
  std::size_t f = 0;
  for (const auto& part : x.parts) {
    for (std::size_t at = 0; at < part.cols(); at += width(f++)) {
      if (width(f) > part.cols() - at)
        fail("funnel::", function, ": a part of x ends within field ", f,
             ", expected whole fields");
      std::construct_at(&fields[f], middle_cols(part, at, width(f)));
    }
  }
  return {fields, count};
}

}  // namespace funnel::detail
