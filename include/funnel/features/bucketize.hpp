// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/quantile.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace funnel {

/// The boundaries that cut values into buckets of about equal frequency.
///
///     b_j = the value at rank ceil(j n / buckets) from 0, j = 1 .. buckets - 1;  equal ones once
///
/// A value that fills several buckets, so that two quantiles fall on it, gets one bucket: the later
/// quantiles move up to the next larger value. The same where a quantile falls on the least value,
/// below which there is nothing.
///
/// NaN is left out. Fewer boundaries come out where values repeat; none where all are equal. No
/// bucket is empty.
///
/// Errors      std::invalid_argument if buckets is 0.
/// Cost        O(n log n), a copy of the values, for any number of buckets.
template <std::floating_point T = float>
std::vector<T> quantile_boundaries(std::span<const std::type_identity_t<T>> values,
                                   std::size_t buckets) {
  if (buckets == 0) detail::fail("funnel::quantile_boundaries: buckets is 0, expected 1 or more");
  std::vector<T> sorted;
  for (const T value : values)
    if (!std::isnan(value)) sorted.push_back(value);
  std::ranges::sort(sorted);
  const std::size_t n = sorted.size();
  std::vector<T> boundaries;
  // More buckets than values cut at every value, as n buckets do.
  std::size_t landed = 0;  // where the values begin that the quantile before fell on
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

/// The bucket of a value: 1 + the number of boundaries at or below it, 0 for NaN (missing).
///
/// Shapes      boundaries ascend; the result is in [0, boundaries + 1], so a table has boundaries +
///             2 rows.
/// Cost        O(log boundaries); that they ascend is not checked.
/// Source      docs/formulas.md#buckets.
template <std::floating_point T>
std::uint32_t bucket_of(T value, std::span<const std::type_identity_t<T>> boundaries) {
  if (std::isnan(value)) return 0;
  return static_cast<std::uint32_t>(std::ranges::upper_bound(boundaries, value) -
                                    boundaries.begin() + 1);
}

/// Writes the bucket of each value, as `bucket_of`.
///
/// Shapes      values [n]; buckets [n].
/// Errors      std::invalid_argument if the sizes differ or the boundaries are NaN or do not
/// ascend.
template <std::floating_point T = float>
void bucketize(std::span<const std::type_identity_t<T>> values,
               std::span<const std::type_identity_t<T>> boundaries,
               std::span<std::uint32_t> buckets) {
  if (values.size() != buckets.size())
    detail::fail("funnel::bucketize: buckets has ", buckets.size(), " slots for ", values.size(),
                 " values");
  for (std::size_t i = 0; i < boundaries.size(); ++i)
    if (std::isnan(boundaries[i]) || (i > 0 && !(boundaries[i - 1] < boundaries[i])))
      detail::fail("funnel::bucketize: boundary ", i, " is ", boundaries[i],
                   ", expected more than the one before");
  for (std::size_t i = 0; i < values.size(); ++i) buckets[i] = bucket_of<T>(values[i], boundaries);
}

}  // namespace funnel
