// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/ranking/mmoe.hpp>
#include <funnel/ranking/watch_time_head.hpp>
#include <funnel/sequence/last_n_mean.hpp>
#include <funnel/sequence/target_attention.hpp>

#include "support/matrices.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

// A ranker with every part that a feed's ranker has: embeddings, a user of one row, the mean of the
// last items, attention over a history, experts with a gate a task, and heads.

enum ranker_task { click, long_view, like, watch, ranker_tasks };

struct ranker_sizes {
  std::size_t items = 7;
  std::size_t width = 3;  ///< of embeddings
  std::size_t experts = 3;
  std::vector<std::size_t> expert_sizes = {4, 3};
  double gate_dropout = .3;
};

inline constexpr std::size_t ranker_places = 3;
inline constexpr std::size_t ranker_user_numbers = 2;
inline constexpr std::size_t ranker_item_numbers = 2;

template <class T>
struct ranker_input {
  funnel::matrix_view<const T> user;     ///< [1 or n, ...]
  std::span<const std::uint32_t> place;  ///< [1 or n]
  funnel::id_lists recent, history;      ///< 1 or n lists
  std::span<const std::uint32_t> items;  ///< [n]
  funnel::matrix_view<const T> numbers;  ///< [n, ...]
};

template <class T>
struct feed_ranker {
  funnel::embedding<T> item, place;
  funnel::mmoe<T, ranker_tasks> experts;
  std::vector<funnel::mlp<T>> towers;  // click, long view, like
  funnel::mlp<T> watch_tower;
  funnel::watch_time_head<T> watch_head;

  explicit feed_ranker(const ranker_sizes& sizes)
      : item(sizes.items, sizes.width), place(ranker_places, 2),
        experts(ranker_user_numbers + 2 + 3 * sizes.width + ranker_item_numbers,
                {.experts = sizes.experts,
                 .expert_sizes = sizes.expert_sizes,
                 .gate_dropout = sizes.gate_dropout}),
        watch_tower(experts.out(), {3}, {.output = funnel::activation::silu}),
        watch_head(3, {.time_scale = T(20), .max_time = T(300)}) {
    for (std::size_t t = 0; t < watch; ++t)
      towers.emplace_back(experts.out(), std::vector<std::size_t>{3, 1});
    std::uint64_t seed = 0;
    funnel::for_each_parameter(*this, [&](std::string_view, auto& p) {
      p.value = random_matrix<T>(p.rows(), p.cols(), ++seed);
    });
  }

  template <funnel::Context C>
  std::array<funnel::value_of<C>, ranker_tasks> operator()(C& context,
                                                           const ranker_input<T>& x) const {
    const auto places = place(context, x.place);
    const auto recent = funnel::last_n_mean(context, item, x.recent, 50);
    const auto user = materialize(context, concat(context, x.user, places, recent));
    const auto candidates = item(context, x.items);
    const auto events = item(context, x.history.ids);
    const auto found = funnel::target_attention(context, candidates, events, x.history.offsets);
    const auto h = experts(context, concat(context, user, candidates, found, x.numbers));
    std::array<funnel::value_of<C>, ranker_tasks> logits;
    for (std::size_t t = 0; t < watch; ++t) logits[t] = towers[t](context, h[t]);
    logits[watch] = watch_head(context, watch_tower(context, h[watch]));
    return logits;
  }

  void visit_parameters(auto&& visit) {
    visit("item", item);
    visit("place", place);
    visit("experts", experts);
    visit("towers", towers);
    visit("watch_tower", watch_tower);
    visit("watch_head", watch_head);
  }
};

/// One user, or one a row, and n random candidates.
template <class T>
struct ranker_rows {
  funnel::matrix<T> user, numbers;
  std::vector<std::uint32_t> place, items;
  std::vector<std::uint32_t> recent, recent_offsets{0}, history, history_offsets{0};

  /// `history_length` items a user in the history; every third of many users has none.
  ranker_rows(std::size_t users, std::size_t candidates, std::size_t item_count,
              std::size_t history_length, std::uint64_t seed)
      : user(random_matrix<T>(users, ranker_user_numbers, seed)),
        numbers(random_matrix<T>(candidates, ranker_item_numbers, seed + 1)) {
    funnel::random_generator bits(seed + 2);
    const auto draw = [&](std::size_t below) {
      return static_cast<std::uint32_t>(funnel::uniform_below(bits, below));
    };
    for (std::size_t i = 0; i < candidates; ++i) items.push_back(draw(item_count));
    for (std::size_t u = 0; u < users; ++u) {
      place.push_back(draw(ranker_places));
      for (std::size_t i = 0; i < u % 3 + 1; ++i) recent.push_back(draw(item_count));
      recent_offsets.push_back(static_cast<std::uint32_t>(recent.size()));
      for (std::size_t i = 0; i < (u % 3 == 2 ? 0 : history_length); ++i)
        history.push_back(draw(item_count));
      history_offsets.push_back(static_cast<std::uint32_t>(history.size()));
    }
  }

  ranker_input<T> all() const {
    return {user, place, {recent, recent_offsets}, {history, history_offsets}, items, numbers};
  }
  /// Some of the candidates, with the one user.
  ranker_input<T> candidates(std::size_t begin, std::size_t count) const {
    ranker_input<T> part = all();
    part.items = part.items.subspan(begin, count);
    part.numbers = part.numbers.middle_rows(begin, count);
    return part;
  }
};
