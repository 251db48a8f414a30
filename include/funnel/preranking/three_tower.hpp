// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>

namespace funnel {

/// Three-tower pre-ranking model: a user tower, an item tower and a cross tower, and a small
/// network on top of their concatenated outputs.
///
///     z = top([user(u) | item(v) | cross(c)])
///
/// The user tower may be large: it runs once per request, and so does its share of the first layer
/// of `top`. The item tower reads only static features, so its vectors can be cached (see
/// `item_tower_cache`). The cross tower reads features that change with every request, such as
/// counters and features of user and item together, and should be small. A tower is any model that
/// returns a value for its input.
///
/// Shapes      users [1 or n], items [n], crosses [n] -> the output of `top`, [n, tasks] logits.
/// Cost        one run of `user`, one run of `item` per item that is not cached, and one run of
///             `cross` and of `top` per candidate.
/// Source      docs/formulas.md#three-towers.
template <class UserTower, class ItemTower, class CrossTower, class Top>
struct three_tower {
  UserTower user;
  ItemTower item;
  CrossTower cross;
  Top top;

  /// Runs all three towers and `top`: for training, and for serving without a cache.
  template <Context C>
  auto operator()(C& context, const auto& users, const auto& items, const auto& crosses) const {
    return with_item_vectors(context, users, item(context, items), crosses);
  }

  /// Same as `operator()`, with item vectors that were computed earlier.
  template <Context C>
  auto with_item_vectors(C& context, const auto& users, const value_of<C>& item_vectors,
                         const auto& crosses) const {
    // Separate statements: the compiler chooses the order in which it evaluates the arguments of
    // one call, and dropout draws random numbers in that order.
    const auto user_vector = user(context, users);
    const auto cross_vectors = cross(context, crosses);
    return top(context, concat(context, user_vector, item_vectors, cross_vectors));
  }

  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
    visit("cross", cross);
    visit("top", top);
  }
};

}  // namespace funnel
