// SPDX-License-Identifier: MIT
#pragma once

#include "ranker.hpp"

#include <funnel/nn/concat.hpp>
#include <funnel/preranking/item_tower_cache.hpp>
#include <funnel/preranking/three_tower.hpp>
#include <funnel/sequence/last_n_mean.hpp>

namespace feed {

/// Columns of the item features that change only with a new table of videos or history: input of
/// the item tower. The others, counters of the log, change all day: input of the cross tower.
inline constexpr std::size_t fixed_head = 9;
inline constexpr std::size_t fixed_tail = 3;
inline constexpr std::size_t counters = features::item_width - fixed_head - fixed_tail;

template <class T>
struct pre_user_tower {
  funnel::embedding<T> video, tag, tab;
  funnel::mlp<T> network;

  pre_user_tower() = default;
  pre_user_tower(const table_sizes& sizes, std::size_t numbers)
      : video(sizes.videos, 8), tag(sizes.tags, 8), tab(sizes.tabs, 4),
        network(numbers + 4 + 8 + 8, {128, 64}) {}

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, const candidates& x) const {
    return network(
        context,
        materialize(context,
                    concat(context, x.user, tab(context, x.tab),
                           last_n_mean(context, video, x.long_watched, history_length),
                           last_n_mean(context, tag, x.long_watched_tags, history_length))));
  }

  void visit_parameters(auto&& visit) {
    visit("video", video);
    visit("tag", tag);
    visit("tab", tab);
    visit("network", network);
  }
};

template <class T>
struct pre_item_tower {
  static constexpr std::size_t out = 32;
  funnel::embedding<T> video, tag, duration;
  funnel::mlp<T> network;

  pre_item_tower() = default;
  explicit pre_item_tower(const table_sizes& sizes)
      : video(sizes.videos, 8), tag(sizes.tags, 8), duration(features::duration_buckets, 4),
        network(8 + 8 + 4 + fixed_head + fixed_tail, {64, out}) {}

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, const candidates& x) const {
    return network(
        context,
        materialize(context,
                    concat(context, video(context, x.items), tag(context, x.tags),
                           duration(context, x.durations), x.item.middle_cols(0, fixed_head),
                           x.item.middle_cols(fixed_head + counters, fixed_tail))));
  }

  void visit_parameters(auto&& visit) {
    visit("video", video);
    visit("tag", tag);
    visit("duration", duration);
    visit("network", network);
  }
};

template <class T>
struct pre_cross_tower {
  funnel::mlp<T> network;

  pre_cross_tower()
      : network(counters + features::cross_width, {16}, {.output = funnel::activation::relu}) {}

  template <funnel::Context C>
  funnel::value_of<C> operator()(C& context, const candidates& x) const {
    return network(
        context,
        materialize(context, concat(context, x.item.middle_cols(fixed_head, counters), x.cross)));
  }

  void visit_parameters(auto&& visit) { visit("network", network); }
};

using feed_preranker = funnel::three_tower<pre_user_tower<float>, pre_item_tower<float>,
                                           pre_cross_tower<float>, funnel::mlp<float>>;

/// Candidate lists for distillation, one per request, with the scores of the ranker. Their videos
/// need not have been shown.
struct taught_lists {
  rows candidates;
  std::vector<float> scores;
  std::size_t length = 0;  ///< candidates per list
};

struct preranker_options {
  std::size_t epochs = 1;
  std::size_t batch = 512;
  double learning_rate = 2e-3;
  std::uint64_t seed = 1;
};

/// Trains a pre-ranker on clicks. With a teacher, whose click `probabilities` are given per row,
/// the target is the mean of label and probability, and the order of `lists` is learned as well.
feed_preranker train_preranker(const catalog& source, const rows& training,
                               std::span<const float> probabilities, const taught_lists* lists,
                               const preranker_options& options, const progress& report);

}  // namespace feed
