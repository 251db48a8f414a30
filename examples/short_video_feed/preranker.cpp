// SPDX-License-Identifier: MIT
#include "preranker.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/distillation.hpp>
#include <funnel/loss/listwise.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>
#include <funnel/optim/schedule.hpp>

#include <algorithm>

namespace feed {

feed_preranker train_preranker(const catalog& source, const rows& training,
                               std::span<const float> probabilities, const taught_lists* lists,
                               const preranker_options& options, const progress& report) {
  constexpr std::size_t lists_a_step = 16;
  funnel::random_generator bits(options.seed);
  feed_preranker model{.user = {source.sizes, source.known.user_width()},
                       .item = pre_item_tower<float>(source.sizes),
                       .cross = {},
                       .top = {64 + pre_item_tower<float>::out + 16, {32, 1}}};
  funnel::initialize(model, bits);

  funnel::adam<float> optimizer({.learning_rate = options.learning_rate, .weight_decay = 1e-4});
  funnel::training_context<float> context(options.seed);
  const std::size_t steps =
      options.epochs * ((training.size() + options.batch - 1) / options.batch);
  const funnel::linear_schedule rate{
      .peak = options.learning_rate, .steps = steps, .last_fraction = .1};
  batch shown(source);
  batch taught(source);
  std::vector<float> labels, teacher, scores;
  std::vector<std::uint32_t> taught_rows, offsets;
  std::size_t step = 0;
  for (std::size_t epoch = 0; epoch < options.epochs; ++epoch) {
    const std::vector<std::uint32_t> order = random_order(training.size(), bits);
    for (std::size_t begin = 0; begin < order.size(); begin += options.batch, ++step) {
      const auto picked =
          std::span(order).subspan(begin, std::min(options.batch, order.size() - begin));
      labels.clear();
      teacher.clear();
      for (const std::uint32_t i : picked) {
        labels.push_back(training.labels(i, click));
        if (lists != nullptr) teacher.push_back(probabilities[i]);
      }
      if (lists != nullptr) funnel::distillation_targets(labels, teacher, labels);
      const candidates& x = shown.gather(training, picked, nullptr);
      auto loss = funnel::bce_with_logits(context, model(context, x, x, x), labels);

      if (lists != nullptr) {
        taught_rows.clear();
        scores.clear();
        offsets.assign(1, 0);
        const std::size_t count = lists->scores.size() / lists->length;
        for (std::size_t l = 0; l < lists_a_step; ++l) {
          const std::size_t first = funnel::uniform_below(bits, count) * lists->length;
          for (std::size_t i = first; i < first + lists->length; ++i) {
            taught_rows.push_back(static_cast<std::uint32_t>(i));
            scores.push_back(lists->scores[i]);
          }
          offsets.push_back(static_cast<std::uint32_t>(taught_rows.size()));
        }
        const candidates& y = taught.gather(lists->candidates, taught_rows, nullptr);
        const auto order_loss =
            funnel::listwise_distillation(context, model(context, y, y, y), scores, offsets,
                                          {.scale = funnel::teacher_scale::logit});
        loss = funnel::total_loss(context, {loss, order_loss});
      }
      context.backward(loss);
      optimizer.options.learning_rate = rate(step);
      optimizer.step(model, context);
      context.clear();
      report(static_cast<double>(step + 1) / static_cast<double>(steps));
    }
  }
  return model;
}

}  // namespace feed
