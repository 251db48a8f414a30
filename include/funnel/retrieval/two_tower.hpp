// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/nn/similarity.hpp>

namespace funnel {

/// The default for `Shared` of `two_tower`: no tables in common.
struct no_shared_tables {
  void visit_parameters(auto&&) {}
};

/// Two-tower retrieval model: one network (a tower) computes a vector for the user, another one for
/// the item; the score is the cosine of the two vectors.
///
/// A tower is any model that returns a value [n, d] for its input. `shared` holds what both towers
/// read, such as the embedding table of the items that a user watched and of the item itself. It is
/// passed to a tower that takes it as a third argument. Both vectors are normalized in one place,
/// so that training and serving agree.
///
/// Use         train `operator()` with `in_batch_softmax`. To serve, compute `item_vectors` of all
///             items, put them into a `flat_index`, and search it with `user_vectors` of the one
///             user.
/// Source      Yi et al., RecSys 2019, section 3; docs/formulas.md#two-towers.
template <class UserTower, class ItemTower, class Shared = no_shared_tables>
struct two_tower {
  UserTower user;
  ItemTower item;
  Shared shared;

  /// Vectors of the users, [n, d], each of length 1.
  template <Context C>
  value_of<C> user_vectors(C& context, const auto& users) const {
    return l2_normalize(context, run(context, user, users));
  }
  /// Vectors of the items, [m, d], each of length 1.
  template <Context C>
  value_of<C> item_vectors(C& context, const auto& items) const {
    return l2_normalize(context, run(context, item, items));
  }
  /// The cosine of every user of a batch with every item of it, [n, m].
  template <Context C>
  value_of<C> operator()(C& context, const auto& users, const auto& items) const {
    // Two statements, user first: the compiler chooses the order in which it evaluates the
    // arguments of one call, and dropout draws random numbers in that order.
    const auto a = user_vectors(context, users);
    const auto b = item_vectors(context, items);
    return pairwise_dot(context, a, b);
  }

  void visit_parameters(auto&& visit) {
    visit("user", user);
    visit("item", item);
    visit("shared", shared);
  }

 private:
  template <Context C>
  value_of<C> run(C& context, const auto& tower, const auto& input) const {
    if constexpr (requires { tower(context, input, shared); }) {
      return tower(context, input, shared);
    } else {
      return tower(context, input);
    }
  }
};

}  // namespace funnel
