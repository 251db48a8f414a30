// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>

namespace funnel {

/// A pre-ranker of three towers under one upper network.
///
///     z = top([user(u) | item(v) | cross(c)])
///
/// The user tower may be large: it runs once per request, as does its share of the top's first
/// layer. The item tower sees only static features, so its vectors can be kept: see
/// `item_tower_cache`. The cross tower sees what changes with every request and stays small. A
/// tower is any model that gives a value for its input.
///
/// Shapes      users [1 or n], items [n], crosses [n] -> what `top` gives, [n, tasks] logits.
/// Cost        user + items not kept * item + n (cross + top).
/// Source      docs/formulas.md#three-towers.
template <class UserTower, class ItemTower, class CrossTower, class Top>
struct three_tower {
  UserTower user;
  ItemTower item;
  CrossTower cross;
  Top top;

  /// The whole network on inputs: for training, and for serving without a cache.
  template <Context C>
  auto operator()(C& context, const auto& users, const auto& items, const auto& crosses) const {
    return with_item_vectors(context, users, item(context, items), crosses);
  }

  /// The same on item vectors that were computed before.
  template <Context C>
  auto with_item_vectors(C& context, const auto& users, const value_of<C>& item_vectors,
                         const auto& crosses) const {
    // One after the other: the order of a call's arguments, and so what dropout draws for which
    // tower, is the compiler's choice.
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
