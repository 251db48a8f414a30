// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

namespace funnel::detail {

// The rows of a loss: one logit each, and a weight.

/// Checks that logits are [n, 1] and returns n.
template <class Value>
std::size_t check_logits(std::string_view function, const Value& logits) {
  check_cols(function, "logits", logits.cols(), 1);
  return logits.rows();
}

/// Checks the weights of n rows; empty is allowed.
template <class T>
void check_weights(std::string_view function, std::span<const T> weights, std::size_t n) {
  if (weights.empty()) return;
  check_size(function, "weights", weights.size(), n);
  check_not_negative(function, "weights", weights);
}

/// The weight of row i; 1 if `weights` is empty.
template <class T>
T weight_of(std::span<const T> weights, std::size_t i) {
  return weights.empty() ? T(1) : weights[i];
}

/// The sum of the weights of n rows.
template <class T>
weight_total total_of(std::span<const T> weights, std::size_t n) {
  return weight_total::of(n, [&](std::size_t i) { return weight_of(weights, i); });
}

/// The weights of a loss with, as their total, the number by which the loss divides: the option
/// `total_weight` if it is above 0, otherwise `context.step_rows()` if that is above 0, otherwise
/// the sum of the weights.
///
/// If all weights are 0 the total stays 0, and with it the loss.
template <class C>
weight_total divided_by(const C& context, double total_weight, weight_total weights) {
  double divisor = total_weight;
  if constexpr (requires { context.step_rows(); })
    if (divisor == 0) divisor = static_cast<double>(context.step_rows());
  if (divisor > 0 && weights.total > 0)
    weights.total = std::max(weights(divisor), std::numeric_limits<double>::min());
  return weights;
}

}  // namespace funnel::detail
