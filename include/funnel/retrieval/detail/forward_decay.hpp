// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/retrieval/detail/decay.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace funnel::detail {

/// Forward decay: in the place of old weights that shrink, new ones grow. The weight of an event at
/// time t is 2^(t / half_life - origin), so that sums of weights are never visited because time
/// passes, and ratios of sums are those of weights that halve with each half-life.
///
/// Numerics    `origin` is a whole number of half-lives: another one changes weights by a power of 2,
///             that is, no digits.
/// Source      Cormode et al., "Forward Decay", ICDE 2009.
class forward_decay {
 public:
  forward_decay() = default;
  /// 0: all weights are 1.
  forward_decay(std::string_view function, double half_life) : half_life_(half_life) {
    check_half_life(function, half_life);
  }

  /// Takes the time of an event. Returns what all weights so far must be multiplied by: nearly always
  /// 1, else a power of 2 that keeps the weights to come in range.
  double advance(std::int64_t time) noexcept {
    if (half_life_ == 0) return 1;
    const double whole = split(time).whole;
    if (!started_) {
      started_ = true;
      origin_ = whole;
      newest_ = time;
      return 1;
    }
    newest_ = std::max(newest_, time);
    if (whole - origin_ <= most_doublings) return 1;
    const double factor = power(origin_ - whole);
    origin_ = whole;
    return factor;
  }
  /// The weight of an event; 0 if it is more than about a thousand half-lives old.
  double weight(std::int64_t time) const noexcept {
    if (half_life_ == 0) return 1;
    const parts p = split(time);
    return std::exp2(p.fraction) * power(p.whole - origin_);
  }
  /// That of an event at the time of the latest one.
  double newest_weight() const noexcept { return started_ ? weight(newest_) : 1; }

  /// The half-life is not part of the state.
  void visit_state(auto&& visit) {
    visit("started", started_), visit("origin", origin_), visit("newest", newest_);
    if (!is_loading(visit)) return;
    const double above = split(newest_).whole - origin_;
    if (started_ && !(half_life_ > 0 && above >= 0 && above <= most_doublings))
      throw format_error("a decay is damaged: its origin does not fit its latest time");
  }

 private:
  struct parts {
    double whole, fraction;  // of t / half_life, which is their sum
  };

  static constexpr double most_doublings =
      512;  // 2^512 times the largest float times 2^32 is finite

  static double power(double exponent) noexcept {
    return std::ldexp(1., static_cast<int>(std::clamp(exponent, -2000., 1000.)));
  }
  parts split(std::int64_t time) const noexcept {
    if (half_life_ == 0) return {0, 0};
    const double t = static_cast<double>(time);
    const double rest = std::fmod(t, half_life_);
    return {std::nearbyint((t - rest) / half_life_), rest / half_life_};
  }

  double half_life_ = 0, origin_ = 0;
  std::int64_t newest_ = 0;
  bool started_ = false;
};

}  // namespace funnel::detail
