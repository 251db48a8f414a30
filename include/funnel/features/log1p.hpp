// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>

namespace funnel {

/// Returns ln(1 + x) of a count, and 0 if the count is negative or NaN.
///
/// Source      docs/formulas.md#logarithm-of-counts.
template <std::floating_point T>
T log1p_count(T count) {
  return count > 0 ? std::log1p(count) : T{0};
}

/// Writes `log1p_count` of each value; `out` may be the same array as `counts`.
///
/// Shapes      counts [n]; out [n].
/// Errors      std::invalid_argument if the sizes differ.
template <detail::Numbers Counts, detail::Floats Out>
void log1p_counts(const Counts& counts, Out&& out) {
  using t = detail::element_of<Out>;
  const auto from = detail::as_span(counts);
  const std::span<t> to(out);
  detail::check_size("log1p_counts", "out", to.size(), from.size(), "counts");
  for (std::size_t i = 0; i < from.size(); ++i)
    to[i] = static_cast<t>(log1p_count(static_cast<detail::float_of<Counts>>(from[i])));
}

}  // namespace funnel
