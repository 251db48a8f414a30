// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/inputs.hpp>
#include <funnel/loss/detail/softplus.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {

/// How `triplet_loss` makes a loss of the excess d = negative - positive.
enum class triplet_form {
  hinge,     ///< max(0, d + margin)
  logistic,  ///< ln(1 + e^(sharpness d))
};

/// What `triplet_loss` can be told.
template <class T>
struct triplet_options {
  triplet_form form = triplet_form::hinge;
  /// By how much the positive shall win, on the scale of the scores; not negative, 0.1 to 0.3 for
  /// cosines. Of the hinge alone. m.
  T margin = T(0.2);
  /// Factor of the excess, above 0; 5 to 20 for cosines. Of the logistic form alone. sigma.
  T sharpness = T(10);
  /// Weight of each row, not negative; none means 1 each, 0 leaves a row out.
  std::span<const T> weights = {};
};

/// The pairwise loss of a retrieval model: a user's positive shall score above its negatives.
///
///     L = sum_i w_i mean_j f(negatives_ij - positives_i) / sum_i w_i
///
/// Shapes      positives [n, 1]; negatives [n, k], the row's own; weights [n]; the loss [1, 1].
/// Units       both on one scale, such as cosines.
/// Errors      std::invalid_argument if positives has not one column, the numbers of rows differ, a
///             size differs, margin is negative or not finite, sharpness is not above 0, or a weight is negative
///             or not finite; nothing is recorded then.
/// Numerics    the slope of the hinge at its corner is 0. Nothing to average (n or k is 0, weights
///             that add up to 0) gives 0 with a gradient of 0. Finite for all finite scores: a loss
///             beyond the largest number is that number.
/// Source      Huang et al., KDD 2020; docs/formulas.md#triplet-loss.
template <Context C>
value_of<C> triplet_loss(C& context, const value_of<C>& positives, const value_of<C>& negatives,
                         const triplet_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  const std::size_t n = positives.rows(), k = negatives.cols();
  if (positives.cols() != 1 || negatives.rows() != n) {
    detail::fail("funnel::triplet_loss: positives is [", n, ", ", positives.cols(),
                 "] and negatives [", negatives.rows(), ", ", k,
                 "], expected one positive a row and as many rows");
  }
  detail::check_option("triplet_loss", "margin", options.margin,
                       options.margin >= 0 && std::isfinite(options.margin),
                       "a finite number of 0 or more");
  detail::check_positive("triplet_loss", "sharpness", options.sharpness);
  detail::check_weights("triplet_loss", options.weights, n);

  const detail::weight_total weights = detail::total_of(options.weights, n);
  const double total = weights.total * static_cast<double>(k);
  const auto loss = context.make(1, 1);
  matrix_view<t> slopes;  // with respect to the excess
  if constexpr (C::is_training) slopes = {context.scratch().template allocate<t>(n * k), n, k};
  detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < n; ++i) {
    const double weight = weights(detail::weight_of(options.weights, i));
    for (std::size_t j = 0; j < k; ++j) {
      const t negative = view(negatives)(i, j), positive = view(positives)(i, 0);
      const t excess = negative - positive;
      double value = 0;
      t slope = 0;
      if (options.form == triplet_form::logistic) {
        const auto soft = detail::softplus_of_difference(options.sharpness, negative, positive);
        value = soft.value;
        slope = options.sharpness * soft.slope;
      } else if (!(excess + options.margin <= 0)) {  // NaN comes here
        const t missing = excess + options.margin;
        value = std::isinf(missing)
                    ? std::min(detail::scaled_difference(1, static_cast<double>(negative),
                                                         static_cast<double>(positive)) +
                                   static_cast<double>(options.margin),
                               std::numeric_limits<double>::max())
                    : static_cast<double>(missing);
        slope = 1;
      }
      if (weight > 0) sum.add(weight, value);
      if constexpr (C::is_training)
        slopes(i, j) = weight > 0 ? slope * static_cast<t>(weight / total) : t(0);
    }
  }
  writable(loss)(0, 0) = detail::saturated<t>(sum.mean(total));
  if constexpr (C::is_training) {
    context.record([positives, negatives, loss, slopes] {
      if (loss.gradient(0, 0) == 0) return;  // switched off, even where its slopes are NaN
      for (std::size_t i = 0; i < slopes.rows(); ++i) {
        for (std::size_t j = 0; j < slopes.cols(); ++j) {
          const t g = loss.gradient(0, 0) * slopes(i, j);
          if (positives.learns()) positives.gradient(i, 0) -= g;
          if (negatives.learns()) negatives.gradient(i, j) += g;
        }
      }
    });
  }
  return loss;
}

}  // namespace funnel
