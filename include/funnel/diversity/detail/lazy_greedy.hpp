// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/detail/bound_maximum.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/ranked_units.hpp>
#include <funnel/diversity/detail/slate.hpp>
#include <funnel/diversity/detail/twin_chains.hpp>
#include <funnel/simd/lane_products.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

// Greedy picks that look only at items that can win. What an item may still score follows from the
// picks it was held against before: without a window scores only fall, and with one those of the
// picks that are still in view are a part of all that are. Items are held against picks a register
// of lanes at a time, neighbours in relevance, and only where the bound of one of them is above the
// best score known.
//
// Where too many bounds are (scores that tie, relevance that says little), it is cheaper to hold all
// items against every new pick at once: the eager method. The picks are the same either way.

namespace funnel::detail {

/// How items are held against picks: where they need it until that costs more than all at once, or
/// one of the two from the first pick to the last (for tests and measurements).
enum class scan { adaptive, lazy, eager };

/// Picks one item after another. `Bound` says what an item may score by its products with
/// directions that stand for the picks shown, in lanes of float:
///
///     start()                       the state before any product
///     fold(state, product, s)       the state after direction s
///     fold_cosines(...)             with a window, states from the cosines with the picks in it
///     bound(base, state)            no less than any score to come; base is weight * relevance
///     score(p, state, base)         an estimate in double of the score of the item at place p;
///     exact_score(p, base)          the score itself, where the estimate is not `exact`
///     begin(g)                      before anything else of group g
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
              std::size_t window, const bool* taken, std::span<const slate_rule> rules, scan how,
              arena& scratch)
      : units_(items), bound_(bound), relevance_(relevance), weight_(weight), window_(window),
        taken_(taken), rules_(rules), how_(how), twins_(items.size(), scratch),
        base_(scratch.allocate<float>(items.groups() * width)),
        state_(scratch.allocate<float>(items.groups() * width)),
        bounds_(scratch.allocate<float>(items.groups() * width)),
        stamps_(scratch.allocate<std::size_t>(items.groups())), largest_(items.groups(), scratch),
        products_(scratch.allocate<float>((direction_block + direction_slack) * width)),
        direction_(scratch.allocate<float>(items.cols())),
        exhausted_(scratch.allocate<bool>(items.groups() * width)), first_exhausted_(items.size()),
        found_(scratch.allocate<candidate>(items.size())),
        parked_(scratch.allocate<std::size_t>(items.groups())) {
    if (window > 0) {
      until_ = scratch.allocate<std::size_t>(items.groups());
      levels_ = scratch.allocate<float>(items.groups() * (window + 1));
      cosines_ = scratch.allocate<float>(items.groups() * window * width);
    }
    announce();
    if (how == scan::eager) {
      while (begun_ < units_.groups()) begin();
      start_sweeping();
    }
  }

  /// The place of the best open item behind `shown` picks; size() if none is open. Items are open
  /// if they are not taken and, unless it is null, `admitted`.
  std::size_t pick(std::size_t shown, const bool* admitted) {
    admitted_ = admitted;
    if (bound_.count() == 0) return first_open(0, [](std::size_t) { return true; });
    shown_ = shown;
    stamp_ = window_ > 0 ? shown : bound_.count();
    forget();
    if (bound_.spanned()) {
      while (begun_ < units_.groups()) begin();
      offer_first(0, [&](std::size_t p) { return units_.has_direction(p); });
      offer_first(0, [&](std::size_t p) { return !units_.has_direction(p); });
      return winner();
    }
    debt_ -= std::min(debt_, cost_of_sweep());
    if (sweeping_)
      sweep();
    else if (window_ > 0)
      look_ahead();
    look();
    return winner();
  }

  /// Leaves the item at place p, now taken, out of account.
  void take(std::size_t p) {
    const std::size_t g = p / width;
    if (g >= begun_) return;
    base_[p] = bounds_[p] = none;
    if (window_ > 0)
      levels_[g * (window_ + 1)] = bound_before(g);
    else
      renew(g);
    if (!chained_) return;
    if (const std::size_t next = twins_.next(p); next != p) release(next);
  }

 private:
  struct candidate {
    std::size_t place;
    estimate of;
  };
  using wide = pack<Arch, float>;
  static constexpr std::size_t width = lanes<Arch, float>;
  static constexpr float none = bound_maximum<Arch>::none;

  double base_of(std::size_t place) const {
    return weight_ * static_cast<double>(relevance_[units_.item(place)]);
  }

  bool open(std::size_t p) const {
    const std::size_t item = units_.item(p);
    return !taken_[item] && (admitted_ == nullptr || admitted_[item]);
  }

  template <class Wanted>
  std::size_t first_open(std::size_t from, const Wanted& wanted) const {
    while (from < units_.size() && !(wanted(from) && open(from))) ++from;
    return from;
  }

  /// Begins a pick: nothing is known of scores.
  void forget() {
    found_count_ = 0;
    enough_ = -std::numeric_limits<double>::infinity();
  }

  /// Scores the item at place p.
  const estimate& offer(std::size_t p) {
    candidate& offered = found_[found_count_++];
    offered = {p, bound_.score(p, state_[p], base_of(p))};
    enough_ = std::max(enough_, offered.of.low());
    return offered.of;
  }
  template <class Wanted>
  void offer_first(std::size_t from, const Wanted& wanted) {
    const std::size_t p = first_open(from, wanted);
    if (p < units_.size()) offer(p);
  }

  /// The first of those offered whose score is the best or equal to it.
  std::size_t winner() {
    std::size_t left = 0;
    for (std::size_t i = 0; i < found_count_; ++i)
      if (found_[i].of.high() >= enough_) found_[left++] = found_[i];
    if constexpr (!Bound::exact) {
      if (left > 1) {
        enough_ = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i < left; ++i) {
          const std::size_t p = found_[i].place;
          found_[i].of = {bound_.exact_score(p, base_of(p))};
          enough_ = std::max(enough_, found_[i].of.low());
        }
      }
    }
    std::size_t p = units_.size();
    for (std::size_t i = 0; i < left; ++i)
      if (found_[i].of.high() >= enough_) p = std::min(p, found_[i].place);
    return p;
  }

  /// Begins a pick anew, after something was changed for good.
  void look_again() {
    forget();
    if (window_ == 0)
      for (std::size_t g = 0; g < begun_; ++g) renew(g);
    else if (sweeping_)
      sweep_from(0, begun_, bound_.shown());
    else
      look_ahead();
    look();
  }

  /// Offers every item that could win.
  void look() {
    const std::size_t made = std::min(begun_ * width, units_.size());
    while (first_exhausted_ < made &&
           (!exhausted_[first_exhausted_] || taken_[units_.item(first_exhausted_)]))
      ++first_exhausted_;
    for (std::size_t p = first_exhausted_; p < made; ++p)
      if (exhausted_[p] && open(p)) {
        offer(p);
        break;
      }
    std::size_t parked = 0;
    while (true) {
      const std::size_t g = largest_.find();
      if (!(largest_[g] > none) || static_cast<double>(largest_[g]) < enough_) break;
      if (g == begun_ && !begin()) continue;
      if (stamps_[g] != stamp_) {
        hold(g);
        if (sweeping_ || how_ != scan::adaptive || debt_ <= patience * cost_of_sweep()) continue;
        start_sweeping();
        return look_again();
      }
      offer_group(g);
      parked_[parked++] = g;
      if (!chained_ && found_count_ >= many_found) {
        start_chaining();
        return look_again();
      }
    }
    if (window_ == 0)
      for (std::size_t i = 0; i < parked; ++i) renew(parked_[i]);
  }

  /// Offers the items of group g that could win, the one of the largest bound first.
  void offer_group(std::size_t g) {
    const std::size_t end = std::min((g + 1) * width, units_.size());
    std::size_t first = g * width;
    for (std::size_t p = first + 1; p < end; ++p)
      if (bounds_[p] > bounds_[first]) first = p;
    offer_bounded(first);
    for (std::size_t p = g * width; p < end; ++p)
      if (p != first) offer_bounded(p);
    largest_.set(g, none);
  }

  void offer_bounded(std::size_t p) {
    if (!(bounds_[p] > none) || static_cast<double>(bounds_[p]) < enough_ || !open(p)) return;
    const estimate& of = offer(p);
    if (window_ > 0) return;
    bounds_[p] = std::min(bounds_[p], rounded_up(of.high()));
    if (bound_.exhausted(p)) {
      exhausted_[p] = true;
      base_[p] = bounds_[p] = none;
      first_exhausted_ = std::min(first_exhausted_, p);
    }
  }

  /// Takes the item at place p, whose twin before it is taken, into account.
  void release(std::size_t p) {
    const std::size_t g = p / width;
    base_[p] = rounded_up(base_of(p));
    if (window_ > 0) {  // nothing is known of its group then
      until_[g] = stamps_[g] = 0;
      levels_[g * (window_ + 1)] = bound_before(g);
    } else {
      bounds_[p] = bound_of(p);
      renew(g);
    }
  }

  /// The largest bound of group g again, without a window.
  void renew(std::size_t g) {
    largest_.set(g, max_lane(wide::load_unaligned(bounds_ + g * width)));
  }

  /// The bound of group g before any product.
  float bound_before(std::size_t g) const {
    return max_lane(bound_.bound(wide::load_unaligned(base_ + g * width), bound_.start()));
  }

  /// The bound of the item at place p from the products its group knows, without a window.
  float bound_of(std::size_t p) const {
    const std::size_t g = p / width;
    const wide state = stamps_[g] == 0 ? bound_.start() : wide::load_unaligned(state_ + g * width);
    float bounds[width];
    bound_.bound(wide::load_unaligned(base_ + g * width), state).store_unaligned(bounds);
    return bounds[p % width];
  }

  /// Tells of the first group that is not made yet: all behind it are less relevant.
  void announce() {
    if (begun_ < units_.groups())
      largest_.set(begun_, max_lane(bound_.bound(wide(rounded_up(base_of(begun_ * width))),
                                                 bound_.start())));
  }

  /// True if both places have the same labels, so that rules admit both or neither.
  bool same_labels(std::size_t p, std::size_t q) const {
    return std::all_of(rules_.begin(), rules_.end(), [&](const slate_rule& rule) {
      return rule.labels[units_.item(p)] == rule.labels[units_.item(q)];
    });
  }

  /// Adds an open place to the chains; true if it goes behind one that is open.
  bool behind_twin(std::size_t place) {
    const std::size_t twin = twins_.add(place, units_.key(place), [&](std::size_t q) {
      return units_.same(place, q) && same_labels(place, q);
    });
    return twin != place && !taken_[units_.item(twin)];
  }

  /// From now on only the first of items with the same vector is looked at.
  void start_chaining() {
    chained_ = true;
    twins_.clear();
    for (std::size_t g = 0; g < begun_; ++g) {
      bool any = false;
      for (std::size_t p = g * width; p < std::min((g + 1) * width, units_.size()); ++p)
        if (!taken_[units_.item(p)] && behind_twin(p)) {
          base_[p] = bounds_[p] = none;
          exhausted_[p] = false;
          any = true;
        }
      if (any && window_ > 0) levels_[g * (window_ + 1)] = bound_before(g);
    }
  }

  /// Makes the next group; false if all its items are taken or behind a twin.
  bool begin() {
    const std::size_t g = begun_++;
    units_.make(g);
    bound_.begin(g);
    std::fill_n(exhausted_ + g * width, width, false);
    stamps_[g] = 0;
    bool any = false;
    for (std::size_t place = g * width; place < (g + 1) * width; ++place) {
      base_[place] = bounds_[place] = none;
      if (place >= units_.size() || taken_[units_.item(place)]) continue;
      if (chained_ && behind_twin(place)) continue;
      base_[place] = rounded_up(base_of(place));
      bounds_[place] = -none;
      any = true;
    }
    if (window_ > 0) {
      until_[g] = 0;
      levels_[g * (window_ + 1)] = bound_before(g);
    }
    if (!any) largest_.set(g, none);
    announce();
    if (sweeping_) hold(g);  // the next sweep goes on from here
    return any;
  }

  /// Brings group g nearer to `stamp_`, the picks it is to be held against.
  void hold(std::size_t g) {
    if (window_ == 0)
      hold_against_next(g);
    else if (sweeping_)
      sweep_from(g, 1, bound_.shown() - std::min(bound_.shown(), window_));
    else
      hold_against_window(g);
    while (sweeping_ && stamps_[g] != stamp_) hold_against_next(g);
  }

  /// The products of group g with directions [begin, end) of a block.
  void multiply(std::size_t g, std::size_t block, std::size_t begin, std::size_t end) {
    const std::size_t d = units_.cols();
    lane_products_kernel(Arch{}, units_.group(g),
                         bound_.directions().data() + block * direction_block * d, d, begin, end,
                         products_);
    debt_ += (end - begin + 3) * (2 * d + 16) + 128;
  }

  void hold_against_next(std::size_t g) {
    const std::size_t block = stamps_[g] / direction_block;
    const std::size_t begin = stamps_[g] % direction_block;
    const std::size_t end = std::min(bound_.count() - block * direction_block, direction_block);
    multiply(g, block, begin, end);
    wide state = stamps_[g] == 0 ? bound_.start() : wide::load_unaligned(state_ + g * width);
    for (std::size_t s = begin; s < end; ++s)
      state = bound_.fold(state, wide::load_unaligned(products_ + s * width),
                          block * direction_block + s);
    state.store_unaligned(state_ + g * width);
    bound_.bound(wide::load_unaligned(base_ + g * width), state)
        .store_unaligned(bounds_ + g * width);
    stamps_[g] = block * direction_block + end;
    renew(g);
  }

  /// From the last pick back, as far as it takes to rule the group out. What is known then of the
  /// last m picks bounds the group until one of them leaves the window.
  void hold_against_window(std::size_t g) {
    float* levels = levels_ + g * (window_ + 1);
    const wide base = wide::load_unaligned(base_ + g * width);
    const wide highest(max_lane(base));
    const auto closed = base < wide(std::numeric_limits<float>::lowest());
    wide state = bound_.start();
    const std::size_t count = bound_.count();
    std::size_t s = 0;
    while (s < count) {
      const std::size_t block = s / direction_block;
      const std::size_t end = std::min(count - s, direction_block);
      multiply(g, block, 0, end);
      float states[direction_block] = {};  // the largest of open lanes
      for (std::size_t i = 0; i < end; ++i, ++s) {
        state = bound_.fold(state, wide::load_unaligned(products_ + i * width), s);
        states[i] = max_lane(wide(select(closed, wide(none), state)));
      }
      // One logarithm for as many levels as there are lanes: neighbours differ little in relevance.
      for (std::size_t i = 0; i < direction_block; i += width)
        bound_.bound(highest, wide::load_unaligned(states + i)).store_unaligned(states + i);
      std::copy_n(states, end, levels + s + 1 - end);
      if (static_cast<double>(levels[s]) < enough_) break;
    }
    if (s == count) {
      const wide last = bound_.bound(base, state);
      last.store_unaligned(bounds_ + g * width);
      levels[s] = max_lane(last);
      stamps_[g] = stamp_;
    }
    state.store_unaligned(state_ + g * width);
    std::fill(levels + s + 1, levels + window_ + 1, levels[s]);
    until_[g] = bound_.nested() ? shown_ + window_ : 0;
    largest_.set(g, levels[s]);
  }

  /// Takes from every group's bound the picks that have left the window.
  void look_ahead() {
    largest_.assign(begun_, [&](std::size_t g) {
      const std::size_t in_view =
          bound_.nested() && until_[g] > shown_ ? until_[g] - shown_ : std::size_t{0};
      return levels_[g * (window_ + 1) + in_view];
    });
  }

  /// About what it costs to hold all items against one pick.
  std::size_t cost_of_sweep() const {
    const std::size_t folding = window_ > 0 ? bound_.cost_of_folding(window_) : 0;
    return units_.groups() * (units_.cols() * 3 / 2 + 32 + Bound::cost_of_bound + folding);
  }

  /// From now on every item that was looked at is held against every pick at once.
  void start_sweeping() {
    sweeping_ = true;
    bound_.in_order_of_picks();
    if (window_ > 0) {
      swept_ = bound_.shown() - std::min(bound_.shown(), window_);
    } else {
      swept_ = bound_.count();
      for (std::size_t g = 0; g < begun_; ++g)
        while (stamps_[g] != swept_) hold_against_next(g);
    }
    sweep();
  }

  /// Holds all groups made so far against the picks shown since the last time.
  void sweep() {
    if (window_ == 0) {
      for (; swept_ < bound_.count(); ++swept_) sweep_direction(swept_);
    } else {
      sweep_from(0, begun_, swept_);
      swept_ = bound_.shown();
    }
  }

  void sweep_direction(std::size_t s) {
    const std::size_t d = units_.cols();
    bound_.directions().read(s, direction_);
    const bool last = s + 1 == bound_.count();
    for (std::size_t from = 0; from < begun_; from += chunk) {
      const std::size_t count = std::min(chunk, begun_ - from);
      group_products_kernel(Arch{}, units_.group(from), count, direction_, d, products_, width);
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
    }
    if (last)
      largest_.assign(begun_, [&](std::size_t g) {
        return max_lane(wide::load_unaligned(bounds_ + g * width));
      });
  }

  /// Holds `count` groups against picks [first, bound_.shown()), whose cosines they don't know yet.
  void sweep_from(std::size_t from, std::size_t count, std::size_t first) {
    const std::size_t d = units_.cols();
    const std::size_t room = window_ * width;
    for (std::size_t t = first; t < bound_.shown(); ++t)
      group_products_kernel(Arch{}, units_.group(from), count, bound_.unit(t), d,
                            cosines_ + from * room + t % window_ * width, room);
    const std::size_t in_view = std::min(bound_.shown(), window_);
    constexpr std::size_t at_once = 4;
    wide states[at_once];
    for (std::size_t g = from; g < from + count;) {
      const bool many = !bound_.steep() && g + at_once <= from + count;
      if (bound_.steep())
        states[0] = state_of(g);
      else if (many)
        bound_.template fold_cosines<at_once>(cosines_ + g * room, room, in_view, states);
      else
        bound_.template fold_cosines<1>(cosines_ + g * room, room, in_view, states);
      for (std::size_t i = 0; i < (many ? at_once : 1); ++i, ++g) {
        states[i].store_unaligned(state_ + g * width);
        bound_.bound(wide::load_unaligned(base_ + g * width), states[i])
            .store_unaligned(bounds_ + g * width);
        stamps_[g] = stamp_;
      }
    }
    if (count == 1)
      renew(from);
    else
      largest_.assign(count, [&](std::size_t g) {
        return max_lane(wide::load_unaligned(bounds_ + g * width));
      });
  }

  /// The state of group g from its products with all directions.
  wide state_of(std::size_t g) {
    wide state = bound_.start();
    for (std::size_t s = 0; s < bound_.count(); s += direction_block) {
      const std::size_t end = std::min(bound_.count() - s, direction_block);
      multiply(g, s / direction_block, 0, end);
      for (std::size_t i = 0; i < end; ++i)
        state = bound_.fold(state, wide::load_unaligned(products_ + i * width), s + i);
    }
    return state;
  }

  static constexpr std::size_t patience = 3;  // sweeps that laziness may cost beyond those it saves
  static constexpr std::size_t many_found = 32;  // items that could win: they may be copies
  static constexpr std::size_t chunk = 16;       // groups, whose products stay in the first cache
  static_assert(chunk <= direction_block);

  units& units_;
  Bound& bound_;
  std::span<const R> relevance_;
  double weight_;
  std::size_t window_;
  const bool* taken_;
  std::span<const slate_rule> rules_;
  scan how_;
  twin_chains twins_;
  float* base_;          // of every place in groups begun; none if it can't be picked yet, or ever
  float* state_;         // as of the group's stamp
  float* bounds_;        // as of the group's stamp
  std::size_t* stamps_;  // directions a group was held against; with a window, picks shown then
  bound_maximum<Arch> largest_;
  float* products_;   // [direction_block + direction_slack][width]
  float* direction_;  // the one that a sweep holds all against
  bool* exhausted_;
  std::size_t first_exhausted_;
  candidate* found_;
  std::size_t found_count_ = 0;
  std::size_t* parked_;
  std::size_t* until_ = nullptr;  // picks shown when the last pick a level knows leaves the window
  float* levels_ = nullptr;       // [groups][window + 1] bounds from the last 0, 1, ... picks
  float* cosines_ = nullptr;      // [groups][window][width] where all are held at once
  const bool* admitted_ = nullptr;
  std::size_t begun_ = 0;
  std::size_t shown_ = 0;
  std::size_t stamp_ = 0;
  double enough_ = 0;
  bool chained_ = false;
  bool sweeping_ = false;
  std::size_t swept_ = 0;  // directions, or with a window picks, that all groups were held against
  std::size_t debt_ = 0;   // about what was spent on products beyond what sweeps would have cost
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
  lazy_greedy<Arch, R, Bound> greedy(items, bound, relevance, options.relevance_weight, window,
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
