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

// Lazy greedy search: finds the next pick by scoring only items that can win, those whose upper
// bound reaches the best score found. The upper bound of an item follows from the picks it was
// compared with so far. Without a window, more picks only lower a score, so an old bound stays
// valid. With a window, the bound by those of the compared picks that are still in the window stays
// valid, because they are a subset of all picks in it. Items are compared with picks in groups, one
// register of lanes at a time; a group holds neighbors in relevance. The place of an item is its
// rank by relevance; an item is offered when it is scored and becomes a candidate for the next
// pick.
//
// If too many bounds reach the best score (scores that tie, relevance that differs little), it is
// cheaper to compare all items with every new pick at once (a sweep): the eager method. The picks
// are the same either way.

namespace funnel::detail {

/// How items are compared with picks: lazily until that costs more than the eager method
/// (adaptive), or by one of the two methods throughout (for tests and measurements).
enum class scan { adaptive, lazy, eager };

/// Picks one item after another. `Bound` computes upper bounds of scores, in lanes of float, from
/// the inner products of items with directions that represent the picks so far:
///
///     start()                       the state before any product
///     fold(state, product, s)       the state after the product with direction s
///     fold_cosines(...)             with a window: states from the cosines with its picks
///     bound(base, state)            upper bound of all later scores; base is weight * relevance
///     score(p, state, base)         estimate in double of the score of the item at place p
///     exact_score(p, base)          the score itself, for a `Bound` whose estimate is not `exact`
///     begin(g)                      called before anything else for group g
///     inherit(p, from)              the item at p has the same vector as the one at `from`
///     exhausted(p)                  true if no later pick changes the score of the item at p
/// `show(item)` adds a pick; directions() holds count() directions. With a window they are computed
/// anew at each pick, the last pick first or, after in_order_of_picks(), the oldest first. nested()
/// is false if bounds from fewer picks may be invalid; steep() is true if the bounds of
/// fold_cosines() are too loose. spanned() is true if relevance alone orders the items with a
/// direction, and likewise those without.
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

  /// The place of the best open item after `shown` picks; size() if none is open. An item is open
  /// if it is not taken and it is marked in `admitted` (null: all are).
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

  /// Removes the item at place p, which was just picked.
  void take(std::size_t p) { groups_.take(p); }

 private:
  struct candidate {
    std::size_t place;
    estimate of;
  };
  static constexpr std::size_t width = lanes<Arch, float>;
  static constexpr float none = bound_maximum<Arch>::none;
  static constexpr std::size_t looked_back = 4;  // number of last offers searched for copies

  bool open(std::size_t p) const {
    const std::size_t item = units_.item(p);
    return !taken_[item] && (admitted_ == nullptr || admitted_[item]);
  }

  /// True if the relevance of the upper half of the items differs so little that bounds rule out
  /// few of them.
  bool level(double weight) const {
    const std::size_t n = units_.size();
    return n > 0 && groups_.base_of(0) - groups_.base_of(n / 2) <= .1 * (1 - weight);
  }

  /// The first open place with `wanted(p)`; size() if there is none.
  template <class Wanted>
  std::size_t first_open(const Wanted& wanted) const {
    std::size_t p = 0;
    while (p < units_.size() && !(wanted(p) && open(p))) ++p;
    return p;
  }

  /// Discards all scores.
  void forget() {
    found_count_ = passed_ = 0;
    enough_ = -std::numeric_limits<double>::infinity();
  }

  /// True if the item at place p cannot be better than one of the last offers, because it has the
  /// same vector and comes later.
  bool behind_offered(std::size_t p) const {
    for (std::size_t i = found_count_; i > 0 && i + looked_back > found_count_; --i) {
      const std::size_t other = found_[i - 1].place;
      if (other < p && groups_.state(other) == groups_.state(p) && units_.same(other, p))
        return true;
    }
    return false;
  }

  /// Scores the item at place p and makes it a candidate.
  const estimate& offer(std::size_t p) {
    candidate& offered = found_[found_count_++];
    offered = {p, bound_.score(p, groups_.state(p), groups_.base_of(p))};
    enough_ = std::max(enough_, offered.of.low());
    return offered.of;
  }
  /// Offers the first open item with `wanted(p)`.
  template <class Wanted>
  void offer_first(const Wanted& wanted) {
    const std::size_t p = first_open(wanted);
    if (p < units_.size()) offer(p);
  }

  /// Drops candidates that cannot win; returns how many are left.
  std::size_t drop_beaten() {
    std::size_t left = 0;
    for (std::size_t i = 0; i < found_count_; ++i)
      if (found_[i].of.high() >= enough_) found_[left++] = found_[i];
    return found_count_ = left;
  }

  /// True if there are many candidates that can still win or, for an `exact` bound, that were
  /// scored at all: they may be copies. A search for all copies costs about 13 sweeps, and saves
  /// nearly all later ones.
  bool many_may_win() {
    const std::size_t part = picks_ - shown_ > 13 ? 64 : 16;
    const std::size_t many = std::max(std::size_t{32}, units_.size() / part);
    if (found_count_ + passed_ < many) return false;
    return Bound::exact || drop_beaten() >= many;
  }

  /// The first candidate whose score is the best or equal to the best.
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

  /// Drops candidates that have a copy among the last few before them; returns how many are left.
  std::size_t drop_copies(std::size_t count) {
    found_count_ = 0;
    for (std::size_t i = 0; i < count; ++i)
      if (!behind_offered(found_[i].place)) found_[found_count_++] = found_[i];
    return found_count_;
  }

  /// Restarts a pick, after a switch to chains or sweeps.
  void look_again() {
    forget();
    groups_.begin_again();
    look();
  }

  /// Offers every item that can win.
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

  /// Offers the first open item whose score is final: it is the best of these.
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

  /// Offers the items of group g that can win, the one with the largest bound first.
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
  std::size_t picks_;  // number of all picks of the page
  std::size_t shown_ = 0;
  const bool* taken_;
  scan how_;
  group_bounds<Arch, R, Bound> groups_;
  std::size_t first_exhausted_;
  candidate* found_;
  std::size_t found_count_ = 0;
  std::size_t passed_ = 0;  // items not offered because a copy was
  std::size_t* parked_;
  const bool* admitted_ = nullptr;
  double enough_ = 0;  // what a score must reach to equal or exceed the best
};

/// Same as `pick_greedily`, with the lazy search; `bound` provides the scores and their bounds.
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
