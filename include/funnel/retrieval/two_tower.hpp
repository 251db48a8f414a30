// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/similarity.hpp>

namespace funnel {

/// A two-tower model: one network makes a vector of the user, another one of the item, and their
/// cosine is the score.
///
/// A tower is any model that gives a value [n, d] for its input. Both sides are normalised in the
/// same place, so that training and serving agree. Train on `operator()` with `in_batch_softmax`;
/// serve by putting `item_vectors` of all items into a `vector_index` and searching with
/// `user_vectors` of the one user.
///
/// Source      Yi et al., RecSys 2019, section 3; formulas items 34 and 39.
template <class UserTower, class ItemTower>
struct two_tower {
  UserTower user;
  ItemTower item;

  /// [n, d], each of length one.
  template <Context C>
  value_of<C> user_vectors(C& context, const auto& users) const {
    return l2_normalize(context, user(context, users));
  }
  /// [m, d], each of length one.
  template <Context C>
  value_of<C> item_vectors(C& context, const auto& items) const {
    return l2_normalize(context, item(context, items));
  }
  /// Cosines of all users with all items of a batch, [n, m].
  template <Context C>
  value_of<C> operator()(C& context, const auto& users, const auto& items) const {
    return pairwise_dot(context, user_vectors(context, users), item_vectors(context, items));
  }

  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
  }
};

}  // namespace funnel
