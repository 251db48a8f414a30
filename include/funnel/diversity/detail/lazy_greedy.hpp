// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/ranked_units.hpp>
#include <funnel/diversity/detail/slate.hpp>
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

namespace funnel::detail {

/// `value`, or a little more in S.
template <class S>
S rounded_up(double value) {
  constexpr double ulps = 8 * static_cast<double>(std::numeric_limits<S>::epsilon());
  return static_cast<S>(std::max(value + ulps * std::abs(value),
                                 static_cast<double>(std::numeric_limits<S>::lowest())));
}

/// The largest of many bounds that change one at a time.
template <class Arch, class S>
class bound_maximum {
 public:
  static constexpr S none = -std::numeric_limits<S>::infinity();

  bound_maximum(std::size_t count, arena& scratch)
      : bounds_(scratch.allocate<S>(padded(count))),
        blocks_(scratch.allocate<S>(padded(count) / block)) {
    std::fill_n(bounds_, padded(count), none);
    std::fill_n(blocks_, padded(count) / block, none);
  }

  S operator[](std::size_t g) const { return bounds_[g]; }

  void set(std::size_t g, S bound) {
    used_ = std::max(used_, g / block + 1);
    bounds_[g] = bound;
    renew(g / block);
  }

  /// Sets bound g to `bound(g)`, for g < count.
  template <class F>
  void assign(std::size_t count, const F& bound) {
    for (std::size_t g = 0; g < count; ++g) bounds_[g] = bound(g);
    for (std::size_t b = 0; b < used_; ++b) renew(b);
  }

  /// The place of the largest, the first of equals.
  std::size_t find() const {
    std::size_t best = 0;
    for (std::size_t b = 1; b < used_; ++b)
      if (blocks_[b] > blocks_[best]) best = b;
    std::size_t g = best * block;
    while (bounds_[g] != blocks_[best]) ++g;
    return g;
  }

 private:
  void renew(std::size_t b) { blocks_[b] = largest_of<Arch, block>(bounds_ + b * block); }

  static constexpr std::size_t block = 16;
  static std::size_t padded(std::size_t count) { return (count / block + 1) * block; }

  S* bounds_;
  S* blocks_;  // the largest of each block
  std::size_t used_ = 1;
};

/// Picks one item after another. `Bound` says what an item may score by its products with
/// directions that stand for the picks shown, in lanes of type `Bound::value`:
///
///     start()                   the state before any product
///     fold(state, product, s)   the state after direction s
///     bound(base, state)        no less than any score to come; base is weight * relevance
///     score(p, state, base)     in double, the score of the item at place p
///     exhausted(p)              true if, with a base alone, the item at p keeps its last score
///
/// `show(item)` adds a pick's direction; the first count() stand at directions(), in blocks of
/// `direction_block`. With a window they are made anew, the last pick's first, and nested() is
/// false where some pick has none, so that bounds from fewer picks may not hold. spanned() is true
/// where relevance alone orders the items that have a direction, and those that have none.
template <class Arch, class T, class Bound>
class lazy_greedy {
 public:
  using number = typename Bound::value;
  using units = ranked_units<Arch, T, number>;

  lazy_greedy(units& items, Bound& bound, std::span<const T> relevance, double weight,
              std::size_t window, const bool* taken, arena& scratch)
      : units_(items), bound_(bound), relevance_(relevance), weight_(weight), window_(window),
        taken_(taken), base_(scratch.allocate<number>(items.groups() * width)),
        state_(scratch.allocate<number>(items.groups() * width)),
        bounds_(scratch.allocate<number>(items.groups() * width)),
        stamps_(scratch.allocate<std::size_t>(items.groups())), largest_(items.groups(), scratch),
        products_(scratch.allocate<number>((direction_block + direction_slack) * width)),
        exhausted_(scratch.allocate<bool>(items.size())), first_exhausted_(items.size()),
        found_(scratch.allocate<candidate>(items.size())),
        parked_(scratch.allocate<std::size_t>(items.groups())) {
    std::fill_n(stamps_, items.groups(), std::size_t{0});
    std::fill_n(exhausted_, items.size(), false);
    if (window > 0) {
      until_ = scratch.allocate<std::size_t>(items.groups());
      levels_ = scratch.allocate<number>(items.groups() * (window + 1));
    }
    announce();
  }

  /// The place of the best open item behind `shown` picks; size() if none is open. Items are open
  /// if they are not taken and, unless it is null, `admitted`.
  std::size_t pick(std::size_t shown, const bool* admitted) {
    const auto open = [&](std::size_t p) {
      const std::size_t item = units_.item(p);
      return !taken_[item] && (admitted == nullptr || admitted[item]);
    };
    if (bound_.count() == 0) return first_open(0, open, [](std::size_t) { return true; });

    shown_ = shown;
    const std::size_t stamp = window_ > 0 ? shown : bound_.count();
    double best = -std::numeric_limits<double>::infinity();
    enough_ = best;
    std::size_t found = 0;
    std::size_t parked = 0;
    const auto offer = [&](std::size_t p) {
      const double score = bound_.score(p, state_[p], base_of(p));
      found_[found++] = {p, score};
      best = std::max(best, score);
      enough_ = best - score_tie * std::max(1.0, std::abs(best));
      return score;
    };
    const auto offer_first = [&](std::size_t from, const auto& wanted) {
      const std::size_t p = first_open(from, open, wanted);
      if (p < units_.size()) offer(p);
    };
    const auto winner = [&] {
      std::size_t p = units_.size();
      for (std::size_t i = 0; i < found; ++i)
        if (found_[i].score >= enough_) p = std::min(p, found_[i].place);
      return p;
    };
    if (bound_.spanned()) {
      while (begun_ < units_.groups()) begin();
      offer_first(0, [&](std::size_t p) { return units_.has_direction(p); });
      offer_first(0, [&](std::size_t p) { return !units_.has_direction(p); });
      return winner();
    }
    offer_first(first_exhausted_, [&](std::size_t p) { return exhausted_[p]; });
    if (window_ > 0) look_ahead();
    while (true) {
      const std::size_t g = largest_.find();
      if (!(largest_[g] > none) || static_cast<double>(largest_[g]) < enough_) break;
      if (g == begun_) begin();
      if (stamps_[g] != stamp) {
        hold(g, stamp);
        continue;
      }
      const std::size_t end = std::min((g + 1) * width, units_.size());
      for (std::size_t p = g * width; p < end; ++p) {
        if (static_cast<double>(bounds_[p]) < enough_ || !open(p)) continue;
        const double score = offer(p);
        if (window_ > 0) continue;
        bounds_[p] = std::min(bounds_[p], rounded_up<number>(score));
        if (bound_.exhausted(p)) {
          exhausted_[p] = true;
          base_[p] = bounds_[p] = none;
          first_exhausted_ = std::min(first_exhausted_, p);
        }
      }
      largest_.set(g, none);
      parked_[parked++] = g;
    }
    if (window_ == 0)
      for (std::size_t i = 0; i < parked; ++i) renew(parked_[i]);

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
  }

 private:
  struct candidate {
    std::size_t place;
    double score;
  };
  using wide = pack<Arch, number>;
  static constexpr std::size_t width = lanes<Arch, number>;
  static constexpr number none = bound_maximum<Arch, number>::none;

  double base_of(std::size_t place) const {
    return weight_ * static_cast<double>(relevance_[units_.item(place)]);
  }

  template <class Open, class Wanted>
  std::size_t first_open(std::size_t from, const Open& open, const Wanted& wanted) const {
    while (from < units_.size() && !(wanted(from) && open(from))) ++from;
    return from;
  }

  void renew(std::size_t g) {
    largest_.set(g, max_lane(wide::load_unaligned(bounds_ + g * width)));
  }

  /// The bound of group g before any product.
  number bound_before(std::size_t g) const {
    return max_lane(bound_.bound(wide::load_unaligned(base_ + g * width), bound_.start()));
  }

  /// Tells of the first group that is not made yet: all behind it are less relevant.
  void announce() {
    if (begun_ < units_.groups())
      largest_.set(begun_, max_lane(bound_.bound(wide(rounded_up<number>(base_of(begun_ * width))),
                                                 bound_.start())));
  }

  void begin() {
    const std::size_t g = begun_++;
    units_.make(g);
    for (std::size_t place = g * width; place < (g + 1) * width; ++place)
      base_[place] = place < units_.size() && !taken_[units_.item(place)]
                         ? rounded_up<number>(base_of(place))
                         : none;
    if (window_ > 0) {
      until_[g] = 0;
      levels_[g * (window_ + 1)] = bound_before(g);
    }
    announce();
  }

  /// Brings group g nearer to `stamp`, the picks it is to be held against.
  void hold(std::size_t g, std::size_t stamp) {
    if (window_ > 0)
      hold_against_window(g, stamp);
    else
      hold_against_next(g);
  }

  /// The products of group g with directions [begin, end) of a block.
  void multiply(std::size_t g, std::size_t block, std::size_t begin, std::size_t end) {
    const std::size_t d = units_.cols();
    lane_products_kernel(Arch{}, units_.group(g), bound_.directions() + block * direction_block * d,
                         d, begin, end, products_);
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
  void hold_against_window(std::size_t g, std::size_t stamp) {
    number* levels = levels_ + g * (window_ + 1);
    const wide base = wide::load_unaligned(base_ + g * width);
    const wide highest(max_lane(base));
    const auto closed = base < wide(std::numeric_limits<number>::lowest());
    wide state = bound_.start();
    const std::size_t count = bound_.count();
    std::size_t s = 0;
    while (s < count) {
      const std::size_t block = s / direction_block;
      const std::size_t end = std::min(count - s, direction_block);
      multiply(g, block, 0, end);
      number states[direction_block] = {};  // the largest of open lanes
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
    }
    if (s == count) stamps_[g] = stamp;
    state.store_unaligned(state_ + g * width);
    std::fill(levels + s + 1, levels + window_ + 1, levels[s]);
    until_[g] = shown_ + window_;
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

  units& units_;
  Bound& bound_;
  std::span<const T> relevance_;
  double weight_;
  std::size_t window_;
  const bool* taken_;
  number* base_;         // of every place in groups begun
  number* state_;        // as of the group's stamp
  number* bounds_;       // as of the group's stamp
  std::size_t* stamps_;  // directions a group was held against; with a window, picks shown then
  bound_maximum<Arch, number> largest_;
  number* products_;  // [direction_block + direction_slack][width]
  bool* exhausted_;
  std::size_t first_exhausted_;
  candidate* found_;
  std::size_t* parked_;
  std::size_t* until_ = nullptr;  // picks shown when the last pick a level knows leaves the window
  number* levels_ = nullptr;      // [groups][window + 1] bounds from the last 0, 1, ... picks
  std::size_t begun_ = 0;
  std::size_t shown_ = 0;
  double enough_ = 0;
};

/// `pick_greedily` for scores that `bound` bounds.
template <class Arch, class T, class Options, class Bound>
std::size_t pick_lazily(std::span<const T> relevance, std::span<std::size_t> picked,
                        const Options& options, bool* taken, arena& scratch,
                        ranked_units<Arch, T, typename Bound::value>& items, Bound& bound) {
  const std::size_t n = relevance.size();
  const std::size_t k = picked.size();
  if (k == options.given) return k;
  const std::size_t window = sliding_window(options.window, k);
  const std::size_t in_view = window == 0 ? options.given : std::min(window, options.given);
  for (std::size_t t = options.given - in_view; t < options.given; ++t) bound.show(picked[t]);

  slate page(options.rules, n, k, scratch);
  lazy_greedy<Arch, T, Bound> greedy(items, bound, relevance, options.relevance_weight, window,
                                     taken, scratch);
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
