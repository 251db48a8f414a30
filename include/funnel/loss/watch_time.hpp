// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/loss/detail/logistic.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// What the prediction tau e^z equals when `watch_time_loss` is at its minimum, where t is the
/// random watch time of rows with the same features.
enum class watch_time_target {
  /// E[t], the mean watch time, whatever the spread of t and its unit.
  expected_time,
  /// tau times the odds of E[y], where y = t / (tau + t). It is below E[t] whenever t varies, far
  /// below if many rows have no click, and it depends on tau. For comparison with systems that use
  /// it.
  odds_of_fraction,
  /// (sum of t) / (number of rows with t = 0): close to E[t] if clicks are rare; grows without
  /// bound as the share of played videos approaches 1.
  weighted_clicks,
};

/// Options of `watch_time_loss` and `predicted_watch_time`.
template <class T>
struct watch_time_options {
  watch_time_target target = watch_time_target::expected_time;
  /// The time that corresponds to logit 0, in the unit of `times`; above 0. A typical watch time
  /// keeps the logits near 0: 60 for times in seconds. tau.
  T time_scale = 60;
  /// Upper bound for times, both in labels (replays) and in predictions; above 0. T_max.
  T max_time = std::numeric_limits<T>::max();
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Watch-time loss: trains a head whose logit z predicts the watch time tau e^z. With t = time /
/// tau:
///
///     expected_time     L = softplus(z) + t softplus(-z),   dL/dz = sigmoid(z) - t sigmoid(-z)
///     odds_of_fraction  the same divided by (1 + t),        dL/dz = sigmoid(z) - t / (1 + t)
///     weighted_clicks   L = t softplus(-z) if t > 0, otherwise softplus(z)
///
/// The result is the weighted mean of L over the rows. Only `expected_time` has its minimum at tau
/// e^z = E[time]. For example, with one watch of 60 s in ten impressions, it learns 6 s;
/// `weighted_clicks` learns 6.7 s, and `odds_of_fraction` 3.2 s with tau = 60 and 0.11 s with
/// tau = 1.
///
/// Shapes      logits [n, 1]; times [n], 0 where nothing was watched; weights [n] or empty; returns
///             the loss [1, 1].
/// Units       times, tau and max_time in the same unit.
/// Errors      std::invalid_argument if logits does not have exactly one column, a size differs, a
///             time or weight is negative or not finite, or time_scale or max_time is not above 0;
///             nothing is recorded then.
/// Numerics    a sum of terms that are not negative, finite for every finite logit: a loss or a t
///             beyond the largest number is set to the largest number (an example is the loss of
///             z = -1e38 and t = 1000 in float). Long times act as large weights: limit them with
///             `max_time`. If the weights sum to 0 or n = 0, loss and gradient are 0.
/// Source      docs/formulas.md#watch-time; weighted_clicks is Covington, Adams and Sargin, RecSys
///             2016, section 4.2.
template <Context C>
value_of<C> watch_time_loss(C& context, const value_of<C>& logits,
                            std::span<const scalar_of<C>> times,
                            const watch_time_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  const std::size_t n = detail::check_logits("watch_time_loss", logits);
  detail::check_size("watch_time_loss", "times", times.size(), n, "logits");
  detail::check_weights("watch_time_loss", options.weights, n);
  detail::check_not_negative("watch_time_loss", "total_weight", options.total_weight);
  detail::check_positive("watch_time_loss", "time_scale", options.time_scale);
  detail::check_positive("watch_time_loss", "max_time", options.max_time);
  detail::check_not_negative("watch_time_loss", "times", times);
  return detail::logistic_mean(context, logits, options.total_weight, [&](std::size_t i) {
    const t time = std::min(std::min(times[i], options.max_time) / options.time_scale,
                            std::numeric_limits<t>::max());
    detail::logistic_row<t> row{time, 1, detail::weight_of(options.weights, i)};
    if (options.target == watch_time_target::odds_of_fraction) {
      row.positive = time / (1 + time);
      row.negative = 1 / (1 + time);
    } else if (options.target == watch_time_target::weighted_clicks) {
      row.negative = time > 0 ? t(0) : t(1);
    }
    return row;
  });
}

/// The watch time that a logit predicts: min(tau e^z, max_time), in the unit of tau.
///
/// Numerics    does not overflow: at most `max_time`. A NaN logit returns NaN.
template <std::floating_point T>
T predicted_watch_time(T logit, const watch_time_options<T>& options = {}) {
  const T factor = std::exp(logit);
  // In two halves if e^z alone overflows or underflows: a small or large scale may make the product
  // a normal number again.
  const T half = std::exp(logit / 2);
  const T time =
      std::isnormal(factor) ? options.time_scale * factor : options.time_scale * half * half;
  return std::min(time, options.max_time);
}

}  // namespace funnel
