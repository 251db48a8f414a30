// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/detail/softplus.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// How `triplet_loss` turns the difference d = negative - positive into a loss.
enum class triplet_form {
  hinge,     ///< max(0, d + margin)
  logistic,  ///< ln(1 + e^(sharpness d))
};

/// Options of `triplet_loss`.
template <class T>
struct triplet_options {
  triplet_form form = triplet_form::hinge;
  /// How far the positive should be above the negative, on the scale of the scores; 0 or more, 0.1
  /// to 0.3 for cosines. Used by `hinge` only. m.
  T margin = T(0.2);
  /// Factor of the difference, above 0; 5 to 20 for cosines. Used by `logistic` only. sigma.
  T sharpness = T(10);
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Triplet loss for retrieval models: a user's positive item should score above the user's negative
/// items.
///
///     L = sum_i w_i mean_j f(negatives_ij - positives_i) / sum_i w_i
///
/// Shapes      positives [n, 1]; negatives [n, k], where row i holds the negatives of user i;
///             weights [n]; returns the loss [1, 1].
/// Units       both are scores on the same scale, such as cosines.
/// Errors      std::invalid_argument if positives does not have exactly one column, the numbers of
///             rows differ, a size differs, margin is negative or not finite, sharpness is not
///             above 0, or a weight is negative or not finite; nothing is recorded then.
/// Numerics    the derivative of the hinge at its corner is 0. If there is nothing to average (n or
///             k is 0, or the weights sum to 0), loss and gradient are 0. The loss is finite for
///             all finite scores: a loss beyond the largest number is set to the largest number.
/// Source      Huang et al., KDD 2020; docs/formulas.md#triplet-loss.
template <Context C>
value_of<C> triplet_loss(C& context, const value_of<C>& positives, const value_of<C>& negatives,
                         const triplet_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr t most = std::numeric_limits<t>::max();
  const std::size_t n = positives.rows(), k = negatives.cols();
  detail::check_cols("triplet_loss", "positives", positives.cols(), 1);
  detail::check_rows("triplet_loss", "negatives", negatives.rows(), n, "positives");
  detail::check_not_negative("triplet_loss", "margin", options.margin);
  detail::check_positive("triplet_loss", "sharpness", options.sharpness);
  detail::check_weights("triplet_loss", options.weights, n);
  detail::check_not_negative("triplet_loss", "total_weight", options.total_weight);

  detail::weight_total weights =
      detail::divided_by(context, options.total_weight, detail::total_of(options.weights, n));
  weights.total *= static_cast<double>(k);
  const auto loss = context.make(1, 1);
  matrix_view<t> slopes;  // derivatives with respect to `excess`
  if constexpr (C::is_training) slopes = {context.scratch().template allocate<t>(n * k), n, k};
  detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < n; ++i) {
    const t weight = detail::weight_of(options.weights, i);
    for (std::size_t j = 0; j < k; ++j) {
      const t negative = view(negatives)(i, j), positive = view(positives)(i, 0);
      const t excess = negative - positive;
      double value = 0;
      t slope = 0;
      if (options.form == triplet_form::logistic) {
        const auto soft = detail::softplus_of_difference(options.sharpness, negative, positive);
        value = soft.value;
        slope = options.sharpness * soft.slope;
      } else if (!(excess + options.margin <= 0)) {  // also true for NaN
        const t missing = excess + options.margin;
        value = std::isinf(missing)
                    ? std::min(detail::scaled_difference(1, static_cast<double>(negative),
                                                         static_cast<double>(positive)) +
                                   static_cast<double>(options.margin),
                               std::numeric_limits<double>::max())
                    : static_cast<double>(missing);
        slope = 1;
      }
      if (weight > 0) sum.add(weights(weight), value);
      if constexpr (C::is_training)
        slopes(i, j) = weight > 0
                           ? std::clamp(slope * detail::share_of<t>(weights, weight), -most, most)
                           : t(0);
    }
  }
  writable(loss)(0, 0) = detail::saturated<t>(sum.mean(weights.total));
  if constexpr (C::is_training) {
    context.record([positives, negatives, loss, slopes] {
      if (loss.gradient(0, 0) == 0) return;  // switched off, even if its slopes are NaN
      for (std::size_t i = 0; i < slopes.rows(); ++i) {
        for (std::size_t j = 0; j < slopes.cols(); ++j) {
          const t g = loss.gradient(0, 0) * slopes(i, j);
          if (positives.has_gradient()) positives.gradient(i, 0) -= g;
          if (negatives.has_gradient()) negatives.gradient(i, j) += g;
        }
      }
    });
  }
  return loss;
}

}  // namespace funnel
