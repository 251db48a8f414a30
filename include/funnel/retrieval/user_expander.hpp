// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/sparse_matrix.hpp>
#include <funnel/index/neighbor_table.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/retrieval/detail/score_sums.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// Options of `user_expander`.
struct user_expander_options {
  /// Similar users whose items are read, 1 or more. k.
  std::size_t neighbors = std::numeric_limits<std::size_t>::max();
};

/// Retrieval from similar users (U2U2I): the items that users like who like what this user likes.
///
///     score(i) = sum over similar users v who like i of sim(u, v) like(v, i)
///
/// `liked` has what each user likes, with values above 0; pass `by_user.latest(n)` to read the latest
/// n items of each user. It may be newer than the table and have more users.
///
/// One thread uses an expander; each serving thread has its own. Table and matrix must live as long.
/// After the first request it allocates no memory, but for more items than ever before.
///
/// Cost        4 bytes per column of `liked`; a search reads the rows of the similar users.
/// Source      docs/formulas.md#usercf.
class user_expander {
 public:
  /// Errors      std::invalid_argument if an option is out of range.
  explicit user_expander(const neighbor_table& similar_users, const sparse_matrix& liked,
                         const user_expander_options& options = {})
      : similar_(&similar_users), liked_(&liked), options_(options), sums_(liked.columns()) {
    detail::check_at_least_one("user_expander", "neighbors", options.neighbors);
  }
  user_expander(const neighbor_table&, sparse_matrix&&, const user_expander_options& = {}) = delete;

  /// Finds the best items, best first, and returns their number: fewer than out.size() if the similar
  /// users like no more; 0 for a user that the table does not have. Items that `admits` returns false
  /// for are left out, such as those that the user has seen.
  ///
  /// Shapes      out [most].
  template <class Admits>
  std::size_t search(user_id user, std::span<scored_item> out, const Admits& admits) {
    const auto users = similar_->neighbors(user);
    const auto similarities = similar_->scores(user);
    sums_.clear();
    for (std::size_t n = 0; n < std::min(users.size(), options_.neighbors); ++n) {
      if (users[n] >= liked_->rows()) continue;
      const sparse_row row = (*liked_)[users[n]];
      for (std::size_t i = 0; i < row.size(); ++i)
        sums_.add(row.columns[i], similarities[n] * row.values[i]);
    }
    return sums_.best(out, admits);
  }
  /// The same with all items.
  std::size_t search(user_id user, std::span<scored_item> out) {
    return search(user, out, [](item_id) { return true; });
  }

 private:
  const neighbor_table* similar_;
  const sparse_matrix* liked_;
  user_expander_options options_;
  detail::score_sums sums_;
};

}  // namespace funnel
