// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/loss/detail/residual_mean.hpp>
#include <funnel/nn/context.hpp>

#include <span>

namespace funnel {

/// Options of `mse_loss`.
template <class T>
struct mse_options {
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out: a rating head passes weight 0 for rows without a rating.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Mean squared error (MSE): the training loss of a head that estimates the mean of a number, such
/// as a rating. For watch times, whose errors grow with the time, use `watch_time_loss`.
///
///     L = sum_i w_i (x_i - y_i)^2 / sum_i w_i
///     dL/dx_i = 2 w_i (x_i - y_i) / sum_i w_i
///
/// Shapes      predictions [n, 1]; targets [n]; weights [n] or empty; returns the loss [1, 1].
/// Units       the loss has the squared unit of the targets: scale them to about 1.
/// Errors      std::invalid_argument if predictions does not have exactly one column, a size
///             differs, a target is not finite, or a weight or total_weight is negative or not
///             finite; nothing is recorded then.
/// Numerics    finite for all finite predictions: a loss or gradient beyond the largest number is
///             set to the largest number. If the weights sum to 0 or n = 0, loss and gradient are
///             0. A NaN prediction makes the loss NaN unless its weight is 0.
/// Source      docs/formulas.md#mean-squared-error.
template <Context C>
value_of<C> mse_loss(C& context, const value_of<C>& predictions,
                     std::span<const scalar_of<C>> targets,
                     const mse_options<scalar_of<C>>& options = {}) {
  return detail::residual_mean(context, "mse_loss", predictions, targets, options.weights,
                               options.total_weight, detail::squared_error);
}

}  // namespace funnel
