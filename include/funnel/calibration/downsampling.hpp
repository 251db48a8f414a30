// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>

namespace funnel {

/// Corrects probabilities or logits for negative down-sampling: a model that was trained on a part
/// of the negatives estimates too high.
///
///     logit(p) = logit(q) + ln alpha,  which is  p = alpha q / ((1 - q) + alpha q)
///
/// where q is the estimate of a model for whose training each negative was kept with probability
/// alpha, and p the corrected one. The correction keeps the order by one head, but it changes the
/// order by a fusion of several heads: correct each head with its own alpha before fusing. Heads
/// that are conditional on a click are not affected by dropping unclicked rows.
///
/// Shapes      one value, or input [n] and output [n], which may be the same span.
/// Units       `logit`: log-odds; `probability`: in [0, 1].
/// Errors      std::invalid_argument if alpha is outside (0, 1] or the sizes differ, and in
///             `probabilities` if a value is outside [0, 1]. Nothing is written in these cases.
/// Numerics    exact at q = 0 and q = 1. Prefer logits: they lose no digits for rare events. NaN
///             stays NaN.
/// Source      He et al., ADKDD 2014, section 6.3; docs/formulas.md#negative-down-sampling.
template <std::floating_point T = float>
class downsampling_correction {
 public:
  /// `alpha`: the fraction of the negatives that was kept, in (0, 1]; 1 changes nothing.
  explicit downsampling_correction(T alpha) : alpha_(alpha), log_alpha_(std::log(alpha)) {
    detail::check_that("downsampling_correction", "alpha", alpha, alpha > 0 && alpha <= 1,
                       "a number in (0, 1]");
  }

  T alpha() const { return alpha_; }

  /// The corrected logit of a logit.
  T logit(T z) const { return z + log_alpha_; }

  /// The corrected probability of a probability in [0, 1].
  T probability(T q) const {
    FUNNEL_ASSERT(!(q < 0 || q > 1));
    return alpha_ * q / ((1 - q) + alpha_ * q);
  }

  /// The corrected logits of `input`, in `output`.
  void logits(std::span<const T> input, std::span<T> output) const {
    detail::check_size("downsampling_correction::logits", "output", output.size(), input.size(),
                       "input");
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = logit(input[i]);
  }

  /// The corrected probabilities of `input`, in `output`.
  void probabilities(std::span<const T> input, std::span<T> output) const {
    detail::check_size("downsampling_correction::probabilities", "output", output.size(),
                       input.size(), "input");
    detail::check_each("downsampling_correction::probabilities", "input", input,
                       "a number in [0, 1] or NaN", [](T q) { return !(q < 0 || q > 1); });
    for (std::size_t i = 0; i < input.size(); ++i) output[i] = probability(input[i]);
  }

 private:
  T alpha_;
  T log_alpha_;
};

}  // namespace funnel
