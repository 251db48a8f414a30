// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel {

/// Stop gradient: the same values, through which no gradient flows back. What is computed from them
/// does not train the layers that they come from. Copies nothing; in serving it is x itself.
///
/// Shapes      [n, d] -> [n, d], a value or a concatenation.
template <Context C>
value_of<C> stop_gradient(C& context, const value_of<C>& x) {
  return context.input(view(x));
}
template <Context C, std::size_t N>
concatenated<value_of<C>, N> stop_gradient(C& context, const concatenated<value_of<C>, N>& x) {
  concatenated<value_of<C>, N> y;
  std::ranges::transform(x.parts, y.parts.begin(),
                         [&](const auto& part) { return stop_gradient(context, part); });
  return y;
}

}  // namespace funnel
