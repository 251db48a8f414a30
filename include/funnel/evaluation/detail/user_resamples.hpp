// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/random.hpp>
#include <funnel/evaluation/number_column.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// The labeled rows of a bootstrap, with users numbered from 0 in ascending order of id.
struct user_rows {
  std::vector<user_id> ids;          ///< [n] as they were passed
  std::vector<std::uint32_t> users;  ///< [n] numbers
  std::vector<double> scores, baseline, labels;
  std::size_t user_count = 0;
};

/// Rows whose label is NaN are left out. `baseline` is null if there is none.
inline user_rows user_rows_of(std::string_view function, std::span<const user_id> users,
                              const number_column& scores, const number_column* baseline,
                              const number_column& labels) {
  const std::size_t n = scores.size();
  check_not_empty(function, "scores", n);
  check_size(function, "users", users.size(), n, "scores");
  if (baseline != nullptr) check_size(function, "baseline", baseline->size(), n, "scores");
  check_size(function, "labels", labels.size(), n, "scores");
  if (n >= std::size_t{1} << 30)  // resampled_auc keeps two bits of a number of 32
    fail_check(function, "scores", " has ", n, " values, expected fewer than 2^30");
  user_rows rows;
  for (std::size_t i = 0; i < n; ++i) {
    const double label = labels[i];
    if (std::isnan(label)) continue;
    rows.ids.push_back(users[i]);
    rows.scores.push_back(scores[i]);
    if (baseline != nullptr) rows.baseline.push_back((*baseline)[i]);
    rows.labels.push_back(label);
  }
  std::vector<user_id> known = rows.ids;
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  rows.user_count = known.size();
  rows.users.reserve(rows.ids.size());
  for (const user_id id : rows.ids)
    rows.users.push_back(static_cast<std::uint32_t>(
        std::lower_bound(known.begin(), known.end(), id) - known.begin()));
  return rows;
}

/// The rows of each user: those of user u are order[begin[u]] .. order[begin[u + 1] - 1], in the
/// order in which they were passed.
struct rows_by_user {
  std::vector<std::uint32_t> begin, order;

  explicit rows_by_user(const user_rows& rows)
      : begin(rows.user_count + 1), order(rows.users.size()) {
    for (const std::uint32_t u : rows.users) ++begin[u + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<std::uint32_t> next = begin;
    for (std::size_t i = 0; i < order.size(); ++i)
      order[next[rows.users[i]]++] = static_cast<std::uint32_t>(i);
  }

  std::span<const std::uint32_t> operator[](std::size_t user) const {
    return std::span(order).subspan(begin[user], begin[user + 1] - begin[user]);
  }
};

/// Draws as many users as there are, with replacement: how often each of them was drawn. Resample b
/// has random numbers of its own, so that it is the same on any thread.
inline void draw_users(std::uint64_t seed, std::size_t b, std::span<std::uint32_t> times_drawn) {
  // The seeds of two bootstraps are far apart: they would share resamples if they were 1 and 2.
  random_generator first(seed);
  random_generator bits(first() + b);
  std::fill(times_drawn.begin(), times_drawn.end(), 0u);
  for (std::size_t i = 0; i < times_drawn.size(); ++i)
    ++times_drawn[uniform_below(bits, times_drawn.size())];
}

}  // namespace funnel::detail
