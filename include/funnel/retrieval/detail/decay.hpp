// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string_view>
#include <utility>

// Sums of events that lose half of their weight in each half-life (forward decay).
//
//     S(t) = sum_e w_e 2^(-(t - t_e) / h) = 2^(x - age(t)),   x = log2 sum_e w_e 2^age(t_e)
//
// with age(t) = (t - origin) / h. The number x changes with events only, not with time: two sums keep
// their order, events may come in any order, and nothing overflows, however long the sums are kept.
// `forward_decay` keeps the sums themselves, which costs no logarithm per event; but one event far
// ahead of the others makes it scale all sums down, here it changes its own sum alone.
namespace funnel::detail {

/// The x of no events.
inline constexpr double no_events = -std::numeric_limits<double>::infinity();

/// The x of two sums together.
inline double add_decayed(double x, double y) {
  if (x < y) std::swap(x, y);
  return y == no_events ? x : x + std::log1p(std::exp2(y - x)) * std::numbers::log2e;
}

/// S(t) at an age; at most 2^1000, which events of the future may reach.
inline double decayed_value(double x, double age) {
  return std::exp2(std::min(x - age, 1000.));
}

/// The same as a score.
inline float decayed_score(double value) {
  return static_cast<float>(std::min(value, double{std::numeric_limits<float>::max()}));
}

/// Whether a loaded number is an x.
inline bool is_decayed(double x) {
  return x < std::numeric_limits<double>::infinity();
}

inline void check_half_life(std::string_view function, double half_life) {
  check_that(function, "half_life", half_life,
             half_life == 0 || (half_life >= 1 && std::isfinite(half_life)),
             "0, or a finite number of 1 or more");
}

/// The half-lives from one time to another; 0 if nothing decays.
inline double half_lives(std::int64_t from, std::int64_t to, double half_life) {
  return half_life == 0 ? 0 : (static_cast<double>(to) - static_cast<double>(from)) / half_life;
}

/// Half-life and origin of decayed sums. The origin is the time of the first event.
class decay_clock {
 public:
  decay_clock() = default;
  decay_clock(std::string_view function, double half_life) : half_life_(half_life) {
    check_half_life(function, half_life);
  }

  double age(std::int64_t time) const { return half_lives(origin_, time, half_life_); }
  /// The x of an event of this weight, above 0.
  double event(std::int64_t time, float weight) {
    if (!started_) {
      origin_ = time;
      started_ = true;
    }
    return std::log2(double{weight}) + age(time);
  }

  void visit_state(auto&& visit) {
    visit("half_life", half_life_), visit("origin", origin_), visit("started", started_);
    if (is_loading(visit)) check_loaded([&] { decay_clock("decay_clock", half_life_); });
  }

 private:
  double half_life_ = 1;
  std::int64_t origin_ = 0;
  bool started_ = false;
};

}  // namespace funnel::detail
