// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/detail/scalar_loss.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// Options of `mean_loss`.
template <class T>
struct mean_loss_options {
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// A loss of your own: the weighted mean of one number per row, which operations have computed. It
/// divides as the other losses do, so that the parts of a batch add up to the batch.
///
///     L = sum_i w_i x_i / sum_i w_i
///     dL/dx_i = w_i / sum_i w_i
///
/// Shapes      losses [n, 1], of any sign; weights [n] or empty; returns the loss [1, 1].
/// Errors      std::invalid_argument if losses does not have exactly one column, a size differs, or
///             a weight or total_weight is negative or not finite; nothing is recorded then.
/// Numerics    finite for all finite inputs: summed in double; a mean beyond the largest number is
///             set to the largest number. If the weights sum to 0 or n = 0, loss and gradient are
///             0. A NaN makes the loss NaN unless its weight is 0.
template <Context C>
value_of<C> mean_loss(C& context, const value_of<C>& losses,
                      const mean_loss_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  detail::check_cols("mean_loss", "losses", losses.cols(), 1);
  const std::size_t n = losses.rows();
  detail::check_weights("mean_loss", options.weights, n);
  detail::check_not_negative("mean_loss", "total_weight", options.total_weight);
  const auto total =
      detail::divided_by(context, options.total_weight, detail::total_of(options.weights, n));
  return detail::scalar_loss(context, losses, [&](matrix_view<const t> x, matrix_view<t> slopes) {
    detail::weighted_sum_of sum;
    for (std::size_t i = 0; i < n; ++i) {
      const t weight = detail::weight_of(options.weights, i);
      const double share = weight > 0 ? detail::share_of<double>(total, weight) : 0;
      if (weight > 0) sum.add(1, detail::scaled(share, static_cast<double>(x(i, 0))));
      if (slopes.data() != nullptr) slopes(i, 0) = detail::saturated<t>(share);
    }
    return sum.mean(1);
  });
}

}  // namespace funnel
