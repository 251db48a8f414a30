// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/features/columns.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel {

/// The users of the rows of an encoded log, numbered from 0, for metrics by user.
///
///     const auto users = row_users(test.rows.log_rows(), test_log["user_id"]);
///
/// Ids in a log are strings or numbers of 64 bits; metrics group rows by a `user_id` of 32 bits.
///
/// Shapes      rows [n], such as `encoded_log::log_rows`; users has one value per row of the log;
///             returns [n].
/// Order       numbers are in no particular order. Rows with a missing id share one number.
/// Errors      std::invalid_argument if a row is not below the number of rows of the column, or the
///             column has lists.
/// Cost        O(n log n).
inline std::vector<user_id> row_users(std::span<const std::uint32_t> rows, const column& users) {
  if (users.is_list())
    detail::fail("funnel::row_users: users is a column of lists, expected one value per row");
  std::vector<std::uint64_t> keys(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] >= users.rows())
      detail::fail("funnel::row_users: rows[", i, "] is ", rows[i], ", expected below ",
                   users.rows(), ", the number of rows of users");
    keys[i] = users.key(rows[i]);
  }
  std::vector<std::uint64_t> known = keys;
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  std::vector<user_id> numbers(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i)
    numbers[i] =
        static_cast<user_id>(std::lower_bound(known.begin(), known.end(), keys[i]) - known.begin());
  return numbers;
}

}  // namespace funnel
