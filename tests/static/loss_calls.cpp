// SPDX-License-Identifier: MIT
// Losses are called with what a program has, vectors and arrays: no type is named and no span is made.
#include <funnel/core/top_k.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/completion.hpp>
#include <funnel/loss/distillation.hpp>
#include <funnel/loss/huber.hpp>
#include <funnel/loss/in_batch_softmax.hpp>
#include <funnel/loss/listwise.hpp>
#include <funnel/loss/log_watch_time.hpp>
#include <funnel/loss/mean_loss.hpp>
#include <funnel/loss/mse.hpp>
#include <funnel/loss/pairwise.hpp>
#include <funnel/loss/sampled_softmax.hpp>
#include <funnel/loss/total_loss.hpp>
#include <funnel/loss/triplet.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include <array>
#include <vector>

template <class C>
void call_all(C& context, const funnel::value_of<C>& x) {
  using t = funnel::scalar_of<C>;
  const std::vector<t> labels{0, 1}, weights{1, 2}, teacher{t(.2), t(.7)};
  const std::vector<std::uint32_t> offsets{0, 2};
  const std::vector<funnel::item_id> items{3, 4};
  const funnel::matrix<t> log_q(2, 2);
  std::vector<t> targets(2);
  funnel::distillation_targets(labels, teacher, targets, {.teacher_weight = t(.3)});
  static_cast<void>(funnel::check_teacher(teacher, .5));
  const auto click = funnel::bce_with_logits(context, x, labels, {.weights = weights});
  const auto time = funnel::watch_time_loss(context, x, labels, {.time_scale = 2});
  const std::vector losses{
      click,
      time,
      funnel::completion_loss(context, x, labels, weights),
      funnel::log_watch_time_loss(context, x, labels, {.weights = weights}),
      funnel::in_batch_softmax(context, x, {.log_q = labels, .items = items, .weights = weights}),
      funnel::sampled_softmax(context, x, {.log_q = log_q, .weights = weights}),
      funnel::listwise_distillation(context, x, teacher, offsets),
      funnel::pairwise_distillation(context, x, teacher, offsets, {.margin = t(.1)}),
      funnel::triplet_loss(context, x, x, {.margin = t(.1)}),
      funnel::mean_loss(context, x, {.weights = weights}),
      funnel::mse_loss(context, x, labels, {.weights = weights}),
      funnel::huber_loss(context, x, labels, {.delta = 2})};
  funnel::total_loss(context, losses);
  funnel::total_loss(context, losses, std::vector<t>(losses.size(), t(.5)));
  funnel::total_loss(context, std::array{click, time}, std::array{t(1), t(.5)});
  funnel::total_loss(context, {click, time}, {1, .5});
}
template void call_all(funnel::inference_context<float>&, const funnel::matrix_view<const float>&);
template void call_all(funnel::training_context<float>&, const funnel::variable<float>&);
template void call_all(funnel::training_context<double>&, const funnel::variable<double>&);

namespace {

[[maybe_unused]] void call_top_k() {
  const std::vector<float> scores{3, 1, 2};
  std::vector<std::size_t> best(2);
  funnel::top_k(scores, best);
  std::array<std::uint32_t, 2> page{};
  funnel::top_k(std::array{3., 1., 2.}, page);
  const int whole[] = {3, 1, 2};
  unsigned short first[1];
  funnel::top_k(whole, first);
  funnel::top_k(std::span(scores).first(2), std::span(best).first(1));
}

}  // namespace
