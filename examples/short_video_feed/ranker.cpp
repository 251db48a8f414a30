// SPDX-License-Identifier: MIT
#include "ranker.hpp"

#include <funnel/calibration/downsampling.hpp>
#include <funnel/calibration/platt.hpp>
#include <funnel/core/math.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/start_at_rate.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/schedule.hpp>

#include <algorithm>

namespace feed {

using funnel::impression;

catalog::catalog(const funnel::interaction_log& source, const features& numbers)
    : log(source), known(numbers),
      watched(newest(source, &funnel::user_history::watched, history_length)),
      long_watched(newest(source, &funnel::user_history::long_watched, history_length)) {
  for (funnel::item_id item = 0; item < source.videos.size(); ++item) {
    tags.push_back(source.videos[item].category);
    durations.push_back(numbers.duration_bucket(item));
  }
  std::size_t tabs = 1;
  std::size_t slots = 1;
  for (const impression& e : source.impressions) {
    tabs = std::max<std::size_t>(tabs, e.tab + 1u);
    slots = std::max<std::size_t>(slots, e.position + 1u);
  }
  sizes = {source.videos.size(), source.categories.size(), tabs, slots};
}

const candidates& batch::gather(const rows& from, std::span<const std::uint32_t> order,
                                funnel::random_generator* bits) {
  const auto gather_block = [&](const funnel::matrix<float>& block, funnel::matrix<float>& to) {
    to.assign(order.size(), block.cols());
    for (std::size_t i = 0; i < order.size(); ++i)
      std::ranges::copy(block.row(order[i]), to.row(i).begin());
  };
  gather_block(from.user, user_);
  gather_block(from.item, item_);
  gather_block(from.cross, cross_);
  for (auto* ids : {&tab_, &slot_, &items_, &tags_, &durations_}) ids->clear();
  watched_.clear();
  long_watched_.clear();
  for (const std::uint32_t i : order) {
    const impression& e = from.shown[i];
    tab_.push_back(e.tab);
    const bool hidden = bits != nullptr && funnel::bernoulli(*bits, .1);
    slot_.push_back(hidden ? 0 : e.position);
    items_.push_back(e.item);
    tags_.push_back(source_.tags[e.item]);
    durations_.push_back(source_.durations[e.item]);
    watched_.append(source_.watched, e.user);
    long_watched_.append(source_.long_watched, e.user);
  }
  made_ = {.user = user_,
           .tab = tab_,
           .slot = slot_,
           .watched = watched_.item_lists(),
           .watched_tags = watched_.tag_lists(),
           .long_watched = long_watched_.item_lists(),
           .long_watched_tags = long_watched_.tag_lists(),
           .items = items_,
           .tags = tags_,
           .durations = durations_,
           .item = item_,
           .cross = cross_};
  return made_;
}

namespace {

/// Starts the heads at the rates of the training rows, so that the first steps need not learn them.
void start_at_base_rates(feed_ranker<float>& model, const rows& training,
                         const ranker_options& options) {
  const double n = static_cast<double>(training.size());
  double seconds = 0;
  for (const impression& e : training.shown) seconds += std::min(e.play_s, longest_watch) / n;
  for (std::size_t t = 0; t < watch; ++t) {
    double positives = 0;
    for (std::size_t i = 0; i < training.size(); ++i)
      positives += static_cast<double>(training.labels(i, t));
    const double rate = std::clamp(positives / n, 1e-4, 1 - 1e-4);
    funnel::start_at_rate(model.towers[t], rate / (rate + (1 - rate) * options.kept_negatives[t]));
  }
  funnel::start_at_mean(model.watch_head, std::max(seconds, 1e-3));
}

}  // namespace

feed_ranker<float> train_ranker(const catalog& source, const rows& training,
                                const ranker_options& options, const progress& report) {
  funnel::random_generator bits(options.seed);
  feed_ranker<float> model(source.sizes, source.known.user_width());
  funnel::initialize(model, bits);
  start_at_base_rates(model, training, options);

  funnel::adam<float> optimizer({.learning_rate = options.learning_rate, .weight_decay = 1e-4});
  funnel::training_context<float> context(options.seed);
  const std::size_t steps =
      options.epochs * ((training.size() + options.batch - 1) / options.batch);
  const funnel::linear_schedule rate{
      .peak = options.learning_rate, .steps = steps, .last_fraction = .1};
  batch gathered(source);
  std::array<std::vector<float>, tasks> labels;
  std::array<std::vector<float>, watch> kept;
  std::size_t step = 0;
  for (std::size_t epoch = 0; epoch < options.epochs; ++epoch) {
    const std::vector<std::uint32_t> order = random_order(training.size(), bits);
    for (std::size_t begin = 0; begin < order.size(); begin += options.batch, ++step) {
      const auto picked =
          std::span(order).subspan(begin, std::min(options.batch, order.size() - begin));
      std::array<float, tasks> weights{1, 1, 1, .2f};
      for (std::size_t t = 0; t < watch; ++t) {
        labels[t].clear();
        kept[t].clear();
        float sum = 0;
        for (const std::uint32_t i : picked) {
          // Each head drops its negatives by its own mask; the other heads still use these rows.
          labels[t].push_back(training.labels(i, t));
          const bool positive = labels[t].back() != 0;
          kept[t].push_back(positive || funnel::bernoulli(bits, options.kept_negatives[t]) ? 1.f
                                                                                           : 0.f);
          sum += kept[t].back();
        }
        weights[t] =
            sum / static_cast<float>(picked.size());  // sum over kept rows / rows of the batch
      }
      labels[watch].clear();
      for (const std::uint32_t i : picked)
        labels[watch].push_back(std::min(training.shown[i].play_s, longest_watch));

      const auto logits = model(context, gathered.gather(training, picked, &bits));
      std::array<funnel::variable<float>, tasks> losses;
      for (std::size_t t = 0; t < watch; ++t) {
        losses[t] = funnel::bce_with_logits(context, logits[t], labels[t], {.weights = kept[t]});
      }
      losses[watch] = funnel::watch_time_loss(context, logits[watch], labels[watch],
                                              model.watch_head.loss_options());
      context.backward(
          funnel::total_loss<funnel::training_context<float>>(context, losses, weights));
      optimizer.options.learning_rate = rate(step);
      optimizer.step(model, context);
      context.clear();
      report(static_cast<double>(step + 1) / static_cast<double>(steps));
    }
  }
  return model;
}

calibration::calibration(const ranker_options& options, const funnel::watch_time_head<float>& head)
    : head_(head) {
  slope_.fill(1);
  for (std::size_t t = 0; t < watch; ++t) {
    shift_[t] =
        funnel::downsampling_correction(static_cast<float>(options.kept_negatives[t])).logit(0.f);
  }
}

void calibration::fit(fitted what, const rows& day, const funnel::matrix<float>& logits) {
  std::vector<float> shifted(day.size()), labels(day.size());
  for (std::size_t t = 0; t < watch; ++t) {
    for (std::size_t i = 0; i < day.size(); ++i) {
      shifted[i] = slope_[t] * logits(i, t) + shift_[t];
      labels[i] = day.labels(i, t);
    }
    // On a day without positives, the fit leaves the logits unchanged.
    const funnel::platt_scaling fit = what == fitted::slope ? funnel::fit_platt(shifted, labels)
                                                            : funnel::fit_bias(shifted, labels);
    slope_[t] *= static_cast<float>(fit.a);
    shift_[t] = static_cast<float>(fit.a) * shift_[t] + static_cast<float>(fit.b);
  }
}

float calibration::operator()(std::size_t t, float logit) const {
  return t == watch ? head_.seconds(logit) : funnel::sigmoid(slope_[t] * logit + shift_[t]);
}

}  // namespace feed
