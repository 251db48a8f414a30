// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/loss/detail/inputs.hpp>
#include <funnel/loss/detail/logistic.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// What tau e^z is once `watch_time_loss` is at its least, where t is the watch time given the
/// features.
enum class watch_time_target {
  /// E[t], whatever the spread of t and its unit.
  expected_time,
  /// The odds of E[y], y = t / (tau + t): below E[t] wherever t varies, far below where many don't
  /// click, and different with every tau. For comparison with systems that use it.
  odds_of_fraction,
  /// sum of t / number of rows with t = 0: close to E[t] where few click; it grows without bound
  /// where everything is played.
  weighted_clicks,
};

/// What `watch_time_loss` and `predicted_watch_time` can be told.
template <class T>
struct watch_time_options {
  watch_time_target target = watch_time_target::expected_time;
  /// The time that counts as one, in the unit of the times; above 0. A usual watch time keeps the
  /// logits near 0: 60 for times in seconds. tau.
  T unit = 60;
  /// Longer times count as this long, in labels (replays) and predictions; above 0. T_max.
  T longest = std::numeric_limits<T>::max();
  /// Weight of each row, not negative; none means 1 each, 0 leaves a row out.
  std::span<const T> weights = {};
};

/// The loss of a head whose logit z predicts the watch time tau e^z. With t the time over tau:
///
///     expected_time     L = softplus(z) + t softplus(-z),   dL/dz = sigmoid(z) - t sigmoid(-z)
///     odds_of_fraction  the same over (1 + t),              dL/dz = sigmoid(z) - t / (1 + t)
///     weighted_clicks   L = t softplus(-z) where t > 0, else softplus(z)
///
/// and their mean over the weights. Only `expected_time` has its least value at tau e^z = E[t]: of
/// one watch of 60 s in ten impressions it learns 6 s, `weighted_clicks` 6.7 s, and
/// `odds_of_fraction` 3.2 s with tau = 60 and 0.11 s with tau = 1.
///
/// Shapes      logits [n, 1]; times [n], 0 where nothing was watched; weights [n] or none; the loss
///             [1, 1].
/// Units       times, tau and longest in one unit.
/// Errors      std::invalid_argument if logits has not one column, a size differs, a time or weight
///             is negative or not finite, or unit or longest is not above 0; nothing is recorded
///             then.
/// Numerics    a sum of terms that are not negative, finite for every finite logit: a loss beyond the
///             largest number, as of z = -1e38 and t = 1000 in float, is that number, and so is t.
///             Long times are large weights: clip them by `longest`. Weights that add up to 0, and
///             n = 0, give 0 with a gradient of 0.
/// Source      docs/formulas.md#watch-time; weighted_clicks is Covington, Adams and Sargin, RecSys
///             2016, section 4.2.
template <Context C>
value_of<C> watch_time_loss(C& context, const value_of<C>& logits,
                            std::span<const scalar_of<C>> times,
                            const watch_time_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  const std::size_t n = detail::check_logits("watch_time_loss", logits);
  detail::check_count("watch_time_loss", "times", times.size(), n);
  detail::check_weights("watch_time_loss", options.weights, n);
  detail::check_positive("watch_time_loss", "unit", options.unit);
  detail::check_positive("watch_time_loss", "longest", options.longest);
  detail::check_not_negative("watch_time_loss", "times", times);
  return detail::logistic_mean(context, logits, [&](std::size_t i) {
    const t time =
        std::min(std::min(times[i], options.longest) / options.unit, std::numeric_limits<t>::max());
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

/// The watch time a logit stands for: min(tau e^z, longest), in the unit of tau.
///
/// Numerics    does not overflow: at most `longest`. A NaN stays a NaN.
template <std::floating_point T>
T predicted_watch_time(T logit, const watch_time_options<T>& options = {}) {
  const T factor = std::exp(logit);
  // By halves where e^z alone is no normal number: a small or large unit may bring it back.
  const T half = std::exp(logit / 2);
  const T time = std::isnormal(factor) ? options.unit * factor : options.unit * half * half;
  return std::min(time, options.longest);
}

}  // namespace funnel
