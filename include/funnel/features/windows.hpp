// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/features/vocab.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace funnel {

/// Counts exposures and actions of keys per period (an hour, a day) and adds them up over the last
/// so many periods, the present one left out.
///
/// A ring of `periods` + 1 buckets a key: several windows (30 d, 7 d, 1 d) are answered by one
/// object of 30 daily buckets, the last hours by one of hourly buckets.
///
/// Units       a period is a whole number that grows with time, such as time_ms / 86400000; of at
///             most 2^52 either side of 0.
/// Errors      std::invalid_argument if periods is 0 or above a million, a period or a window is
///             out of range, an amount is not finite, or sizes differ.
/// Cost        `add` O(actions), `sums` O(window * actions), one look-up each; 8 (actions + 2)
///             bytes a bucket.
/// Source      formulas item 25.
class window_counters {
 public:
  window_counters(std::size_t actions, std::size_t periods)
      : width_(actions + 1), ring_(periods + 1) {
    if (periods == 0 || periods > 1'000'000)
      detail::fail("funnel::window_counters: periods is ", periods, ", expected 1 to 1000000");
  }

  std::size_t actions() const { return width_ - 1; }
  std::size_t periods() const { return ring_ - 1; }

  /// Counts one exposure of the key in a period. False, and nothing counted, where it comes so late
  /// that the key's ring has moved past the period.
  bool add(std::uint64_t key, std::int64_t period, std::span<const float> amounts) {
    if (amounts.size() != actions())
      detail::fail("funnel::window_counters: ", amounts.size(), " amounts for ", actions(),
                   " actions");
    for (const float amount : amounts)
      if (!std::isfinite(amount))
        detail::fail("funnel::window_counters: the amount ", amount, " is not finite");
    check_period(period);
    const std::size_t row = keys_.add(key) - 1;
    if (row * ring_ == starts_.size()) {
      starts_.resize((row + 1) * ring_, never);
      sums_.resize((row + 1) * ring_ * width_);
    }
    const std::size_t bucket = row * ring_ + slot(period);
    if (starts_[bucket] > period) return false;
    const std::span<double> sums = std::span(sums_).subspan(bucket * width_, width_);
    if (starts_[bucket] < period) {
      starts_[bucket] = period;
      std::ranges::fill(sums, 0.0);
    }
    ++sums[0];
    for (std::size_t i = 0; i < amounts.size(); ++i) sums[1 + i] += double{amounts[i]};
    return true;
  }

  /// Writes the key's exposures and amounts in the `window` periods before `period`: [period -
  /// window, period - 1].
  ///
  /// Shapes      out [1 + actions]; window in [1, periods()].
  void sums(std::uint64_t key, std::int64_t period, std::size_t window,
            std::span<double> out) const {
    if (out.size() != width_)
      detail::fail("funnel::window_counters: out has ", out.size(), " slots for ", width_,
                   " numbers");
    if (window == 0 || window > periods())
      detail::fail("funnel::window_counters: window is ", window, ", expected 1 to ", periods());
    check_period(period);
    std::ranges::fill(out, 0.0);
    const std::uint32_t row = keys_.find(key);
    if (row == 0) return;
    for (std::size_t back = 1; back <= window; ++back) {
      const std::int64_t wanted = period - static_cast<std::int64_t>(back);
      const std::size_t bucket = (row - 1) * ring_ + slot(wanted);
      if (starts_[bucket] != wanted) continue;
      for (std::size_t i = 0; i < width_; ++i) out[i] += sums_[bucket * width_ + i];
    }
  }

 private:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();

  static void check_period(std::int64_t period) {
    constexpr std::int64_t limit = std::int64_t{1} << 52;
    if (period < -limit || period > limit)
      detail::fail("funnel::window_counters: period is ", period, ", expected -2^52 to 2^52");
  }

  std::size_t slot(std::int64_t period) const {
    const auto size = static_cast<std::int64_t>(ring_);
    return static_cast<std::size_t>((period % size + size) % size);
  }

  std::size_t width_;                 // exposures, then the actions
  std::size_t ring_;                  // the periods kept and the present one
  std::vector<std::int64_t> starts_;  // [keys, ring]: the period that a bucket holds
  std::vector<double> sums_;          // [keys, ring, width]
  vocabulary keys_;
};

}  // namespace funnel
