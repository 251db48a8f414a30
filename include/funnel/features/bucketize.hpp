// SPDX-License-Identifier: MIT
#pragma once

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
/// NaN is left out. Fewer boundaries come out where values repeat; none where all are equal, since
/// a boundary at the least value would leave the first bucket empty.
///
/// Errors      std::invalid_argument if buckets is 0.
/// Cost        O(n log n), a copy of the values.
/// Source      formulas item 20.
template <std::floating_point T = float>
std::vector<T> quantile_boundaries(std::span<const std::type_identity_t<T>> values,
                                   std::size_t buckets) {
  if (buckets == 0) detail::fail("funnel::quantile_boundaries: buckets is 0, expected 1 or more");
  std::vector<T> sorted;
  for (const T value : values)
    if (!std::isnan(value)) sorted.push_back(value);
  std::ranges::sort(sorted);
  std::vector<T> boundaries;
  if (sorted.empty()) return boundaries;
  const std::size_t n = sorted.size();
  for (std::size_t j = 1; j < buckets; ++j) {
    const std::size_t rank = (j * n + buckets - 1) / buckets;
    if (rank >= n) break;
    const T last = boundaries.empty() ? sorted.front() : boundaries.back();
    if (sorted[rank] > last) boundaries.push_back(sorted[rank]);
  }
  return boundaries;
}

/// The bucket of a value: 1 + the number of boundaries at or below it, 0 for NaN (missing).
///
/// Shapes      boundaries ascend; the result is in [0, boundaries + 1], so a table has boundaries +
///             2 rows.
/// Cost        O(log boundaries); that they ascend is not checked.
/// Source      formulas item 20.
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
