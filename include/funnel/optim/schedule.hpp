// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace funnel {

/// Linear learning-rate schedule with warm-up. The rate rises linearly to `peak` over the first
/// `warmup` steps, then falls linearly to `last_fraction * peak` at step `steps`, and stays there.
///
/// Steps count from 0. Step 0 has the rate peak / warmup, not 0, at which it would change nothing;
/// step warmup - 1 has the rate `peak`.
///
/// Use         optimizer.options.learning_rate = schedule(step).
/// Source      docs/formulas.md#learning-rate-schedules.
struct linear_schedule {
  double peak = 0;           ///< the highest rate, above 0
  std::size_t steps = 0;     ///< the step at which the rate stops falling
  std::size_t warmup = 0;    ///< number of steps of the warm-up
  double last_fraction = 0;  ///< the final rate as a fraction of `peak`

  double operator()(std::size_t step) const {
    if (step < warmup) return peak * (static_cast<double>(step + 1) / static_cast<double>(warmup));
    return peak * std::lerp(1., last_fraction, progress(step));
  }
  /// Fraction of the way from `warmup` to `steps`, in [0, 1], for a step after the warm-up.
  double progress(std::size_t step) const {
    if (step >= steps || steps <= warmup) return 1;
    return static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
  }
};

/// Cosine learning-rate schedule with warm-up. The warm-up is that of `linear_schedule`; then the
/// rate follows half a period of a cosine down to `last_fraction * peak`.
///
/// Source      Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5 (one period);
///             docs/formulas.md#learning-rate-schedules.
struct cosine_schedule {
  double peak = 0;           ///< the highest rate, above 0
  std::size_t steps = 0;     ///< the step at which the rate stops falling
  std::size_t warmup = 0;    ///< number of steps of the warm-up
  double last_fraction = 0;  ///< the final rate as a fraction of `peak`

  double operator()(std::size_t step) const {
    const linear_schedule line{peak, steps, warmup, last_fraction};
    if (step < warmup) return line(step);
    const double height = (1 + std::cos(std::numbers::pi * line.progress(step))) / 2;
    return peak * (last_fraction + (1 - last_fraction) * height);
  }
};

/// Step-decay learning-rate schedule: the rate starts at `peak` and is multiplied by `factor` after
/// every `interval` steps.
///
/// Errors      std::invalid_argument if interval is 0.
/// Source      docs/formulas.md#learning-rate-schedules.
struct step_schedule {
  double peak = 0;           ///< the rate of the first `interval` steps, above 0
  std::size_t interval = 1;  ///< number of steps between two changes, 1 or more
  double factor = 0.5;

  double operator()(std::size_t step) const {
    detail::check_at_least_one("step_schedule", "interval", interval);
    const std::size_t times = step / interval;
    return peak * std::pow(factor, static_cast<double>(times));
  }
};

}  // namespace funnel
