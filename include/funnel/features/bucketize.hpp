// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/detail/quantile.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace funnel {

/// Computes quantile boundaries, which divide values into buckets of about equal frequency
/// (discretization).
///
///     b_j = the value at rank ceil(j n / buckets), counted from 0, for j = 1 .. buckets - 1
///
/// Equal boundaries are returned once. If a value is so frequent that several quantiles fall on it,
/// it gets its own bucket: the later quantiles move up to the next larger value. A quantile that
/// falls on the smallest value also moves up, because there is nothing below it.
///
/// NaN is ignored. If values repeat, the result may have fewer boundaries, and none if all values
/// are equal. No bucket is empty.
///
/// Errors      std::invalid_argument if buckets is 0.
/// Cost        O(n log n) for any number of buckets, a copy of the values.
/// Source      docs/formulas.md#buckets.
template <detail::Numbers Values>
std::vector<detail::element_of<const Values>> quantile_boundaries(const Values& values,
                                                                  std::size_t buckets) {
  using t = detail::element_of<const Values>;
  detail::check_at_least_one("quantile_boundaries", "buckets", buckets);
  std::vector<t> sorted;
  for (const t value : detail::as_span(values))
    if (value == value) sorted.push_back(value);
  std::ranges::sort(sorted);
  const std::size_t n = sorted.size();
  std::vector<t> boundaries;
  // With more buckets than values, cut at every value, as n buckets do.
  std::size_t landed = 0;  // first index of the value on which the previous quantile fell
  detail::for_each_quantile(
      n, std::min(buckets, n), [&](std::size_t i, std::size_t j) { return sorted[i] == sorted[j]; },
      [&](std::size_t begin, std::size_t, std::size_t end) {
        const std::size_t cut = begin == landed ? end : begin;
        landed = begin;
        if (cut < n && (boundaries.empty() || sorted[cut] > boundaries.back()))
          boundaries.push_back(sorted[cut]);
      });
  return boundaries;
}

/// Returns the bucket of a value: 1 + the number of boundaries at or below it; 0 for NaN (missing).
///
/// Shapes      boundaries in ascending order; the result is in [0, boundaries + 1], so an embedding
///             table needs boundaries + 2 rows.
/// Cost        O(log boundaries); the order of the boundaries is not checked.
/// Numerics    a value and boundaries of different types are compared in double.
/// Source      docs/formulas.md#buckets.
template <class T, detail::Numbers Boundaries>
requires std::is_arithmetic_v<T> std::uint32_t bucket_of(T value, const Boundaries& boundaries) {
  const auto all = detail::as_span(boundaries);
  if (value != value) return 0;
  const auto above = [&] {
    if constexpr (std::is_same_v<T, detail::element_of<const Boundaries>>)
      return std::ranges::upper_bound(all, value);
    else
      return std::ranges::upper_bound(all, static_cast<double>(value), {},
                                      [](auto bound) { return static_cast<double>(bound); });
  };
  return static_cast<std::uint32_t>(above() - all.begin() + 1);
}

/// Writes the bucket of each value, as `bucket_of`.
///
/// Shapes      values [n]; buckets [n].
/// Errors      std::invalid_argument if the sizes differ, or boundaries are NaN or not in ascending
///             order.
template <detail::Numbers Values, detail::Numbers Boundaries>
void bucketize(const Values& values, const Boundaries& boundaries,
               std::span<std::uint32_t> buckets) {
  const auto from = detail::as_span(values);
  const auto bounds = detail::as_span(boundaries);
  detail::check_size("bucketize", "buckets", buckets.size(), from.size(), "values");
  for (std::size_t i = 0; i < bounds.size(); ++i)
    if (bounds[i] != bounds[i] || (i > 0 && !(bounds[i - 1] < bounds[i])))
      detail::fail("funnel::bucketize: boundaries[", i, "] is ", bounds[i],
                   ", expected a number above the one before");
  for (std::size_t i = 0; i < from.size(); ++i) buckets[i] = bucket_of(from[i], bounds);
}

}  // namespace funnel
