// SPDX-License-Identifier: MIT
#include "harness.hpp"

#include "short_video_feed/ranker.hpp"

#include <funnel/core/executor.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/data/simulator.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/training/training_step.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

// The ranker of examples/short_video_feed, trained on its rows.
namespace {

/// The rows of the days of training, as the example makes them.
struct feed_data {
  funnel::interaction_log log =
      funnel::simulator({.users = 1000, .impressions_per_user_day = 12}).log();
  feed::features known{log};
  feed::rows training = make_training();
  feed::catalog source{log, known};

  static const feed_data& shared() {
    static const feed_data made;
    return made;
  }

 private:
  feed::rows make_training() {
    std::vector<feed::rows> days;
    for (std::int32_t date = 20220425; date <= 20220430; ++date) {
      const auto day = funnel::impressions_between(log.impressions, date, date);
      days.push_back(feed::make_rows(known, day));
      known.count_day(day);
    }
    feed::rows all = feed::join_rows(days);
    for (funnel::matrix<float>* block : {&all.user, &all.item, &all.cross})
      feed::scaler(*block).apply(*block);
    return all;
  }
};

/// What both ways of training share: the model, and batches of 512 rows in random order.
class feed_trainer {
 protected:
  static constexpr std::size_t batch_rows = 512;

  const feed_data& data_ = feed_data::shared();
  const feed::ranker_options options_;
  funnel::random_generator bits_{1};
  feed::feed_ranker<float> model_{data_.source.sizes, data_.known.user_width()};
  funnel::adam<float> optimizer_{{.learning_rate = options_.learning_rate, .weight_decay = 1e-4}};
  std::vector<std::uint32_t> order_ = feed::random_order(data_.training.size(), bits_);
  std::size_t begin_ = 0;

  feed_trainer() { funnel::initialize(model_, bits_); }

  std::span<const std::uint32_t> next_batch() {
    if (begin_ + batch_rows > order_.size()) begin_ = 0;
    const auto picked = std::span(order_).subspan(begin_, batch_rows);
    begin_ += batch_rows;
    return picked;
  }

  /// Labels of some rows, and the negatives that each head keeps.
  struct targets {
    std::array<std::vector<float>, feed::tasks> labels;
    std::array<std::vector<float>, feed::watch> kept;
    std::array<float, feed::watch> kept_rows{};

    void gather(const feed::rows& from, std::span<const std::uint32_t> picked,
                const feed::ranker_options& options, funnel::random_generator& bits) {
      for (std::size_t t = 0; t < feed::watch; ++t) {
        labels[t].clear();
        kept[t].clear();
        kept_rows[t] = 0;
        for (const std::uint32_t i : picked) {
          labels[t].push_back(from.labels(i, t));
          const bool positive = labels[t].back() != 0;
          kept[t].push_back(positive || bernoulli(bits, options.kept_negatives[t]) ? 1.f : 0.f);
          kept_rows[t] += kept[t].back();
        }
      }
      labels[feed::watch].clear();
      for (const std::uint32_t i : picked)
        labels[feed::watch].push_back(std::min(from.shown[i].play_s, feed::longest_watch));
    }
  };

  /// The losses of the heads, added with `weights`.
  funnel::variable<float> loss(funnel::training_context<float>& context,
                               const feed::candidates& rows, const targets& of,
                               const std::array<float, feed::tasks>& weights) const {
    const auto logits = model_(context, rows);
    std::array<funnel::variable<float>, feed::tasks> losses;
    for (std::size_t t = 0; t < feed::watch; ++t)
      losses[t] = bce_with_logits(context, logits[t], of.labels[t], {.weights = of.kept[t]});
    losses[feed::watch] = watch_time_loss(context, logits[feed::watch], of.labels[feed::watch],
                                          model_.watch_head.loss_options());
    return funnel::total_loss<funnel::training_context<float>>(context, losses, weights);
  }
};

/// A step as in the example: one context, the whole batch at once.
class loop_trainer : feed_trainer {
 public:
  void step() {
    const auto picked = next_batch();
    targets_.gather(data_.training, picked, options_, bits_);
    std::array<float, feed::tasks> weights{1, 1, 1, .2f};
    for (std::size_t t = 0; t < feed::watch; ++t) weights[t] = targets_.kept_rows[t] / batch_rows;
    context_.backward(
        loss(context_, batch_.gather(data_.training, picked, &bits_), targets_, weights));
    optimizer_.step(model_, context_);
    context_.clear();
  }

 private:
  funnel::training_context<float> context_;
  feed::batch batch_{data_.source};
  targets targets_;
};

/// The same by a `training_step` in leaves of 256 rows.
template <class Executor>
class leaf_trainer : feed_trainer {
 public:
  explicit leaf_trainer(std::size_t threads) : executor_(make(threads)) {
    for (std::size_t leaf = 0; leaf < leaves; ++leaf) batches_.emplace_back(data_.source);
  }

  void step() {
    const auto picked = next_batch();
    step_(executor_, model_, optimizer_,
          {.leaves = leaves, .rows = batch_rows, .seed = 1, .step = steps_++},
          [&](auto& context, std::size_t leaf) {
            constexpr std::size_t rows = batch_rows / leaves;
            const auto own = picked.subspan(leaf * rows, rows);
            targets_[leaf].gather(data_.training, own, options_, context.random());
            // Losses divide by the rows of the batch.
            return loss(context, batches_[leaf].gather(data_.training, own, &context.random()),
                        targets_[leaf], {1, 1, 1, .2f});
          });
  }

 private:
  static constexpr std::size_t leaves = 2;

  static Executor make(std::size_t threads) {
    if constexpr (std::is_constructible_v<Executor, std::size_t>)
      return Executor(threads);
    else
      return Executor();
  }

  Executor executor_;
  funnel::training_step<float> step_;
  std::vector<feed::batch> batches_;
  std::array<targets, leaves> targets_;
  std::uint64_t steps_ = 0;
};

template <class Trainer>
void add_training(const std::string& name, int threads, auto... arguments) {
  bench::add("train_feed/" + name, {.threads = threads}, [=]() -> bench::task {
    const auto t = std::make_shared<Trainer>(arguments...);
    return [t] { t->step(); };
  });
}

const bool added = [] {
  add_training<loop_trainer>("loop", 1);
  add_training<leaf_trainer<funnel::serial_executor>>("leaves", 1, std::size_t{1});
  add_training<leaf_trainer<funnel::thread_pool>>("leaves/threads:2", 2, std::size_t{2});
  return true;
}();

}  // namespace
