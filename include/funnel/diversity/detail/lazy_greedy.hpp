// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/detail/bound_maximum.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/group_bounds.hpp>
#include <funnel/diversity/detail/slate.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

// Greedy picks that look only at items that can win: those whose bound is above the best score known.
// What an item may still score follows from the picks it was held against before: without a window
// scores only fall, and with one those of the picks that are still in view are a part of all that
// are. Items are held against picks a register of lanes at a time, neighbors in relevance.
//
// Where too many bounds are (scores that tie, relevance that says little), it is cheaper to hold all
// items against every new pick at once: the eager method. The picks are the same either way.

namespace funnel::detail {

/// How items are held against picks: where they need it until that costs more than all at once, or
/// one of the two from the first pick to the last (for tests and measurements).
enum class scan { adaptive, lazy, eager };

/// Picks one item after another. `Bound` says what an item may score by its products with directions
/// that stand for the picks shown, in lanes of float:
///
///     start()                       the state before any product
///     fold(state, product, s)       the state after direction s
///     fold_cosines(...)             with a window, states from the cosines with the picks in it
///     bound(base, state)            no less than any score to come; base is weight * relevance
///     score(p, state, base)         an estimate in double of the score of the item at place p;
///     exact_score(p, base)          the score itself, where the estimate is not `exact`
///     begin(g)                      before anything else of group g
///     inherit(p, from)              the item at p has the vector of the one at `from`
///     exhausted(p)                  true if, with a base alone, the item at p keeps its last score
///
/// `show(item)` adds a pick; count() directions stand in directions(). With a window they are made
/// anew, the last pick's first or in_order_of_picks(), and nested() is false where bounds from fewer
/// picks may not hold, steep() where fold_cosines() says too little. spanned() is true where
/// relevance alone orders the items that have a direction, and those that have none.
template <class Arch, class R, class Bound>
class lazy_greedy {
 public:
  using units = typename Bound::units;

  lazy_greedy(units& items, Bound& bound, std::span<const R> relevance, double weight,
              std::size_t window, std::size_t picks, const bool* taken,
              std::span<const slate_rule> rules, scan how, arena& scratch)
      : units_(items), bound_(bound), window_(window), picks_(picks), taken_(taken), how_(how),
        groups_(items, bound, relevance, weight, window, taken, rules, scratch),
        first_exhausted_(items.size()), found_(scratch.allocate<candidate>(items.size())),
        parked_(scratch.allocate<std::size_t>(items.groups())) {
    if (how == scan::eager || (how == scan::adaptive && level(weight))) {
      while (groups_.begun() < units_.groups()) groups_.begin();
      groups_.start_sweeping();
    }
  }

  /// The place of the best open item behind `shown` picks; size() if none is open. Items are open
  /// if they are not taken and, unless it is null, `admitted`.
  std::size_t pick(std::size_t shown, const bool* admitted) {
    admitted_ = admitted;
    shown_ = shown;
    if (bound_.count() == 0) return first_open([](std::size_t) { return true; });
    groups_.begin_pick(shown);
    forget();
    if (bound_.spanned()) {
      while (groups_.begun() < units_.groups()) groups_.begin();
      offer_first([&](std::size_t p) { return units_.has_direction(p); });
      offer_first([&](std::size_t p) { return !units_.has_direction(p); });
    } else {
      look();
    }
    return winner();
  }

  /// Leaves the item at place p, now taken, out of account.
  void take(std::size_t p) { groups_.take(p); }

 private:
  struct candidate {
    std::size_t place;
    estimate of;
  };
  static constexpr std::size_t width = lanes<Arch, float>;
  static constexpr float none = bound_maximum<Arch>::none;
  static constexpr std::size_t looked_back = 4;  // offers among which copies are looked for

  bool open(std::size_t p) const {
    const std::size_t item = units_.item(p);
    return !taken_[item] && (admitted_ == nullptr || admitted_[item]);
  }

  /// True if the relevance of half of the items is so much alike that it rules out hardly any.
  bool level(double weight) const {
    const std::size_t n = units_.size();
    return n > 0 && groups_.base_of(0) - groups_.base_of(n / 2) <= .1 * (1 - weight);
  }

  template <class Wanted>
  std::size_t first_open(const Wanted& wanted) const {
    std::size_t p = 0;
    while (p < units_.size() && !(wanted(p) && open(p))) ++p;
    return p;
  }

  /// Nothing is known of scores.
  void forget() {
    found_count_ = passed_ = 0;
    enough_ = -std::numeric_limits<double>::infinity();
  }

  /// True if the item at place p can't be better than one that was offered lately: it has the same
  /// vector, and stands behind it.
  bool behind_offered(std::size_t p) const {
    for (std::size_t i = found_count_; i > 0 && i + looked_back > found_count_; --i) {
      const std::size_t other = found_[i - 1].place;
      if (other < p && groups_.state(other) == groups_.state(p) && units_.same(other, p))
        return true;
    }
    return false;
  }

  /// Scores the item at place p.
  const estimate& offer(std::size_t p) {
    candidate& offered = found_[found_count_++];
    offered = {p, bound_.score(p, groups_.state(p), groups_.base_of(p))};
    enough_ = std::max(enough_, offered.of.low());
    return offered.of;
  }
  template <class Wanted>
  void offer_first(const Wanted& wanted) {
    const std::size_t p = first_open(wanted);
    if (p < units_.size()) offer(p);
  }

  /// Forgets those offered that can't win; returns how many are left.
  std::size_t drop_beaten() {
    std::size_t left = 0;
    for (std::size_t i = 0; i < found_count_; ++i)
      if (found_[i].of.high() >= enough_) found_[left++] = found_[i];
    return found_count_ = left;
  }

  /// True if many were looked at that could win, or cost as much as if they could: they may be copies.
  /// Looking for all copies costs about 13 sweeps, and spares nearly all that are to come.
  bool many_may_win() {
    const std::size_t part = picks_ - shown_ > 13 ? 64 : 16;
    const std::size_t many = std::max(std::size_t{32}, units_.size() / part);
    if (found_count_ + passed_ < many) return false;
    return Bound::exact || drop_beaten() >= many;
  }

  /// The first of those offered whose score is the best or equal to it.
  std::size_t winner() {
    std::size_t left = drop_beaten();
    if constexpr (!Bound::exact) {
      if (left > 1) {
        left = drop_copies(left);
        enough_ = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < left; ++i) {
          const std::size_t p = found_[i].place;
          found_[i].of = {bound_.exact_score(p, groups_.base_of(p))};
          enough_ = std::max(enough_, found_[i].of.low());
        }
      }
    }
    std::size_t p = units_.size();
    for (std::size_t i = 0; i < left; ++i)
      if (found_[i].of.high() >= enough_) p = std::min(p, found_[i].place);
    return p;
  }

  /// Forgets those offered that have a copy before them, as far as it is found among the last kept;
  /// returns how many are left.
  std::size_t drop_copies(std::size_t count) {
    found_count_ = 0;
    for (std::size_t i = 0; i < count; ++i)
      if (!behind_offered(found_[i].place)) found_[found_count_++] = found_[i];
    return found_count_;
  }

  /// Begins a pick anew, after something was changed for good.
  void look_again() {
    forget();
    groups_.begin_again();
    look();
  }

  /// Offers every item that could win.
  void look() {
    offer_exhausted();
    std::size_t parked = 0;
    while (true) {
      const std::size_t g = groups_.find();
      if (!(groups_.largest(g) > none) || static_cast<double>(groups_.largest(g)) < enough_) break;
      if (g == groups_.begun() && !groups_.begin()) continue;
      if (!groups_.current(g)) {
        groups_.hold(g, enough_);
        if (how_ != scan::adaptive || !groups_.wasteful()) continue;
        groups_.start_sweeping();
        return look_again();
      }
      offer_group(g);
      parked_[parked++] = g;
      if (!groups_.chained() && many_may_win()) {
        groups_.start_chaining();
        return look_again();
      }
    }
    if (window_ == 0)
      for (std::size_t i = 0; i < parked; ++i) groups_.renew(parked_[i]);
  }

  /// Of the items that keep their last score the first is the best.
  void offer_exhausted() {
    const std::size_t places = groups_.places();
    while (first_exhausted_ < places &&
           (!groups_.exhausted(first_exhausted_) || taken_[units_.item(first_exhausted_)]))
      ++first_exhausted_;
    for (std::size_t p = first_exhausted_; p < places; ++p)
      if (groups_.exhausted(p) && open(p)) {
        offer(p);
        return;
      }
  }

  /// Offers the items of group g that could win, the one of the largest bound first.
  void offer_group(std::size_t g) {
    const float* bounds = groups_.bounds(g);
    const std::size_t first = first_equal<Arch>(bounds, largest_of<Arch, width>(bounds));
    offer_bounded(g * width + first);
    std::uint32_t lanes = lanes_that_reach<Arch>(enough_, bounds) & ~(std::uint32_t{1} << first);
    for (; lanes != 0; lanes &= lanes - 1)
      offer_bounded(g * width + static_cast<std::size_t>(std::countr_zero(lanes)));
    groups_.set_aside(g);
  }

  void offer_bounded(std::size_t p) {
    const float bound = groups_.bound(p);
    if (!(bound > none) || static_cast<double>(bound) < enough_ || !open(p)) return;
    if (Bound::exact && behind_offered(p)) {
      ++passed_;
      return;
    }
    const estimate& of = offer(p);
    if (window_ > 0) return;
    groups_.lower(p, rounded_up(of.high()));
    if (bound_.exhausted(p)) {
      groups_.exhaust(p);
      first_exhausted_ = std::min(first_exhausted_, p);
    }
  }

  units& units_;
  Bound& bound_;
  std::size_t window_;
  std::size_t picks_;  // all that are to be
  std::size_t shown_ = 0;
  const bool* taken_;
  scan how_;
  group_bounds<Arch, R, Bound> groups_;
  std::size_t first_exhausted_;
  candidate* found_;
  std::size_t found_count_ = 0;
  std::size_t passed_ = 0;  // not offered, as a copy was
  std::size_t* parked_;
  const bool* admitted_ = nullptr;
  double enough_ = 0;  // what a score must reach to be the best known, or equal to it
};

/// `pick_greedily` for scores that `bound` bounds.
template <class Arch, class R, class Options, class Bound>
std::size_t pick_lazily(std::span<const R> relevance, std::span<std::size_t> picked,
                        const Options& options, bool* taken, arena& scratch,
                        typename Bound::units& items, Bound& bound, scan how) {
  const std::size_t n = relevance.size();
  const std::size_t k = picked.size();
  if (k == options.given) return k;
  const std::size_t window = sliding_window(options.window, k);
  const std::size_t in_view = window == 0 ? options.given : std::min(window, options.given);
  for (std::size_t t = options.given - in_view; t < options.given; ++t) bound.show(picked[t]);

  slate page(options.rules, n, k, scratch);
  lazy_greedy<Arch, R, Bound> greedy(items, bound, relevance, options.relevance_weight, window, k,
                                     taken, options.rules, how, scratch);
  for (std::size_t t = options.given; t < k; ++t) {
    const bool* admitted = nullptr;
    if (!options.rules.empty()) {
      admitted = page.admit(picked.first(t), taken);
      if (admitted == nullptr) return t;
    }
    const std::size_t place = greedy.pick(t, admitted);
    std::size_t item = 0;
    if (place < items.size()) {
      item = items.item(place);
    } else {
      while (taken[item] || (admitted != nullptr && !admitted[item])) ++item;
    }
    picked[t] = item;
    taken[item] = true;
    if (place < items.size()) greedy.take(place);
    if (t + 1 < k) bound.show(item);
  }
  return k;
}

}  // namespace funnel::detail
