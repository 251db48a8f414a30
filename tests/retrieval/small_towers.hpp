// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/retrieval/two_tower.hpp>
#include <funnel/sequence/last_n_mean.hpp>
#include <funnel/sequence/target_attention.hpp>

#include "support/matrices.hpp"
#include "support/random_parameters.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

// A small two-tower model: what a user watched against the item, on one table of items.

/// Vectors of the items, which both towers look at.
template <class T>
struct item_table {
  funnel::embedding<T> item;

  void visit_parameters(auto&& visit) { visit("item", item); }
};

/// A user is what the user watched.
template <class T>
struct user_tower {
  funnel::mlp<T> network;

  template <funnel::Context C>
  auto operator()(C& context, const funnel::id_lists& watched, const item_table<T>& table) const {
    return network(context, funnel::last_n_mean(context, table.item, watched, 50));
  }
  void visit_parameters(auto&& visit) { visit("network", network); }
};

template <class T>
struct item_tower {
  funnel::mlp<T> network;

  template <funnel::Context C>
  auto operator()(C& context, const std::vector<funnel::item_id>& items,
                  const item_table<T>& table) const {
    return network(context, table.item(context, std::span<const funnel::item_id>(items)));
  }
  void visit_parameters(auto&& visit) { visit("network", network); }
};

template <class T>
using towers = funnel::two_tower<user_tower<T>, item_tower<T>, item_table<T>>;

template <class T>
towers<T> random_towers(std::size_t items) {
  const funnel::mlp_options smooth{.hidden = funnel::activation::tanh};
  towers<T> model{{funnel::mlp<T>(5, {6, 4}, smooth)},
                  {funnel::mlp<T>(5, {7, 4}, smooth)},
                  {funnel::embedding<T>(items, 5)}};
  return with_random_parameters(model);
}

struct history_batch {
  std::vector<std::uint32_t> watched, offsets{0};

  void append(const std::vector<std::uint32_t>& list) {
    watched.insert(watched.end(), list.begin(), list.end());
    offsets.push_back(static_cast<std::uint32_t>(watched.size()));
  }
  funnel::id_lists lists() const { return {watched, offsets}; }
};

inline history_batch three_users() {
  history_batch users;
  users.append({1, 2, 3});
  users.append({});
  users.append({7, 7});
  return users;
}
