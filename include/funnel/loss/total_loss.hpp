// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <span>

namespace funnel {

/// Multi-task loss: the weighted sum of the losses of several tasks.
///
///     L = sum_t alpha_t L_t
///
/// Shapes      losses: k values [1, 1]; weights [k], or empty for weight 1 each; returns the sum
///             [1, 1].
/// Errors      std::invalid_argument if there is no loss, a loss is not [1, 1], the sizes differ,
///             or a weight is not finite; nothing is recorded then.
/// Numerics    a loss of weight 0 is switched off: it is not read, even if it is NaN. Summed in
///             double; a sum beyond the largest number is set to the largest number.
/// Source      docs/formulas.md#total-loss.
template <Context C>
value_of<C> total_loss(C& context, std::span<const value_of<C>> losses,
                       std::span<const scalar_of<C>> weights = {}) {
  using t = scalar_of<C>;
  detail::check_not_empty("total_loss", "losses", losses.size());
  for (std::size_t k = 0; k < losses.size(); ++k) {
    if (losses[k].rows() != 1 || losses[k].cols() != 1) {
      detail::fail("funnel::total_loss: losses[", k, "] is [", losses[k].rows(), ", ",
                   losses[k].cols(), "], expected [1, 1]");
    }
  }
  if (!weights.empty()) {
    detail::check_size("total_loss", "weights", weights.size(), losses.size(), "losses");
    detail::check_finite("total_loss", "weights", weights);
  }
  const auto sum = context.make(1, 1);
  detail::weighted_sum_of value;
  for (std::size_t k = 0; k < losses.size(); ++k) {
    const t weight = detail::weight_of(weights, k);
    if (weight == 0) continue;
    const double loss = static_cast<double>(view(losses[k])(0, 0));
    value.add(1, detail::scaled(static_cast<double>(weight), loss));
  }
  writable(sum)(0, 0) = detail::saturated<t>(value.mean(1));
  if constexpr (C::is_training) {
    for (std::size_t k = 0; k < losses.size(); ++k) {
      const t weight = detail::weight_of(weights, k);
      if (weight == 0 || !losses[k].has_gradient()) continue;
      context.record(
          [loss = losses[k], sum, weight] { loss.gradient(0, 0) += weight * sum.gradient(0, 0); });
    }
  }
  return sum;
}

/// The same for braced lists of losses and weights: `total_loss(context, {click, like}, {1, 2})`.
template <Context C>
value_of<C> total_loss(C& context, std::initializer_list<value_of<C>> losses,
                       std::initializer_list<scalar_of<C>> weights = {}) {
  return total_loss(context, std::span<const value_of<C>>(losses.begin(), losses.size()),
                    std::span<const scalar_of<C>>(weights.begin(), weights.size()));
}

}  // namespace funnel
