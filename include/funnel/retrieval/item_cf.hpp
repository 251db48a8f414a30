// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/executor.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/retrieval/detail/build_lists.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {

/// How similar two items are, from the users who like both.
enum class item_similarity : std::uint8_t {
  cosine,   ///< of the values of the users: sum w_ui w_uj / (|w_i| |w_j|)
  jaccard,  ///< the users of both / the users of one or both; values do not count
};

/// Options of `item_cf`.
struct item_cf_options {
  item_similarity similarity = item_similarity::cosine;
  /// Most neighbors of an item. k.
  std::size_t neighbors = 100;
  /// Pairs of items with fewer common users are not similar, 1 or more.
  std::size_t min_users = 1;
  /// Similarities are multiplied by n / (n + shrinkage) for n common users, which holds back pairs of
  /// items with few of them; 0 or more.
  double shrinkage = 0;
  /// Only the latest items of a user and the latest users of an item count, 1 or more: the cost grows
  /// with the square of the items of a user.
  std::size_t most_items_of_user = 500;
  std::size_t most_users_of_item = std::numeric_limits<std::size_t>::max();
};

namespace detail {

inline void check_item_cf(const item_cf_options& options) {
  constexpr std::string_view name = "item_cf";
  if (options.similarity > item_similarity::jaccard)
    fail("funnel::item_cf: similarity is ", static_cast<int>(options.similarity),
         ", expected below 2");
  check_at_least_one(name, "neighbors", options.neighbors);
  check_at_least_one(name, "min_users", options.min_users);
  check_that(name, "shrinkage", options.shrinkage,
             options.shrinkage >= 0 && std::isfinite(options.shrinkage), "a number of 0 or more");
  check_at_least_one(name, "most_items_of_user", options.most_items_of_user);
  check_at_least_one(name, "most_users_of_item", options.most_users_of_item);
}

/// What is summed for the items that an item has users in common with.
template <bool Weighted>
struct common_users {
  struct sum {
    std::uint32_t users = 0;
    float inverse = 0;  ///< 1 / |w|, rounded; beside the count, as both are read
  };
  std::vector<sum> sums;         ///< by item
  std::vector<double> products;  ///< by item; empty unless weighted
  std::vector<item_id> touched;  ///< and items that are asked for behind the last of them

  static constexpr std::size_t ahead = 16;

  explicit common_users(std::span<const double> inverse)
      : sums(inverse.size()), products(Weighted ? inverse.size() : 0),
        touched(inverse.size() + 1 + ahead) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i].inverse = static_cast<float>(inverse[i]);
  }
};

/// Interactions in both directions with what the caps leave of them. Copies only what a cap changes:
/// `by_user` may be the matrix that was passed.
struct capped_interactions {
  const sparse_matrix* by_user;
  sparse_matrix by_item, capped;

  capped_interactions(const sparse_matrix& all, std::size_t most_items_of_user,
                      std::size_t most_users_of_item)
      : by_user(&all) {
    if (all.longest_row() > most_items_of_user)
      by_user = &(capped = all.latest(most_items_of_user));
    by_item = by_user->transposed();
    if (by_item.longest_row() > most_users_of_item) {
      by_item = by_item.latest(most_users_of_item);
      by_user = &(capped = by_item.transposed());
    }
  }
  capped_interactions(const capped_interactions&) = delete;
  capped_interactions& operator=(const capped_interactions&) = delete;

  /// Whether a value is not 1.
  bool has_values() const {
    for (std::size_t i = 0; i < by_item.rows(); ++i)
      if (std::ranges::any_of(by_item[i].values, [](float value) { return value != 1; }))
        return true;
    return false;
  }
};

/// The lists of similar rows of `by_item`; `by_user` is its transpose. With `weights`, one for each
/// user, the products of a cosine are multiplied by that of the user, but not the lengths.
template <bool Weighted, Executor E>
neighbor_table item_cf_lists(E& executor, const sparse_matrix& by_user,
                             const sparse_matrix& by_item, const item_cf_options& options,
                             std::span<const double> weights = {}) {
  const std::size_t items = by_item.rows();
  std::vector<double> inverse(items);  // 1 / |w_i|
  for (std::size_t i = 0; i < items; ++i) {
    double squares = 0;
    for (const float value : by_item[i].values)
      squares += static_cast<double>(value) * static_cast<double>(value);
    if (squares > 0) inverse[i] = 1 / std::sqrt(squares);
  }
  // Users' items as addresses that can be asked for ahead. The arrays of all rows are one.
  std::vector<std::span<const item_id>> items_of(by_user.rows());
  for (std::size_t u = 0; u < items_of.size(); ++u) items_of[u] = by_user[u].columns;
  const sparse_row all = items_of.empty() ? sparse_row{} : by_user[0];
  const bool jaccard = options.similarity == item_similarity::jaccard;
  const auto find = [&](common_users<Weighted>& common, item_id i, best_items& best) {
    const sparse_row users = by_item[i];
    std::size_t touched = 0;
    constexpr std::size_t ahead = 4, far_ahead = 16;
    for (std::size_t u = 0; u < users.size(); ++u) {
      if (u + far_ahead < users.size())
        prefetch_bytes<false>(&items_of[users.columns[u + far_ahead]],
                              sizeof(std::span<const item_id>));
      if (u + ahead < users.size()) {
        const std::span<const item_id> next = items_of[users.columns[u + ahead]];
        prefetch_bytes<false>(next.data(),
                              std::min<std::size_t>(next.size(), 64) * sizeof(item_id));
      }
      const std::span<const item_id> of_user = items_of[users.columns[u]];
      [[maybe_unused]] const float* const values =
          all.values.data() + (of_user.data() - all.columns.data());
      [[maybe_unused]] const double value =
          static_cast<double>(users.values[u]) * (weights.empty() ? 1 : weights[users.columns[u]]);
      for (std::size_t j = 0; j < of_user.size(); ++j) {
        const item_id item = of_user[j];
        // Without a branch: whether an item is new is hard to predict.
        common.touched[touched] = item;
        touched += common.sums[item].users++ == 0 ? std::size_t{1} : 0;
        if constexpr (Weighted) common.products[item] += value * static_cast<double>(values[j]);
      }
    }
    // A cosine below this is not among the best, even if rounding made it lower than it is.
    const auto bound = [&] {
      return jaccard ? 0.f : .9999f * best.least() / static_cast<float>(inverse[i]);
    };
    float least = bound();
    for (std::size_t t = 0; t < touched; ++t) {
      const item_id j = common.touched[t];
      const item_id next = common.touched[t + common_users<Weighted>::ahead];
      prefetch_bytes<false>(&common.sums[next], sizeof(common.sums[0]));
      prefetch_bytes<false>(&inverse[next], sizeof(double));
      auto& sum = common.sums[j];
      const std::uint32_t count = sum.users;
      sum.users = 0;
      const double n = static_cast<double>(count);
      double s = n;
      if constexpr (Weighted) {
        s = common.products[j];
        common.products[j] = 0;
      }
      if (static_cast<float>(s) * sum.inverse < least || j == i || count < options.min_users)
        continue;
      s *= inverse[i] * inverse[j];
      if (jaccard) s = n / (static_cast<double>(users.size() + by_item[j].size()) - n);
      if (options.shrinkage > 0) s *= n / (n + options.shrinkage);
      if (best.add(j, static_cast<float>(s))) least = bound();
    }
  };
  return build_lists(
      executor, items, options.neighbors, [&] { return common_users<Weighted>(inverse); }, find);
}

}  // namespace detail

/// Item-based collaborative filtering (ItemCF): items are similar if the same users like them.
///
///     cosine    sim(i, j) = sum_u w_ui w_uj / (sqrt(sum_u w_ui^2) sqrt(sum_u w_uj^2))
///     jaccard   sim(i, j) = |W_i n W_j| / |W_i u W_j|        W_i: the users of item i
///
/// With values that are all 1 the cosine is |W_i n W_j| / sqrt(|W_i| |W_j|). Items without a common
/// user are no neighbors. The caps are part of the definition: everything is computed from what they
/// leave, first of the users, then of the items.
///
/// Lists are built item by item, so no list of pairs is ever made, and they have the same bits on any
/// number of threads.
///
/// Shapes      by_user [users, items], values above 0; returns a list for each item.
/// Order       by similarity; of equal ones the lower item first.
/// Errors      std::invalid_argument if an option is out of range.
/// Cost        sum over users of (items of the user)^2; memory for the matrix in both directions, the
///             table, 16 bytes per user, and 12 or 20 bytes per item and thread.
/// Source      Sarwar et al., WWW 2001; Linden, Smith and York, IEEE Internet Computing 2003;
///             docs/formulas.md#itemcf.
template <Executor E>
neighbor_table item_cf(E& executor, const sparse_matrix& by_user,
                       const item_cf_options& options = {}) {
  detail::check_item_cf(options);
  const detail::capped_interactions all(by_user, options.most_items_of_user,
                                        options.most_users_of_item);
  return all.has_values()
             ? detail::item_cf_lists<true>(executor, *all.by_user, all.by_item, options)
             : detail::item_cf_lists<false>(executor, *all.by_user, all.by_item, options);
}
/// The same on the caller's thread.
inline neighbor_table item_cf(const sparse_matrix& by_user, const item_cf_options& options = {}) {
  serial_executor executor;
  return item_cf(executor, by_user, options);
}

}  // namespace funnel
