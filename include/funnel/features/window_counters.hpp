// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel {

/// Options of `window_counters`.
struct window_options {
  /// Number of past periods to keep per key, which is the longest possible window; 1 to 1,000,000.
  std::size_t periods = 30;
};

/// Window counters (sliding windows): count impressions and actions per key and period (an hour or
/// a day) and return their sums over the last periods. The current period is not included.
///
/// Each key has a ring buffer of `periods` + 1 buckets. One object with 30 daily buckets serves
/// several windows (30, 7 and 1 days); use another object with hourly buckets for the last hours.
///
/// Clocks are sometimes wrong, so a single event cannot move a key's ring:
///
/// - An event more than `periods` ahead of the ring is counted in a separate bucket. The ring moves
///   there when an event of another period arrives that is close to that bucket, or later than it
///   if the bucket already holds several events.
/// - An event more than `periods` behind the ring is late: it is not counted, and `add` returns
///   false. If late events arrive in a row, close to one another, and they are more than three and
///   more than the ring has counted since it last jumped, then the ring was wrong and jumps back to
///   them. The separate bucket is replaced in the same way. Counting a log a second time does not
///   cause this.
///
/// So a single event with a wrong clock makes its key lose at most three correct events, and none
/// if other events of the key keep arriving.
///
/// Units       a period is an integer that increases with time, such as time_ms / 86400000; in
///             [-2^52, 2^52].
/// Errors      std::invalid_argument if periods is 0 or above a million, a period or a window is
///             out of range, an amount is not finite, or sizes differ; std::bad_alloc if memory
///             runs out. Nothing is counted then.
/// Cost        `add` is O(actions), `sums` is O(window * actions), with one lookup each; 8
///             (actions + 2) bytes per bucket and periods + 2 buckets per key.
/// Source      docs/formulas.md#window-counters.
class window_counters {
 public:
  explicit window_counters(std::size_t actions, const window_options& options = {}) {
    const std::size_t periods = options.periods;
    detail::check_that("window_counters", "periods", periods, periods > 0 && periods <= 1'000'000,
                       "1 to 1000000");
    ring_ = periods + 1;
    detail::array_size<double>(
        "funnel::window_counters: buckets x (actions + 2)", ring_ + 1,
        detail::array_size<double>("funnel::window_counters: actions", actions) + 2);
    width_ = actions + 1;
  }
  window_counters(const window_counters&) = default;
  window_counters(window_counters&&) noexcept = default;
  /// Copies all counters; if memory runs out, this object is unchanged.
  window_counters& operator=(const window_counters& other) {
    *this = window_counters(other);
    return *this;
  }
  window_counters& operator=(window_counters&&) noexcept = default;

  std::size_t actions() const { return width_ - 1; }
  std::size_t periods() const { return ring_ - 1; }

  /// Counts one impression of the key in a period. Returns false and counts nothing if the event is
  /// late: more than `periods()` before the newest period of the key.
  bool add(std::uint64_t key, std::int64_t period, std::span<const float> amounts) {
    detail::check_size("window_counters", "amounts", amounts.size(), actions(), "actions");
    detail::check_finite("window_counters", "amounts", amounts);
    check_period(period);
    const std::size_t row = row_of(key);
    state& s = states_[row];
    if (s.counted == 0) s.newest = period;
    const auto reach = static_cast<std::int64_t>(periods());
    const std::size_t beside = row * (ring_ + 1) + ring_;
    if (period > s.newest + reach) {
      const std::int64_t ahead = starts_[beside];
      const auto events = ahead == never ? 0 : static_cast<std::uint64_t>(sums_[beside * width_]);
      if (period < ahead - reach) {
        if (is_late(s, period, events)) return false;
      } else if (ahead != never && period != ahead && (events > 1 || period <= ahead + reach)) {
        move_ring_beside(row);
      }
    } else if (period < s.newest - reach) {
      if (is_late(s, period, s.counted)) return false;
      s.newest = period;
      s.counted = 0;
    }
    s.late = 0;
    const bool in_ring = period <= s.newest + reach;
    if (in_ring) {
      s.newest = std::max(s.newest, period);
      ++s.counted;
    }
    double* sums = bucket_of(in_ring ? row * (ring_ + 1) + slot(period) : beside, period);
    ++sums[0];
    for (std::size_t i = 0; i < amounts.size(); ++i) sums[1 + i] += double{amounts[i]};
    return true;
  }

  /// Makes room for a key, so that `add` allocates no memory for it. Changes no sums.
  void reserve(std::uint64_t key) { row_of(key); }

  /// Writes the sums of the key's impressions and amounts over the `window` periods before
  /// `period`, which are [period - window, period - 1].
  ///
  /// Shapes      out [1 + actions]: impressions, then the amounts; window in [1, periods()].
  void sums(std::uint64_t key, std::int64_t period, std::size_t window,
            std::span<double> out) const {
    detail::check_size("window_counters", "out", out.size(), width_);
    detail::check_that("window_counters", "window", window, window > 0 && window <= periods(),
                       "1 to ", periods());
    check_period(period);
    std::ranges::fill(out, 0.0);
    const std::uint32_t row = keys_.find(key);
    if (row == 0) return;
    const std::size_t first = (row - 1) * (ring_ + 1);
    for (std::size_t back = 1; back <= window; ++back) {
      const std::int64_t wanted = period - static_cast<std::int64_t>(back);
      for (const std::size_t bucket : {first + slot(wanted), first + ring_}) {
        if (starts_[bucket] != wanted) continue;
        for (std::size_t i = 0; i < width_; ++i) out[i] += sums_[bucket * width_ + i];
      }
    }
  }

  /// Number of periods with at least one impression of the key, among the `window` periods before
  /// `period`.
  ///
  /// Errors      as `sums`.
  std::size_t active_periods(std::uint64_t key, std::int64_t period, std::size_t window) const {
    detail::check_that("window_counters", "window", window, window > 0 && window <= periods(),
                       "1 to ", periods());
    check_period(period);
    const std::uint32_t row = keys_.find(key);
    if (row == 0) return 0;
    const std::size_t first = (row - 1) * (ring_ + 1);
    std::size_t active = 0;
    for (std::size_t back = 1; back <= window; ++back) {
      const std::int64_t wanted = period - static_cast<std::int64_t>(back);
      for (const std::size_t bucket : {first + slot(wanted), first + ring_}) {
        if (starts_[bucket] != wanted) continue;
        ++active;
        break;
      }
    }
    return active;
  }

  void visit_state(auto&& visit) {
    std::uint64_t width = width_, ring = ring_;
    visit("width", width);
    visit("ring", ring);
    std::vector<std::int64_t> newest, last_late;
    std::vector<std::uint64_t> counted, late;
    for (const state& s : states_) {
      newest.push_back(s.newest);
      last_late.push_back(s.last_late);
      counted.push_back(s.counted);
      late.push_back(s.late);
    }
    visit("keys", keys_), visit("newest", newest), visit("last_late", last_late);
    visit("counted", counted), visit("late", late), visit("starts", starts_), visit("sums", sums_);
    if (!is_loading(visit)) return;
    const std::size_t n = newest.size(), keys = keys_.rows() - 1;
    const bool fits = width == width_ && ring == ring_ && (n == keys || n == keys + 1) &&
                      last_late.size() == n && counted.size() == n && late.size() == n &&
                      starts_.size() >= keys * (ring_ + 1) &&
                      sums_.size() == starts_.size() * width_;
    if (!fits) throw format_error("window counters are damaged: their arrays do not fit together");
    states_.clear();
    for (std::size_t i = 0; i < n; ++i)
      states_.push_back({newest[i], counted[i], late[i], last_late[i]});
  }

 private:
  struct state {
    std::int64_t newest = 0;    // newest period of the ring
    std::uint64_t counted = 0;  // events since the ring jumped here; 0: no events yet
    std::uint64_t late = 0;     // late events in a row that are close to one another
    std::int64_t last_late = 0;
  };

  static constexpr std::int64_t never = -(std::int64_t{1} << 60);  // before all periods

  static void check_period(std::int64_t period) {
    constexpr std::int64_t limit = std::int64_t{1} << 52;
    detail::check_that("window_counters", "period", period, period >= -limit && period <= limit,
                       "-2^52 to 2^52");
  }

  std::size_t slot(std::int64_t period) const {
    const auto size = static_cast<std::int64_t>(ring_);
    return static_cast<std::size_t>((period % size + size) % size);
  }

  /// The index of a key, from 0. Memory for a new key is allocated before it gets a row, so that no
  /// row is ever without its arrays.
  std::size_t row_of(std::uint64_t key) {
    if (const std::uint32_t known = keys_.find(key)) return known - 1;
    const std::size_t rows = keys_.rows();  // number of keys + 1
    const std::size_t buckets = rows * (ring_ + 1);
    if (states_.size() < rows) states_.resize(rows);
    if (starts_.size() < buckets) starts_.resize(buckets, never);
    if (sums_.size() < buckets * width_) sums_.resize(buckets * width_);
    return keys_.add(key) - 1;
  }

  /// Whether an event that arrives after `counted` others is late. False if it and the late events
  /// before it show that the others were wrong.
  bool is_late(state& s, std::int64_t period, std::uint64_t counted) const noexcept {
    const auto reach = static_cast<std::int64_t>(periods());
    const bool near = period >= s.last_late - reach && period <= s.last_late + reach;
    s.last_late = period;
    s.late = near ? s.late + 1 : 1;
    return s.late <= std::max<std::uint64_t>(counted, 3);
  }

  /// The sums of a bucket; set to zero if the bucket held another period.
  double* bucket_of(std::size_t bucket, std::int64_t period) noexcept {
    double* sums = sums_.data() + bucket * width_;
    if (starts_[bucket] != period) {
      starts_[bucket] = period;
      std::fill_n(sums, width_, 0.0);
    }
    return sums;
  }

  /// Moves the ring to the separate bucket, which becomes its newest one.
  void move_ring_beside(std::size_t row) noexcept {
    const std::size_t first = row * (ring_ + 1);
    const std::size_t beside = first + ring_;
    const std::int64_t period = starts_[beside];
    const double* sums = sums_.data() + beside * width_;
    double* to = bucket_of(first + slot(period), period);
    for (std::size_t i = 0; i < width_; ++i) to[i] += sums[i];
    states_[row].newest = period;
    states_[row].counted = static_cast<std::uint64_t>(sums[0]);
    starts_[beside] = never;
  }

  std::size_t width_ = 1;             // impressions, then the actions
  std::size_t ring_ = 1;              // number of periods kept, plus the current one
  std::vector<state> states_;         // [keys]; the arrays have a spare row
  std::vector<std::int64_t> starts_;  // [keys, ring + 1]: the period of each bucket
  std::vector<double> sums_;          // [keys, ring + 1, width]
  vocabulary keys_;
};

}  // namespace funnel
