// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/retrieval/detail/build_lists.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace funnel {

/// Options of `swing`.
struct swing_options {
  /// Added to the number of common items of two users, 0 or more. alpha.
  double alpha = 1;
  /// The weight of a user with n items is (n + user_alpha)^-user_beta, and that of a pair the product:
  /// users with many items say less. 0 for equal weights.
  double user_alpha = 0, user_beta = .5;
  /// Whether the item itself is not one of the common items: alpha + overlap - 1.
  bool without_item = false;
  /// Most neighbors of an item. k.
  std::size_t neighbors = 100;
  /// Only the latest items of a user and the latest users of an item count, 1 or more: the cost grows
  /// with the square of the users of an item.
  std::size_t most_items_of_user = 500;
  std::size_t most_users_of_item = 200;
};

namespace detail {

inline void check_swing(const swing_options& options) {
  constexpr std::string_view name = "swing";
  const auto check = [&](std::string_view what, double value) {
    check_that(name, what, value, value >= 0 && std::isfinite(value), "a number of 0 or more");
  };
  check("alpha", options.alpha);
  check("user_alpha", options.user_alpha);
  check("user_beta", options.user_beta);
  // Two users of an item have it in common.
  check_that(name, "alpha", options.alpha, options.alpha > 0 || !options.without_item,
             "above 0 with without_item");
  check_at_least_one(name, "neighbors", options.neighbors);
  check_at_least_one(name, "most_items_of_user", options.most_items_of_user);
  check_at_least_one(name, "most_users_of_item", options.most_users_of_item);
}

/// What is summed for the items that an item shares pairs of users with.
struct swing_sums {
  std::vector<double> sums;          ///< by item
  std::vector<std::uint8_t> marked;  ///< by item: of the first user of a pair
  std::vector<item_id> common, touched;

  explicit swing_sums(std::size_t items) : sums(items), marked(items) {}
};

}  // namespace detail

/// Swing: two items are similar if users like both who have little else in common. A pair of users
/// who like the same things, such as friends, says less.
///
///     sim(i, j) = sum over pairs {u, v} of users of both, u != v, of
///                 w_u w_v / (alpha + |J_u n J_v|)             J_u: the items of user u
///
/// Each pair of users counts once, whatever its order; twice would not change the order of the lists.
/// Values do not count. Items with fewer than two common users are no neighbors. The caps are part of
/// the definition: J_u are the latest items of user u, and the pairs of item i are of its latest users.
/// With more users than that, sim(i, j) and sim(j, i) may differ.
///
/// Lists are built item by item, so no list of pairs is ever made, and they have the same bits on any
/// number of threads.
///
/// Shapes      by_user [users, items]; returns a list for each item.
/// Order       by similarity; of equal ones the lower item first.
/// Errors      std::invalid_argument if an option is out of range.
/// Cost        sum over items of the pairs of their users, times the items of a user; memory for the
///             matrix in both directions, the table, and 9 bytes per item and thread.
/// Source      Yang et al., 2020, arXiv:2010.05525; docs/formulas.md#swing.
template <Executor E>
neighbor_table swing(E& executor, const sparse_matrix& by_user, const swing_options& options = {}) {
  detail::check_swing(options);
  const sparse_matrix capped = by_user.latest(options.most_items_of_user);
  std::vector<double> weights(capped.rows());
  for (std::size_t u = 0; u < weights.size(); ++u) {
    if (capped[u].size() == 0) continue;
    weights[u] =
        std::pow(static_cast<double>(capped[u].size()) + options.user_alpha, -options.user_beta);
  }
  const sparse_matrix by_item = capped.transposed().latest(options.most_users_of_item);
  const double alpha = options.alpha - (options.without_item ? 1 : 0);
  const auto find = [&](detail::swing_sums& s, item_id item, detail::best_items& best) {
    const std::span<const std::uint32_t> users = by_item[item].columns;
    for (std::size_t a = 0; a < users.size(); ++a) {
      for (const item_id i : capped[users[a]].columns) s.marked[i] = 1;
      for (std::size_t b = a + 1; b < users.size(); ++b) {
        s.common.clear();
        for (const item_id i : capped[users[b]].columns)
          if (s.marked[i] != 0) s.common.push_back(i);
        const double weight =
            weights[users[a]] * weights[users[b]] / (alpha + static_cast<double>(s.common.size()));
        for (const item_id i : s.common) {
          if (s.sums[i] == 0) s.touched.push_back(i);
          s.sums[i] += weight;
        }
      }
      for (const item_id i : capped[users[a]].columns) s.marked[i] = 0;
    }
    for (const item_id i : s.touched) {
      if (i != item) best.add(i, static_cast<float>(s.sums[i]));
      s.sums[i] = 0;
    }
    s.touched.clear();
  };
  return detail::build_lists(
      executor, by_item.rows(), options.neighbors,
      [&] { return detail::swing_sums(by_item.rows()); }, find);
}
/// The same on the caller's thread.
inline neighbor_table swing(const sparse_matrix& by_user, const swing_options& options = {}) {
  serial_executor executor;
  return swing(executor, by_user, options);
}

}  // namespace funnel
