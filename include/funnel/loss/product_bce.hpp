// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/bce.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel {
namespace detail {

/// Loss of one row of `product_bce_with_logits`, and its derivatives.
struct product_bce_row {
  double loss;
  double slope_a;
  double slope_b;

  product_bce_row(double a, double b, double label) {
    // With q = 1 - p = sigmoid(-a) + sigmoid(a) sigmoid(-b), a sum of numbers that are not negative.
    const double log_not_a = -softplus(a), log_not_b = -softplus(b);
    const double log_p = -softplus(-a) - softplus(-b);
    const double p = std::exp(log_p);
    const double with_a = log_not_b - softplus(-a);
    const double high = std::max(log_not_a, with_a), low = std::min(log_not_a, with_a);
    const double log_q = p <= .5           ? std::log1p(-p)
                         : std::isinf(low) ? high
                                           : high + std::log1p(std::exp(low - high));
    const auto part = [](double weight, double log) { return weight == 0 ? 0 : -weight * log; };
    loss = part(label, log_p) + part(1 - label, log_q);
    const auto slope = [&](double z, double log_not_z) {
      // sigmoid(-z) / q is at most 1. A z of +infinity has slope 0.
      const double share = std::isinf(log_not_z) ? 0 : std::exp(std::min(log_not_z - log_q, 0.));
      return (1 - label) * p * share - label * sigmoid(-z);
    };
    slope_a = slope(a, log_not_a);
    slope_b = slope(b, log_not_b);
  }
};

}  // namespace detail

/// Binary cross-entropy of a product of two probabilities that are given by their logits: of what
/// happens only if two things happen, of which neither is observed alone.
///
///     p_i = sigmoid(a_i) sigmoid(b_i),   L = -sum_i w_i (y_i ln p_i + (1 - y_i) ln(1 - p_i)) / sum_i w_i
///     dL/da_i = w_i (p_i - y_i) sigmoid(-a_i) / ((1 - p_i) sum_i w_i); likewise for b
///
/// A click, for example, needs a user who looks at the item and likes it (PAL, examination models:
/// `examination_position_bias` of ranking/position_bias.hpp).
///
/// Shapes      a and b [n, 1]; labels [n]; options.weights [n] or empty; returns the loss [1, 1].
/// Units       logits, not probabilities; labels in [0, 1]. A logit may be +infinity: then the loss is
///             that of the other one, and its own gradient is 0.
/// Errors      std::invalid_argument if a or b does not have exactly one column, a size differs, a
///             label is outside [0, 1] or NaN, or a weight is negative or not finite; nothing is
///             recorded then.
/// Numerics    ln p and ln(1 - p) come from the logits without cancellation, however near to 0 or 1 p
///             is; computed in double. Rows of weight 0, their sum and n = 0 as in `bce_with_logits`.
/// Source      Guo et al., RecSys 2019 (PAL); docs/formulas.md#position-bias.
template <Context C>
value_of<C> product_bce_with_logits(C& context, const value_of<C>& a, const value_of<C>& b,
                                    std::span<const scalar_of<C>> labels,
                                    const bce_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr const char* name = "product_bce_with_logits";
  detail::check_cols(name, "a", a.cols(), 1);
  const std::size_t n = a.rows();
  detail::check_shape(name, "b", b, n, 1, "a");
  detail::check_size(name, "labels", labels.size(), n, "a");
  detail::check_weights(name, options.weights, n);
  detail::check_not_negative(name, "total_weight", options.total_weight);
  detail::check_unit_interval(name, "labels", labels);
  const auto total =
      detail::divided_by(context, options.total_weight, detail::total_of(options.weights, n));
  matrix_view<t> slopes;  // of a and of b
  if constexpr (C::is_training) slopes = {context.scratch().template allocate<t>(n, 2), n, 2};
  detail::weighted_sum_of sum;
  for (std::size_t i = 0; i < n; ++i) {
    const t weight = detail::weight_of(options.weights, i);
    if (weight == 0) {
      if (!slopes.empty()) slopes(i, 0) = slopes(i, 1) = 0;
      continue;
    }
    const detail::product_bce_row row(static_cast<double>(view(a)(i, 0)),
                                      static_cast<double>(view(b)(i, 0)),
                                      static_cast<double>(labels[i]));
    sum.add(total(weight), row.loss);
    if (!slopes.empty()) {
      const auto share = static_cast<double>(detail::share_of<t>(total, weight));
      slopes(i, 0) = detail::saturated<t>(row.slope_a * share);
      slopes(i, 1) = detail::saturated<t>(row.slope_b * share);
    }
  }
  const auto loss = context.make(1, 1);
  writable(loss)(0, 0) = detail::saturated<t>(sum.mean(total.total));
  if constexpr (C::is_training) {
    context.record([a, b, loss, slopes] {
      const t scale = loss.gradient(0, 0);
      if (scale == 0) return;  // switched off, even if its slopes are NaN
      for (std::size_t i = 0; i < slopes.rows(); ++i) {
        if (a.has_gradient()) a.gradient(i, 0) += scale * slopes(i, 0);
        if (b.has_gradient()) b.gradient(i, 0) += scale * slopes(i, 1);
      }
    });
  }
  return loss;
}

}  // namespace funnel
