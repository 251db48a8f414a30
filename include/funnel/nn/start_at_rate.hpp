// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/math.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/parameter.hpp>

#include <cstddef>
#include <string_view>

namespace funnel {
namespace detail {

/// Sets the bias of one output of a layer that returns logits.
template <class T>
void start_at_logit(std::string_view function, dense<T>& layer, double value, std::size_t output) {
  check_that(function, "output", output, output < layer.out(), "below ", layer.out(),
             ", the outputs of the layer");
  if (layer.weight.value.empty())
    fail("funnel::", function, ": the layer is frozen, expected the one that it was frozen from");
  if (layer.function != activation::identity)
    fail("funnel::", function, ": the layer has activation ", static_cast<int>(layer.function),
         ", expected identity: its outputs are logits");
  check_parameter(function, "bias", layer.bias, 1, layer.out());
  layer.bias.value(0, output) = static_cast<T>(value);
}

}  // namespace detail

/// Starts a head at a base rate: sets the bias of its output to logit(rate), so that it predicts
/// about the mean label before the first step of training, and does not spend steps on learning it.
/// Call it after `initialize`.
///
///     bias = ln(rate / (1 - rate))
///
/// If negatives are dropped while training, pass the rate of the rows that are left:
/// rate / (rate + (1 - rate) alpha), where alpha is the fraction of negatives that are kept.
///
/// `output` is the column of the logit, for a layer that computes several heads.
///
/// Units       rate is the mean label, in (0, 1).
/// Errors      std::invalid_argument if rate is not in (0, 1), the layer has no such output, no bias
///             or an activation, or it is frozen; nothing is changed then.
/// Source      docs/formulas.md#start-at-a-base-rate.
template <class T>
void start_at_rate(dense<T>& layer, double rate, std::size_t output = 0) {
  detail::check_that("start_at_rate", "rate", rate, rate > 0 && rate < 1, "a number in (0, 1)");
  detail::start_at_logit("start_at_rate", layer, logit(rate), output);
}
/// The same for the last layer of an `mlp`.
template <class T>
void start_at_rate(mlp<T>& head, double rate, std::size_t output = 0) {
  detail::check_not_empty("start_at_rate", "layers", head.layers.size());
  start_at_rate(head.layers.back(), rate, output);
}

}  // namespace funnel
