// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/loss/watch_time.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/start_at_rate.hpp>

#include <cmath>
#include <cstddef>

namespace funnel {

/// Options of `watch_time_head`.
template <class T>
struct watch_time_head_options {
  /// The watch time at a logit of 0, above 0; in seconds, or in whatever unit the times have.
  T time_scale = T(1);
  /// Upper limit of the estimates, above 0.
  T max_time = T(600);
};

/// Watch-time head: estimates the watch time as the odds of a logistic regression,
/// t = time_scale * e^z for the logit z.
///
/// To train, pass the logits of `operator()` and `loss_options()` to `watch_time_loss`, with times
/// in the same unit. To serve, convert a logit to a time with `seconds`.
///
/// Shapes      x [n, in] -> [n, 1].
/// Units       `time_scale` and `max_time` in seconds, or in the unit of the watch times.
/// Source      Covington, Adams and Sargin, RecSys 2016, section 4.2; docs/formulas.md#watch-time.
template <class T>
struct watch_time_head : detail::layer_of<T> {
  dense<T> logit;
  T time_scale = T(1);
  T max_time = T(600);

  watch_time_head() = default;
  /// Errors      std::invalid_argument if time_scale or max_time is not above 0.
  explicit watch_time_head(std::size_t in, const watch_time_head_options<T>& options = {})
      : logit(in, 1), time_scale(options.time_scale), max_time(options.max_time) {
    detail::check_that("watch_time_head", "time_scale", time_scale, time_scale > 0,
                       "a number above 0");
    detail::check_that("watch_time_head", "max_time", max_time, max_time > 0, "a number above 0");
  }

  using detail::layer_of<T>::operator();
  /// The logits, [n, 1].
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& x) const {
    return logit(context, x);
  }
  /// The estimated watch time of a logit, in [0, max_time]; NaN stays NaN.
  T seconds(T z) const { return predicted_watch_time(z, loss_options()); }

  /// Options for `watch_time_loss` with the time scale and the limit of this head.
  watch_time_options<T> loss_options() const {
    return {.time_scale = time_scale, .max_time = max_time};
  }

  void visit_parameters(auto&& visit) { visit("logit", logit); }
};

/// Starts a watch-time head at a mean: sets its bias so that it predicts about this time before the
/// first step of training. Call it after `initialize`. For heads of probabilities see
/// `start_at_rate`.
///
///     bias = ln(mean / time_scale)
///
/// Units       mean in the unit of the watch times.
/// Errors      std::invalid_argument if mean is not above 0 and finite, or the head is frozen;
///             nothing is changed then.
/// Source      docs/formulas.md#start-at-a-base-rate.
template <class T>
void start_at_mean(watch_time_head<T>& head, double mean) {
  detail::check_positive("start_at_mean", "mean", mean);
  detail::start_at_logit("start_at_mean", head.logit,
                         std::log(mean) - std::log(static_cast<double>(head.time_scale)), 0);
}

}  // namespace funnel
