// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/retrieval/item_cf.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace funnel {

/// Options of `user_cf`.
struct user_cf_options {
  /// Whether a common item counts 1 / ln(1 + n), n its number of users: that two users like what all
  /// like says little.
  bool damp_popular = true;
  /// Most neighbors of a user. k.
  std::size_t neighbors = 200;
  /// Pairs of users with fewer common items are not similar, 1 or more.
  std::size_t min_items = 1;
  /// Similarities are multiplied by n / (n + shrinkage) for n common items, which holds back users
  /// with few of them; 0 or more.
  double shrinkage = 5;
  /// Only the latest items of a user and the latest users of an item count, 1 or more: the cost grows
  /// with the square of the users of an item.
  std::size_t most_items_of_user = 500;
  std::size_t most_users_of_item = 500;
};

/// User-based collaborative filtering (UserCF): users are similar if they like the same items.
///
///     sim(u, v) = sum over items i of both of d_i w_ui w_vi / (|w_u| |w_v|)
///     d_i = 1 / ln(1 + n_i) with damping, else 1            n_i: the number of users of item i
///
/// With values that are all 1 and without damping this is |J_u n J_v| / sqrt(|J_u| |J_v|), J_u: the
/// items of user u. Users without a common item are no neighbors. The caps are
/// part of the definition: all but n_i is computed from what they leave, first of the users, then of
/// the items.
///
/// The table has a list for each user. `user_expander` retrieves the items of similar users.
///
/// Lists are built user by user, so no list of pairs is ever made, and they have the same bits on any
/// number of threads.
///
/// Shapes      by_user [users, items], values above 0; returns a list for each user.
/// Order       by similarity; of equal ones the lower user first.
/// Errors      std::invalid_argument if an option is out of range.
/// Cost        sum over items of (users of the item)^2; memory as for `item_cf`.
/// Source      Breese, Heckerman and Kadie, UAI 1998; docs/formulas.md#usercf.
template <Executor E>
neighbor_table user_cf(E& executor, const sparse_matrix& by_user,
                       const user_cf_options& options = {}) {
  constexpr std::string_view name = "user_cf";
  detail::check_at_least_one(name, "neighbors", options.neighbors);
  detail::check_at_least_one(name, "min_items", options.min_items);
  detail::check_not_negative(name, "shrinkage", options.shrinkage);
  detail::check_at_least_one(name, "most_items_of_user", options.most_items_of_user);
  detail::check_at_least_one(name, "most_users_of_item", options.most_users_of_item);
  std::vector<double> damping;
  if (options.damp_popular) {
    std::vector<std::size_t> users(by_user.columns());
    for (std::size_t u = 0; u < by_user.rows(); ++u)
      for (const std::uint32_t item : by_user[u].columns) ++users[item];
    damping.reserve(users.size());
    for (const std::size_t n : users) damping.push_back(1 / std::log1p(static_cast<double>(n)));
  }
  const detail::capped_interactions all(by_user, options.most_items_of_user,
                                        options.most_users_of_item);
  // ItemCF with users in the place of items.
  const item_cf_options roles{.neighbors = options.neighbors,
                              .min_users = options.min_items,
                              .shrinkage = options.shrinkage};
  return options.damp_popular || all.has_values()
             ? detail::item_cf_lists<true>(executor, all.by_item, *all.by_user, roles, damping)
             : detail::item_cf_lists<false>(executor, all.by_item, *all.by_user, roles);
}
/// The same on the caller's thread.
inline neighbor_table user_cf(const sparse_matrix& by_user, const user_cf_options& options = {}) {
  serial_executor executor;
  return user_cf(executor, by_user, options);
}

}  // namespace funnel
