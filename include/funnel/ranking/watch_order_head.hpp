// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/loss/log_watch_time.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/start_at_rate.hpp>

#include <cstddef>

namespace funnel {

/// Options of `watch_order_head`.
template <class T>
struct watch_order_head_options {
  /// The time below which differences count in full, above 0; in seconds, or in whatever unit the
  /// times have. tau.
  T time_scale = T(1);
  /// Upper limit of the times in training, above 0. T_max.
  T max_time = T(600);
};

/// Head that orders videos by watch time: it estimates the mean of ln(1 + t / time_scale).
///
/// To train, pass the output of `operator()` and `loss_options()` to `log_watch_time_loss`. Sort by
/// the output. For seconds, train a `watch_time_head` beside it, or map the outputs of held-out rows
/// to their watch times by `fit_isotonic`, whose estimates have the right mean.
///
/// Shapes      x [n, in] -> [n, 1].
/// Units       the output is the logarithm of a time and has no unit.
/// Source      docs/formulas.md#logarithm-of-watch-time.
template <class T>
struct watch_order_head : detail::layer_of<T> {
  dense<T> log_time;
  T time_scale = T(1);
  T max_time = T(600);

  watch_order_head() = default;
  /// Errors      std::invalid_argument if time_scale or max_time is not finite and above 0.
  explicit watch_order_head(std::size_t in, const watch_order_head_options<T>& options = {})
      : log_time(in, 1), time_scale(options.time_scale), max_time(options.max_time) {
    detail::check_positive("watch_order_head", "time_scale", time_scale);
    detail::check_positive("watch_order_head", "max_time", max_time);
  }

  using detail::layer_of<T>::operator();
  /// The estimates of ln(1 + t / time_scale), [n, 1]: a larger one is a longer watch.
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& x) const {
    return log_time(context, x);
  }

  /// Options for `log_watch_time_loss` and `log_watch_time`.
  log_watch_time_options<T> loss_options() const {
    return {.time_scale = time_scale, .max_time = max_time};
  }

  void visit_parameters(auto&& visit) { visit("log_time", log_time); }
};

/// Starts an order head at a mean: sets its bias to the mean of `log_watch_time` over the training
/// rows. Call it after `initialize`.
///
/// Errors      std::invalid_argument if mean is negative or not finite, or the head is frozen;
///             nothing is changed then.
/// Source      docs/formulas.md#start-at-a-base-rate.
template <class T>
void start_at_mean(watch_order_head<T>& head, double mean) {
  detail::check_not_negative("start_at_mean", "mean", mean);
  detail::start_at_logit("start_at_mean", head.log_time, mean, 0);
}

}  // namespace funnel
