// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/loss/detail/logistic.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {
namespace detail {

/// Returns whether played >= fraction * length, allowing for the rounding of the three numbers to
/// T: 2.4 of 3 seconds are 80 %, although T(0.8) * T(3) is above T(2.4).
///
/// Each number is off by at most half a unit in the last place, which is 1.5 epsilon together. The
/// second term of the slack is for the two products in double.
template <class T>
bool reaches(T played, T fraction, T length) {
  constexpr double slack = 1.5 * static_cast<double>(std::numeric_limits<T>::epsilon()) +
                           std::numeric_limits<double>::epsilon();
  return static_cast<double>(played) >=
         (1 - slack) * (static_cast<double>(fraction) * static_cast<double>(length));
}

}  // namespace detail

/// What a head for completion (how much of a video is played) estimates.
enum class completion_target {
  /// The fraction played, played / length, at most 1: 0.73 means that 73 % was played.
  fraction,
  /// The probability that played >= finished_fraction * length.
  finished,
};

/// Options of `completion_loss`.
template <class T>
struct completion_options {
  completion_target target = completion_target::fraction;
  /// The fraction at and above which a video counts as finished; finite, above 0.
  T finished_fraction = T(0.8);
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Loss of a completion-rate head: binary cross-entropy of logits and labels, where the labels are
/// computed from the time played and the length of the video.
///
///     y = min(played / length, 1),   or   y = 1[played >= finished_fraction * length]
///
/// Shapes      logits [n, 1]; played, lengths [n]; weights [n] or empty; returns the loss [1, 1].
/// Units       played and lengths in the same unit. A row whose length is not above 0 has no label
///             and counts as weight 0. A video that was played more than once counts as played to
///             the end.
/// Errors      std::invalid_argument if logits does not have exactly one column, a size differs, a
///             played time or weight is negative or not finite, a length is not finite, or
///             finished_fraction is not above 0; nothing is recorded then.
/// Numerics    as `bce_with_logits`. With fractions as labels the smallest possible loss is
///             above 0. A video played to exactly finished_fraction counts as finished, however the
///             three numbers were rounded: played only has to reach (1 - 1.5 epsilon) *
///             finished_fraction * length, where epsilon is that of the scalar. With float and
///             seconds, a difference of one millisecond is still detected up to 30 minutes played.
/// Source      docs/formulas.md#completion-rate.
template <Context C>
value_of<C> completion_loss(C& context, const value_of<C>& logits,
                            std::span<const scalar_of<C>> played,
                            std::span<const scalar_of<C>> lengths,
                            const completion_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  const std::size_t n = detail::check_logits("completion_loss", logits);
  detail::check_size("completion_loss", "played", played.size(), n, "logits");
  detail::check_size("completion_loss", "lengths", lengths.size(), n, "logits");
  detail::check_weights("completion_loss", options.weights, n);
  detail::check_not_negative("completion_loss", "total_weight", options.total_weight);
  detail::check_positive("completion_loss", "finished_fraction", options.finished_fraction);
  detail::check_not_negative("completion_loss", "played", played);
  detail::check_finite("completion_loss", "lengths", lengths);
  return detail::logistic_mean(context, logits, options.total_weight, [&](std::size_t i) {
    if (!(lengths[i] > 0)) return detail::logistic_row<t>{0, 0, 0};
    const t label =
        options.target == completion_target::fraction
            ? std::min(played[i] / lengths[i], t(1))
            : t(detail::reaches(played[i], options.finished_fraction, lengths[i]) ? 1 : 0);
    return detail::logistic_row<t>{label, 1 - label, detail::weight_of(options.weights, i)};
  });
}

}  // namespace funnel
