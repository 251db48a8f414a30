// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace funnel {

/// A learning rate that rises in a straight line over the first `warmup` steps, then falls in one to
/// `last_fraction * peak` at step `steps`, and stays there.
///
/// The first step has peak / warmup and the last of the warm-up has the peak: no step is taken at a
/// rate of 0, where it would move nothing.
///
/// Use         optimizer.options.learning_rate = schedule(step), steps from 0.
struct linear_schedule {
  double peak = 0;
  std::size_t steps = 0;
  std::size_t warmup = 0;
  double last_fraction = 0;

  double operator()(std::size_t step) const {
    if (step < warmup) return peak * (static_cast<double>(step + 1) / static_cast<double>(warmup));
    return peak * std::lerp(1., last_fraction, progress(step));
  }
  /// How much of the way after the warm-up is done, in [0, 1].
  double progress(std::size_t step) const {
    if (step >= steps || steps <= warmup) return 1;
    return static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
  }
};

/// The same warm-up, then half a cosine down to `last_fraction * peak`.
///
/// Source      Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5 (one period).
struct cosine_schedule {
  double peak = 0;
  std::size_t steps = 0;
  std::size_t warmup = 0;
  double last_fraction = 0;

  double operator()(std::size_t step) const {
    const linear_schedule line{peak, steps, warmup, last_fraction};
    if (step < warmup) return line(step);
    const double height = (1 + std::cos(std::numbers::pi * line.progress(step))) / 2;
    return peak * (last_fraction + (1 - last_fraction) * height);
  }
};

/// A learning rate that is multiplied by `factor` every `interval` steps.
///
/// Errors      std::invalid_argument if interval is 0.
struct step_schedule {
  double peak = 0;
  std::size_t interval = 1;
  double factor = 0.5;

  double operator()(std::size_t step) const {
    if (interval == 0) detail::fail("funnel::step_schedule: interval is 0, expected 1 or more");
    const std::size_t times = step / interval;
    return peak * std::pow(factor, static_cast<double>(times));
  }
};

}  // namespace funnel
