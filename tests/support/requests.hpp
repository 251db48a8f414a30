// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include "support/matrices.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

// Batches of several requests.

using request_offsets = std::vector<std::uint32_t>;

/// The offsets of requests with so many rows each.
inline request_offsets offsets_of(size_list sizes) {
  request_offsets offsets{0};
  for (const std::size_t size : sizes)
    offsets.push_back(offsets.back() + static_cast<std::uint32_t>(size));
  return offsets;
}

/// Row r of `values` for every row of request r.
template <class T>
funnel::matrix<T> repeated(const funnel::matrix<T>& values, const request_offsets& requests) {
  funnel::matrix<T> all(requests.back(), values.cols());
  for (std::size_t r = 0; r + 1 < requests.size(); ++r)
    for (std::size_t i = requests[r]; i < requests[r + 1]; ++i)
      std::ranges::copy(values.row(r), all.row(i).begin());
  return all;
}

/// A list of events per request, and the same lists repeated for every row of the requests.
template <class T>
struct request_histories {
  request_offsets of_requests{0};
  request_offsets of_rows{0};
  funnel::matrix<T> events;
  funnel::matrix<T> copies;

  /// Request r has lengths[r % lengths.size()] events.
  request_histories(const request_offsets& requests, size_list lengths, std::size_t dim,
                    std::uint64_t seed) {
    for (std::size_t r = 0; r + 1 < requests.size(); ++r) {
      const auto length = static_cast<std::uint32_t>(lengths.begin()[r % lengths.size()]);
      of_requests.push_back(of_requests.back() + length);
      for (std::size_t i = requests[r]; i < requests[r + 1]; ++i)
        of_rows.push_back(of_rows.back() + length);
    }
    events = random_matrix<T>(of_requests.back(), dim, seed);
    copies = funnel::matrix<T>(of_rows.back(), dim);
    for (std::size_t r = 0; r + 1 < requests.size(); ++r)
      for (std::size_t i = requests[r]; i < requests[r + 1]; ++i)
        for (std::size_t e = of_requests[r]; e < of_requests[r + 1]; ++e)
          std::ranges::copy(events.row(e), copies.row(of_rows[i] + e - of_requests[r]).begin());
  }
};
