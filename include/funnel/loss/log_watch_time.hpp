// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/loss/detail/residual_mean.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// Options of `log_watch_time_loss` and `log_watch_time`.
template <class T>
struct log_watch_time_options {
  /// The time below which differences count in full, in the unit of `times`; above 0. Far above it,
  /// only ratios of times count. tau.
  T time_scale = 1;
  /// Upper bound for times (replays); above 0. T_max.
  T max_time = std::numeric_limits<T>::max();
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// The logarithm of a watch time, ln(1 + min(time, max_time) / time_scale): 0 if nothing was
/// watched.
///
/// Numerics    computed in double; finite for every time of 0 or more. NaN stays NaN.
template <std::floating_point T>
T log_watch_time(T time, const log_watch_time_options<T>& options = {}) {
  const double share = static_cast<double>(time > options.max_time ? options.max_time : time) /
                       static_cast<double>(options.time_scale);
  constexpr double most = std::numeric_limits<double>::max();
  return static_cast<T>(std::log1p(share > most ? most : share));
}

/// Loss of a head whose output x orders videos by watch time: squared error of the logarithm of
/// the time.
///
///     L = sum_i w_i (x_i - ln(1 + t_i / tau))^2 / sum_i w_i
///
/// The output is for sorting, and not for seconds: tau (e^x - 1) is below the mean watch time
/// whenever the time varies. Use it beside a head that is trained by `watch_time_loss`, or map x to
/// seconds by `fit_isotonic`.
///
/// Shapes      predictions [n, 1]; times [n], 0 where nothing was watched; weights [n] or empty;
///             returns the loss [1, 1].
/// Units       times, tau and max_time in the same unit; predictions have no unit.
/// Errors      std::invalid_argument if predictions does not have exactly one column, a size
///             differs, a time or weight is negative or not finite, or time_scale or max_time is
///             not finite and above 0; nothing is recorded then.
/// Cost        memory for n numbers of the context's scratch.
/// Numerics    as `mse_loss`.
/// Source      docs/formulas.md#logarithm-of-watch-time.
template <Context C>
value_of<C> log_watch_time_loss(C& context, const value_of<C>& predictions,
                                std::span<const scalar_of<C>> times,
                                const log_watch_time_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr const char* name = "log_watch_time_loss";
  detail::check_cols(name, "predictions", predictions.cols(), 1);
  detail::check_size(name, "times", times.size(), predictions.rows(), "predictions");
  detail::check_positive(name, "time_scale", options.time_scale);
  detail::check_positive(name, "max_time", options.max_time);
  detail::check_not_negative(name, "times", times);
  const std::span<t> targets(context.scratch().template allocate<t>(times.size()), times.size());
  std::ranges::transform(times, targets.begin(),
                         [&](t time) { return log_watch_time(time, options); });
  return detail::residual_mean(context, name, predictions, std::span<const t>(targets),
                               options.weights, options.total_weight, detail::squared_error);
}

}  // namespace funnel
