// SPDX-License-Identifier: MIT
#pragma once

#include "rows.hpp"

#include <funnel/core/executor.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/ranking/mmoe.hpp>
#include <funnel/ranking/watch_time_head.hpp>
#include <funnel/sequence/last_n_mean.hpp>
#include <funnel/sequence/target_attention.hpp>

#include <array>
#include <span>

namespace feed {

/// Input of the ranker and the pre-ranker: n videos, and one user for all of them or one per row.
struct candidates {
  funnel::matrix_view<const float> user;   ///< [1 or n, ...]
  std::span<const std::uint32_t> tab;      ///< [1 or n]
  std::span<const std::uint32_t> slot;     ///< [1 or n]; 0: unknown, as in serving
  funnel::id_lists watched, watched_tags;  ///< 1 or n lists
  funnel::id_lists long_watched, long_watched_tags;
  std::span<const std::uint32_t> items, tags, durations;  ///< [n]
  funnel::matrix_view<const float> item;                  ///< [n, ...]
  funnel::matrix_view<const float> cross;                 ///< [n, ...]
};

/// Numbers of rows of the embedding tables.
struct table_sizes {
  std::size_t videos, tags, tabs, slots;
};

/// The ranker: a multi-gate mixture of experts on counters, embeddings and the behavior sequence.
/// Returns logits, one [n, 1] per task.
template <class T>
struct feed_ranker {
  static constexpr std::size_t width = 8;

  funnel::embedding<T> video, tag, duration, tab, slot;
  funnel::mmoe<T, tasks> experts;
  std::vector<funnel::mlp<T>> towers;  // click, long view, like
  funnel::mlp<T> watch_tower;
  funnel::watch_time_head<T> watch_head;

  feed_ranker() = default;
  feed_ranker(const table_sizes& sizes, std::size_t user_numbers)
      : video(sizes.videos, width, {.initial_scale = .01}), tag(sizes.tags, width),
        duration(features::duration_buckets, 4), tab(sizes.tabs, 4), slot(sizes.slots, 4),
        experts(user_numbers + 2 * 4 + 2 * width + 4 * width + 4 + features::item_width +
                    features::cross_width,
                {.experts = 4, .expert_sizes = {64}, .gate_dropout = .1, .dropout = 0}),
        watch_tower(64, {32}, {.output = funnel::activation::relu}),
        watch_head(32, {.time_scale = T(10), .max_time = T(longest_watch)}) {
    for (std::size_t t = 0; t < watch; ++t)
      towers.emplace_back(64, std::vector<std::size_t>{32, 1});
  }

  template <funnel::Context C>
  std::array<funnel::value_of<C>, tasks> operator()(C& context, const candidates& x) const {
    using funnel::concat;
    const auto user = materialize(
        context, concat(context, x.user, tab(context, x.tab), slot(context, x.slot),
                        funnel::last_n_mean(context, video, x.watched, history_length),
                        funnel::last_n_mean(context, tag, x.watched_tags, history_length)));
    const auto candidate =
        materialize(context, concat(context, video(context, x.items), tag(context, x.tags)));
    const auto events = materialize(context, concat(context, video(context, x.long_watched.ids),
                                                    tag(context, x.long_watched_tags.ids)));
    const auto found = funnel::target_attention(context, candidate, events, x.long_watched.offsets);
    const auto item = materialize(context, concat(context, candidate, found,
                                                  duration(context, x.durations), x.item, x.cross));
    const auto h = experts(context, concat(context, user, item));
    return {towers[click](context, h[click]), towers[long_view](context, h[long_view]),
            towers[like](context, h[like]), watch_head(context, watch_tower(context, h[watch]))};
  }

  void visit_parameters(auto&& visit) {
    visit("video", video);
    visit("tag", tag);
    visit("duration", duration);
    visit("tab", tab);
    visit("slot", slot);
    visit("experts", experts);
    visit("towers", towers);
    visit("watch_tower", watch_tower);
    visit("watch_head", watch_head);
  }
};

using frozen_ranker = funnel::frozen<feed_ranker<float>, funnel::default_arch>;

/// Data that all batches share.
struct catalog {
  const funnel::interaction_log& log;
  const features& known;
  history_lists watched, long_watched;
  std::vector<std::uint32_t> tags, durations;  ///< per video
  table_sizes sizes;

  catalog(const funnel::interaction_log& source, const features& numbers);
};

/// Gathers rows of a log into an input of the ranker; reuses its memory.
class batch {
 public:
  explicit batch(const catalog& source) : source_(source) {}

  /// `order` selects rows. In training (`bits` not null), the slot of some rows is dropped, so that
  /// it may be unknown in serving.
  const candidates& gather(const rows& from, std::span<const std::uint32_t> order,
                           funnel::random_generator* bits);

 private:
  const catalog& source_;
  funnel::matrix<float> user_, item_, cross_;
  std::vector<std::uint32_t> tab_, slot_, items_, tags_, durations_;
  history_lists watched_, long_watched_;
  candidates made_;
};

struct ranker_options {
  std::size_t epochs = 2;
  std::size_t batch = 512;
  double learning_rate = 2e-3;
  /// Fraction of the negatives that is kept, per task; 1 keeps all.
  std::array<double, watch> kept_negatives{.7, 1, .1};
  std::uint64_t seed = 1;
};

feed_ranker<float> train_ranker(const catalog& source, const rows& training,
                                const ranker_options& options, const progress& report);

/// Turns logits into calibrated probabilities and seconds.
class calibration {
 public:
  /// Starts with the correction for dropped negatives: ln of the fraction that was kept.
  calibration(const ranker_options& options, const funnel::watch_time_head<float>& head);

  /// Fits the slope of the logits, with a ranker (`rehearsal`) that was not trained on `day`: on
  /// new days, rankers are overconfident.
  template <funnel::Executor E>
  void fit_slope(const frozen_ranker& rehearsal, const catalog& source, const rows& day,
                 E& executor);

  /// Then fits a bias for each head, so that the mean estimate of a day equals its mean label.
  /// Rates drift, so use the last day of training.
  template <funnel::Executor E>
  void fit_bias(const frozen_ranker& ranker, const catalog& source, const rows& day, E& executor);

  float operator()(std::size_t t, float logit) const;

 private:
  enum class fitted { slope, bias };
  void fit(fitted what, const rows& day, const funnel::matrix<float>& logits);

  std::array<float, watch> slope_;
  std::array<float, watch> shift_;
  funnel::watch_time_head<float> head_;
};

/// The logits of rows, [n, tasks]; they do not depend on the number of threads.
template <funnel::Executor E>
funnel::matrix<float> logits_of(const frozen_ranker& ranker, const catalog& source, const rows& of,
                                E& executor) {
  funnel::matrix<float> logits(of.size(), tasks);
  funnel::for_blocks(executor, of.size(), 2048, [&](std::size_t begin, std::size_t end) {
    funnel::inference_context<float> context;
    batch gathered(source);
    std::vector<std::uint32_t> order(end - begin);
    std::iota(order.begin(), order.end(), static_cast<std::uint32_t>(begin));
    const auto heads = ranker(context, gathered.gather(of, order, nullptr));
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t t = 0; t < tasks; ++t) logits(i, t) = heads[t](i - begin, 0);
    }
  });
  return logits;
}

template <funnel::Executor E>
void calibration::fit_slope(const frozen_ranker& rehearsal, const catalog& source, const rows& day,
                            E& executor) {
  fit(fitted::slope, day, logits_of(rehearsal, source, day, executor));
}

template <funnel::Executor E>
void calibration::fit_bias(const frozen_ranker& ranker, const catalog& source, const rows& day,
                           E& executor) {
  fit(fitted::bias, day, logits_of(ranker, source, day, executor));
}

/// The calibrated estimates of rows, [n, tasks]: probabilities and seconds.
template <funnel::Executor E>
funnel::matrix<float> estimate(const frozen_ranker& ranker, const calibration& calibrate,
                               const catalog& source, const rows& of, E& executor) {
  funnel::matrix<float> estimates = logits_of(ranker, source, of, executor);
  for (std::size_t i = 0; i < of.size(); ++i) {
    for (std::size_t t = 0; t < tasks; ++t) estimates(i, t) = calibrate(t, estimates(i, t));
  }
  return estimates;
}

}  // namespace feed
