// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/diversity/detail/bound_maximum.hpp>
#include <funnel/diversity/detail/open_run.hpp>
#include <funnel/diversity/detail/twin_chains.hpp>
#include <funnel/diversity/detail/window_cosines.hpp>
#include <funnel/diversity/detail/window_levels.hpp>
#include <funnel/simd/interleaved_dot.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>

namespace funnel::detail {

/// Upper bounds of item scores, in groups of neighbors in relevance; see lazy_greedy.hpp.
template <class Arch, class R, class Bound>
class group_bounds {
 public:
  using units = typename Bound::units;
  static constexpr std::size_t width = lanes<Arch, float>;
  static constexpr float none = bound_maximum<Arch>::none;

  group_bounds(units& items, Bound& bound, std::span<const R> relevance, double weight,
               std::size_t window, const bool* taken, std::span<const slate_rule> rules,
               arena& scratch)
      : units_(items), bound_(bound), relevance_(relevance), weight_(weight), window_(window),
        taken_(taken), twins_(items, taken, rules, scratch),
        base_(scratch.allocate<float>(items.groups() * width)),
        state_(scratch.allocate<float>(items.groups() * width)),
        bounds_(scratch.allocate<float>(items.groups() * width)),
        stamps_(scratch.allocate<std::size_t>(items.groups())), largest_(items.groups(), scratch),
        products_(scratch.allocate<float>((direction_block + direction_slack) * width)),
        direction_(scratch.allocate<float>(items.cols())),
        exhausted_(scratch.allocate<bool>(items.groups() * width)),
        closed_(scratch.allocate<bool>(items.groups())),
        levels_(window > 0 ? items.groups() : 0, window, scratch),
        cosines_(items.groups(), window, scratch) {
    announce();
  }

  /// Begins the pick after `shown` others.
  void begin_pick(std::size_t shown) {
    shown_ = shown;
    stamp_ = window_ > 0 ? shown : bound_.count();
    allowed_ += cost_of_sweep();
    // With a window, bounds are computed anew at each pick: savings of earlier picks do not count.
    if (window_ > 0) allowed_ = std::min(allowed_, spent_);
    if (sweeping_)
      sweep();
    else if (window_ > 0)
      look_ahead();
  }
  /// Restarts the current pick after `start_chaining` or `start_sweeping`.
  void begin_again() {
    if (window_ == 0) return renew_all();
    if (!sweeping_) return look_ahead();
    sweep_window(bound_.shown());
  }

  /// The group with the largest bound, and the largest bound of group g.
  std::size_t find() const { return largest_.find(); }
  float largest(std::size_t g) const { return largest_[g]; }
  /// Excludes group g from `find` until `renew` or, with a window, until the next pick begins.
  void set_aside(std::size_t g) { largest_.set(g, none); }
  /// True if group g was compared with all picks (in the window): its bounds are up to date.
  bool current(std::size_t g) const { return stamps_[g] == stamp_; }
  /// True if comparing groups one by one has cost more than comparing all at once would have.
  bool wasteful() const { return !sweeping_ && spent_ > allowed_ + patience * cost_of_sweep(); }

  std::size_t begun() const { return begun_; }
  std::size_t places() const { return std::min(begun_ * width, units_.size()); }
  bool chained() const { return chained_; }

  float bound(std::size_t p) const { return bounds_[p]; }
  /// The bounds of group g, [width].
  const float* bounds(std::size_t g) const { return bounds_ + g * width; }
  float state(std::size_t p) const { return state_[p]; }
  double base_of(std::size_t place) const {
    return weight_ * static_cast<double>(relevance_[units_.item(place)]);
  }
  void lower(std::size_t p, float bound) { bounds_[p] = std::min(bounds_[p], bound); }
  /// Marks the score of the item at place p as final: no later pick changes it.
  void exhaust(std::size_t p) {
    exhausted_[p] = true;
    base_[p] = bounds_[p] = none;
  }
  bool exhausted(std::size_t p) const { return exhausted_[p]; }

  /// Removes the item at place p, which was just picked.
  void take(std::size_t p) {
    const std::size_t g = p / width;
    if (g >= begun_) return;
    base_[p] = bounds_[p] = none;
    if (window_ > 0)
      levels_.set_first(g, bound_before(g));
    else
      renew(g);
    if (!chained_) return;
    if (const std::size_t next = twins_.next(p); next != p) release(next, p);
  }

  /// Updates the largest bound of group g; for use without a window.
  void renew(std::size_t g) { largest_.set(g, largest_bound(g)); }

  /// Makes the next group; false if all its items are taken or come after an equal one.
  bool begin() {
    const std::size_t g = begun_++;
    units_.make(g);
    bound_.begin(g);
    std::fill_n(exhausted_ + g * width, width, false);
    stamps_[g] = 0;
    bool any = false;
    if (chained_) units_.make_keys(g, 1, products_);
    std::fill_n(base_ + g * width, width, none);
    std::fill_n(bounds_ + g * width, width, none);
    const std::size_t end = std::min((g + 1) * width, units_.size());
    for (std::size_t place = g * width; place < end; ++place) {
      if (taken_[units_.item(place)]) continue;
      if (chained_ && twins_.goes_behind(place, products_[place % width])) continue;
      base_[place] = rounded_up(base_of(place));
      bounds_[place] = -none;
      any = true;
    }
    if (window_ > 0) levels_.forget(g, bound_before(g));
    closed_[g] = !any;
    if (!any) largest_.set(g, none);
    announce();
    if (sweeping_ && any) catch_up(g);  // the next sweep continues from here
    return any;
  }

  /// Compares group g with further picks, until its stamp is `stamp_` or its bound is low.
  void hold(std::size_t g, double enough) {
    if (sweeping_)
      catch_up(g);
    else if (window_ == 0)
      hold_against_next(g);
    else
      hold_against_window(g, enough);
  }

  /// From now on, only the first of several items with equal vectors is considered.
  void start_chaining() {
    chained_ = true;
    twins_.clear();
    for (std::size_t g = 0; g < begun_; ++g) {
      if (g % chunk == 0) units_.make_keys(g, std::min(chunk, begun_ - g), products_);
      bool any = false;
      for (std::size_t p = g * width; p < std::min((g + 1) * width, units_.size()); ++p)
        if (!taken_[units_.item(p)] && twins_.goes_behind(p, products_[p % (chunk * width)])) {
          base_[p] = bounds_[p] = none;
          exhausted_[p] = false;
          any = true;
        }
      if (!any) continue;
      closed_[g] = !(max_lane(wide::load_unaligned(base_ + g * width)) > none);
      if (window_ > 0) levels_.set_first(g, bound_before(g));
    }
  }

  /// From now on, each new pick is compared with all items of the groups made so far.
  void start_sweeping() {
    sweeping_ = true;
    bound_.in_order_of_picks();
    if (window_ > 0) {
      swept_ = bound_.shown() - std::min(bound_.shown(), window_);
    } else {
      swept_ = bound_.count();
      for (std::size_t g = 0; g < begun_; ++g)
        while (!closed_[g] && stamps_[g] != swept_) hold_against_next(g);
    }
    sweep();
  }

 private:
  using wide = pack<Arch, float>;

  /// Considers the item at place p again: the equal one before it, at `twin`, was taken.
  void release(std::size_t p, std::size_t twin) {
    const std::size_t g = p / width;
    bound_.inherit(p, twin);
    base_[p] = rounded_up(base_of(p));
    const bool left_out = std::exchange(closed_[g], false);
    if (window_ > 0 && !sweeping_) {  // the state of its group is not valid for it
      stamps_[g] = 0;
      return levels_.forget(g, bound_before(g));
    }
    if (sweeping_ && left_out) catch_up(g);
    bounds_[p] = bound_of(p);
    renew(g);
  }

  /// Compares a group with all picks in the window that sweeps have skipped for it.
  void catch_up(std::size_t g) {
    if (window_ > 0) {
      hold_together(g, 1, bound_.shown() - std::min(bound_.shown(), window_));
      return renew(g);
    }
    while (stamps_[g] != stamp_) hold_against_next(g);
  }

  float largest_bound(std::size_t g) const { return max_lane(wide::load_unaligned(bounds(g))); }
  void renew_all() {
    largest_.assign(begun_, [&](std::size_t g) { return largest_bound(g); });
  }

  /// The bound of group g by relevance alone.
  float bound_before(std::size_t g) const {
    return max_lane(bound_.bound(wide::load_unaligned(base_ + g * width), bound_.start()));
  }

  wide known_state(std::size_t g) const {
    return stamps_[g] == 0 ? bound_.start() : wide::load_unaligned(state_ + g * width);
  }
  void keep(std::size_t g, const wide& state, std::size_t stamp) {
    state.store_unaligned(state_ + g * width);
    bound_.bound(wide::load_unaligned(base_ + g * width), state)
        .store_unaligned(bounds_ + g * width);
    stamps_[g] = stamp;
  }

  /// The bound of the item at place p by the products known for its group.
  float bound_of(std::size_t p) const {
    const std::size_t g = p / width;
    float bounds[width];
    bound_.bound(wide::load_unaligned(base_ + g * width), known_state(g)).store_unaligned(bounds);
    return bounds[p % width];
  }

  /// Sets the bound of the first group that is not made yet; later ones are less relevant.
  void announce() {
    if (begun_ < units_.groups())
      largest_.set(begun_, max_lane(bound_.bound(wide(rounded_up(base_of(begun_ * width))),
                                                 bound_.start())));
  }

  /// Computes the products of group g with directions [begin, end) of a block.
  void multiply(std::size_t g, std::size_t block, std::size_t begin, std::size_t end) {
    const std::size_t d = units_.cols();
    interleaved_dot_kernel(Arch{}, units_.group(g),
                           bound_.directions().data() + block * direction_block * d, d, begin, end,
                           products_);
    spent_ += (end - begin + 1) * (2 * d + 16) + 128;
  }

  /// The state of group g after the products with directions [begin, end) of a block.
  wide fold(wide state, std::size_t g, std::size_t block, std::size_t begin, std::size_t end) {
    multiply(g, block, begin, end);
    for (std::size_t s = begin; s < end; ++s)
      state = bound_.fold(state, wide::load_unaligned(products_ + s * width),
                          block * direction_block + s);
    return state;
  }

  void hold_against_next(std::size_t g) {
    const std::size_t block = stamps_[g] / direction_block;
    const std::size_t end = std::min(bound_.count() - block * direction_block, direction_block);
    keep(g, fold(known_state(g), g, block, stamps_[g] % direction_block, end),
         block * direction_block + end);
    renew(g);
  }

  /// Compares a group with the picks, the latest first, until its bound is below `enough`. The
  /// bound by the latest m picks stays valid until one of them leaves the window.
  void hold_against_window(std::size_t g, double enough) {
    float* levels = levels_.write(g, shown_, bound_.nested());
    const wide base = wide::load_unaligned(base_ + g * width);
    const wide highest(max_lane(base));
    const auto closed = base <= wide(none);
    wide state = bound_.start();
    const std::size_t count = bound_.count();
    std::size_t s = 0;
    while (s < count) {
      const std::size_t block = s / direction_block;
      const std::size_t end = std::min(count - s, direction_block);
      multiply(g, block, 0, end);
      float states[direction_block] = {};  // maxima over open lanes
      for (std::size_t i = 0; i < end; ++i, ++s) {
        state = bound_.fold(state, wide::load_unaligned(products_ + i * width), s);
        states[i] = max_lane(wide(select(closed, wide(none), state)));
      }
      // One call of `bound` per register of levels: neighbors differ little in relevance.
      for (std::size_t i = 0; i < direction_block; i += width)
        bound_.bound(highest, wide::load_unaligned(states + i)).store_unaligned(states + i);
      std::copy_n(states, end, levels + s + 1 - end);
      if (static_cast<double>(levels[s]) < enough) break;
    }
    if (s == count) {
      const wide last = bound_.bound(base, state);
      last.store_unaligned(bounds_ + g * width);
      levels[s] = max_lane(last);
      stamps_[g] = stamp_;
    }
    state.store_unaligned(state_ + g * width);
    std::fill(levels + s + 1, levels + window_ + 1, levels[s]);
    largest_.set(g, levels[s]);
  }

  /// Updates the bound of every group: picks that left the window no longer count.
  void look_ahead() {
    largest_.assign(begun_,
                    [&](std::size_t g) { return levels_.bound(g, shown_, bound_.nested()); });
  }

  /// Approximate cost of comparing all items with one pick.
  std::size_t cost_of_sweep() const {
    const std::size_t folding = window_ > 0 ? bound_.cost_of_folding(window_) : 0;
    return units_.groups() * (units_.cols() * 3 / 2 + 32 + Bound::cost_of_bound + folding);
  }

  /// Compares all open groups made so far with the picks since the last sweep.
  void sweep() {
    if (window_ == 0) {
      for (; swept_ < bound_.count(); ++swept_) sweep_direction(swept_);
    } else {
      sweep_window(swept_);
      swept_ = bound_.shown();
    }
  }

  void sweep_direction(std::size_t s) {
    const std::size_t d = units_.cols();
    bound_.directions().read(s, direction_);
    const bool last = s + 1 == bound_.count();
    for_each_open_run(closed_, begun_, chunk, [&](std::size_t from, std::size_t count) {
      interleaved_group_dot_kernel(Arch{}, units_.group(from), count, direction_, d, products_,
                                   width);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t at = (from + i) * width;
        const wide before = s == 0 ? bound_.start() : wide::load_unaligned(state_ + at);
        const wide state = bound_.fold(before, wide::load_unaligned(products_ + i * width), s);
        state.store_unaligned(state_ + at);
        stamps_[from + i] = s + 1;
        if (last)
          min(wide::load_unaligned(bounds_ + at),
              bound_.bound(wide::load_unaligned(base_ + at), state))
              .store_unaligned(bounds_ + at);
      }
    });
    if (last) renew_all();
  }

  void sweep_window(std::size_t first) {
    for_each_open_run(closed_, begun_, begun_, [&](std::size_t from, std::size_t count) {
      hold_together(from, count, first);
    });
    renew_all();
  }

  /// Compares `count` groups with picks [first, bound_.shown()), which are new to them.
  void hold_together(std::size_t from, std::size_t count, std::size_t first) {
    cosines_.add(units_, bound_, from, count, first);
    const auto keep_state = [&](std::size_t g, const wide& state) { keep(g, state, stamp_); };
    if (!bound_.steep()) return cosines_.for_each_state(bound_, from, count, keep_state);
    for (std::size_t g = from; g < from + count; ++g) keep_state(g, state_of(g));
  }

  /// The state of group g after the products with all directions.
  wide state_of(std::size_t g) {
    wide state = bound_.start();
    for (std::size_t s = 0; s < bound_.count(); s += direction_block)
      state = fold(state, g, s / direction_block, 0, std::min(bound_.count() - s, direction_block));
    return state;
  }

  static constexpr std::size_t patience = 2;  // extra cost allowed to the lazy method, in sweeps
  static constexpr std::size_t chunk = 16;    // groups, at most direction_block

  units& units_;
  Bound& bound_;
  std::span<const R> relevance_;
  double weight_;
  std::size_t window_;
  const bool* taken_;
  twin_chains<units> twins_;
  float* base_;          // weight * relevance of a place; none if it cannot be picked now
  float* state_;         // as of the group's stamp
  float* bounds_;        // as of the group's stamp
  std::size_t* stamps_;  // directions a group was compared with; with a window, picks shown then
  bound_maximum<Arch> largest_;
  float* products_;   // [direction_block + direction_slack][width]
  float* direction_;  // the direction of a sweep
  bool* exhausted_;
  bool* closed_;  // groups whose items are all taken or after an equal one; sweeps skip them
  window_levels levels_;
  window_cosines<Arch, Bound> cosines_;  // for sweeps
  std::size_t begun_ = 0;
  std::size_t shown_ = 0;
  std::size_t stamp_ = 0;
  bool chained_ = false;
  bool sweeping_ = false;
  std::size_t swept_ = 0;    // number of directions (with a window: picks) of past sweeps
  std::size_t spent_ = 0;    // approximate cost of products so far
  std::size_t allowed_ = 0;  // cost of sweeps instead
};

}  // namespace funnel::detail
