// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>

namespace funnel {

/// Turns the estimates of a model trained on a part of the negatives into those of all data.
///
///     logit(p) = logit(q) + ln alpha,  which is  p = alpha q / ((1 - q) + alpha q)
///
/// for a model that estimates q where each negative was kept with probability alpha. It keeps the
/// order within one head, but not that of several heads fused: correct before fusing, each head by
/// its own alpha. Heads that are conditional on a click are not touched by dropping unclicked rows.
///
/// Shapes      one value, or input [n] and output [n], which may be the same span.
/// Units       `logit`: log-odds; `probability`: in [0, 1].
/// Errors      std::invalid_argument if alpha is outside (0, 1] or the sizes differ, and by
///             `probabilities` if a value is outside [0, 1]; nothing is written then.
/// Numerics    exact at q = 0 and q = 1. Prefer logits: there a rare event loses no digits. NaN
///             stays NaN.
/// Source      He et al., ADKDD 2014, section 6.3; docs/formulas.md#negative-down-sampling.
template <std::floating_point T = float>
class downsampling_correction {
 public:
  /// alpha: the part of the negatives that was kept, in (0, 1]; 1 changes nothing.
  explicit downsampling_correction(T alpha) : alpha_(alpha), log_alpha_(std::log(alpha)) {
    if (!(alpha > 0 && alpha <= 1))
      detail::fail("funnel::downsampling_correction: alpha is ", static_cast<double>(alpha),
                   ", expected a number in (0, 1]");
  }

  T alpha() const { return alpha_; }

  /// The corrected logit of a logit.
  T logit(T z) const { return z + log_alpha_; }

  /// The corrected probability of a probability in [0, 1].
  T probability(T q) const {
    FUNNEL_ASSERT(!(q < 0 || q > 1));
    return alpha_ * q / ((1 - q) + alpha_ * q);
  }

  void logits(std::span<const T> input, std::span<T> output) const {
    detail::require_size("downsampling_correction::logits", "output", output.size(), "input",
                         input.size());
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = logit(input[i]);
  }

  void probabilities(std::span<const T> input, std::span<T> output) const {
    detail::require_size("downsampling_correction::probabilities", "output", output.size(), "input",
                         input.size());
    detail::require_each("downsampling_correction::probabilities", "input", input,
                         "a number in [0, 1] or NaN", [](T q) { return !(q < 0 || q > 1); });
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = probability(input[i]);
  }

 private:
  T alpha_;
  T log_alpha_;
};

}  // namespace funnel
