// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/loss/detail/residual_mean.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace funnel {

/// Options of `huber_loss`.
template <class T>
struct huber_options {
  /// The difference up to which the loss is quadratic, in the unit of the targets; above 0. Rows
  /// with larger differences pull with the same force, however large. delta.
  T delta = 1;
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Huber loss: squared error for small differences, absolute error for large ones, so that a few
/// outliers do not decide the fit.
///
///     L = sum_i w_i h(x_i - y_i) / sum_i w_i
///     h(d) = d^2 / 2 if |d| <= delta, otherwise delta (|d| - delta / 2)
///     dL/dx_i = w_i min(max(x_i - y_i, -delta), delta) / sum_i w_i
///
/// The half belongs to the definition: with a large delta, the loss is half of `mse_loss`. The
/// prediction with the least loss lies between the mean of the targets (large delta) and their
/// median (small delta): do not use it where the sum of the predictions must be right.
///
/// Shapes      predictions [n, 1]; targets [n]; weights [n] or empty; returns the loss [1, 1].
/// Units       delta in the unit of the targets; the loss has their squared unit.
/// Errors      std::invalid_argument if predictions does not have exactly one column, a size
///             differs, a target is not finite, delta is not above 0 and finite, or a weight or
///             total_weight is negative or not finite; nothing is recorded then.
/// Numerics    as `mse_loss`.
/// Source      Huber, Annals of Mathematical Statistics 1964; docs/formulas.md#huber-loss.
template <Context C>
value_of<C> huber_loss(C& context, const value_of<C>& predictions,
                       std::span<const scalar_of<C>> targets,
                       const huber_options<scalar_of<C>>& options = {}) {
  detail::check_positive("huber_loss", "delta", options.delta);
  const double delta = static_cast<double>(options.delta);
  return detail::residual_mean(
      context, "huber_loss", predictions, targets, options.weights, options.total_weight,
      [delta](double share, double d) -> detail::residual_term {
        const double slope = detail::scaled(share, std::clamp(d, -delta, delta));
        const double size = std::abs(d);
        if (size <= delta) return {detail::scaled(detail::scaled(share, d), d / 2), slope};
        return {detail::scaled(delta, detail::scaled(share, size - delta / 2)), slope};
      });
}

}  // namespace funnel
