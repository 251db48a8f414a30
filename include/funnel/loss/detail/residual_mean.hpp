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
#include <string_view>

namespace funnel::detail {

/// A row of a loss of differences: its part of the loss, and the derivative of the loss with respect
/// to its prediction.
struct residual_term {
  double loss = 0;
  double slope = 0;
};

/// The squared error of a row, for `residual_mean`.
inline residual_term squared_error(double share, double d) {
  // The small factors come first: d * d may overflow although the term does not.
  const double pull = scaled(share, d);
  return {scaled(pull, d), scaled(2, pull)};
}

/// Returns the sum of the terms of all rows. `term(share, d)` returns the term of a row with
/// difference d = prediction - target whose weight is the fraction `share` of the total. Predictions
/// of rows with weight 0 are not read. For the total see `divided_by`.
///
/// A finite d is never infinite: a difference beyond the largest double is set to the largest
/// double.
template <Context C, class Term>
value_of<C> residual_mean(C& context, std::string_view function, const value_of<C>& predictions,
                          std::span<const scalar_of<C>> targets,
                          std::span<const scalar_of<C>> weights, double total_weight, Term term) {
  using t = scalar_of<C>;
  check_cols(function, "predictions", predictions.cols(), 1);
  const std::size_t n = predictions.rows();
  check_size(function, "targets", targets.size(), n, "predictions");
  check_weights(function, weights, n);
  check_not_negative(function, "total_weight", total_weight);
  check_finite(function, "targets", targets);
  const weight_total total = divided_by(context, total_weight, total_of(weights, n));
  return scalar_loss(context, predictions, [&](matrix_view<const t> x, matrix_view<t> slopes) {
    weighted_sum_of sum;
    for (std::size_t i = 0; i < n; ++i) {
      const t weight = weight_of(weights, i);
      residual_term found;
      if (weight > 0)
        found = term(
            share_of<double>(total, weight),
            scaled_difference(1, static_cast<double>(x(i, 0)), static_cast<double>(targets[i])));
      sum.add(1, found.loss);
      if (slopes.data() != nullptr) slopes(i, 0) = saturated<t>(found.slope);
    }
    return sum.mean(1);
  });
}

}  // namespace funnel::detail
