// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/nn/similarity.hpp>

namespace funnel {

/// What towers that share nothing share.
struct nothing_shared {
  void visit_parameters(auto&&) {}
};

/// A two-tower model: one network makes a vector of the user, another one of the item, and their
/// cosine is the score.
///
/// A tower is any model that gives a value [n, d] for its input. `shared` holds what both look at,
/// such as the vectors of the items that a user watched and of the item itself; a tower that takes
/// it as a third argument is given it. Both sides are normalized in one place, so that training and
/// serving agree.
///
/// Use         train on `operator()` with `in_batch_softmax`; serve by putting `item_vectors` of
///             all items into a `flat_index` and searching with `user_vectors` of the one user.
/// Source      Yi et al., RecSys 2019, section 3; docs/formulas.md#two-towers.
template <class UserTower, class ItemTower, class Shared = nothing_shared>
struct two_tower {
  UserTower user;
  ItemTower item;
  Shared shared;

  /// [n, d], each of length one.
  template <Context C>
  value_of<C> user_vectors(C& context, const auto& users) const {
    return l2_normalize(context, run(context, user, users));
  }
  /// [m, d], each of length one.
  template <Context C>
  value_of<C> item_vectors(C& context, const auto& items) const {
    return l2_normalize(context, run(context, item, items));
  }
  /// Cosines of all users with all items of a batch, [n, m].
  template <Context C>
  value_of<C> operator()(C& context, const auto& users, const auto& items) const {
    // One after the other: the order of a call's arguments, and so what dropout draws for which
    // tower, is the compiler's choice.
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
