// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/detail/direction_list.hpp>
#include <funnel/diversity/detail/lazy_greedy.hpp>
#include <funnel/diversity/detail/ranked_units.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/pack.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

namespace funnel::detail {

/// What `dpp` may score an item, for `lazy_greedy`.
///
/// A pick's direction q is the part of its unit vector that differs from the directions before, and
/// takes <q, u_i>^2 from every item's volume. The state is the share of S_ii that is left, in
/// float, too large by what float may be wrong; scores are in double.
///
/// (1 + cosine) / 2 is the inner product of [u; 1] / sqrt 2.
template <class Arch, class T>
class volume_bound {
 public:
  using value = float;
  using units = ranked_units<Arch, T, float>;
  using p = pack<Arch, float>;

  /// `capacity` is the window, or without one the number of picks.
  template <class Options>
  volume_bound(const units& items, const Options& options, bool sliding, std::size_t capacity,
               arena& scratch)
      : units_(items), list_(items.cols(), capacity, scratch), sliding_(sliding),
        diagonal_(1 + options.jitter), epsilon_(options.epsilon),
        of_volume_(1 - options.relevance_weight),
        width_((items.cols() + lanes<Arch, double>) / lanes<Arch, double> * lanes<Arch, double>),
        directions_(scratch.allocate<double>(capacity * width_)),
        products_(scratch.allocate<double>(capacity)), unit_(scratch.allocate<double>(width_)),
        doubts_(scratch.allocate<float>(capacity)), shifts_(scratch.allocate<float>(capacity)) {
    if (options.range == cosine_range::zero_to_one) scale_ = last_ = 1 / std::numbers::sqrt2;
    log_diagonal_ = std::log(diagonal_);
    share_ = 1 / std::sqrt(diagonal_);
    factor_ = scale_ * share_;
    if (sliding) {
      recent_ = scratch.allocate<double>(capacity * width_);
    } else {
      recent_ = scratch.allocate<double>(width_);
      left_ = scratch.allocate<double>(items.size());
      counted_ = scratch.allocate<std::size_t>(items.size());
      std::fill_n(left_, items.size(), diagonal_);
      std::fill_n(counted_, items.size(), std::size_t{0});
    }
  }

  std::size_t count() const { return list_.size(); }
  const float* directions() const { return list_.data(); }
  bool nested() const { return nested_; }
  bool spanned() const {
    return spanning_ >= units_.cols() + (last_ > 0 ? 1 : 0) && diagonal_ == 1 && !faint_;
  }
  bool exhausted(std::size_t place) const { return !(left_[place] > epsilon_); }

  p start() const { return p(1.f); }
  p fold(const p& state, const p& product, std::size_t s) const {
    const p e = max(abs(product + p(shifts_[s])) - p(doubts_[s]), p(0.f));
    return state - e * e;
  }
  p bound(const p& base, const p& state) const {
    constexpr float eps = std::numeric_limits<float>::epsilon();
    // Each direction rounds once.
    const p share = max(state + p(static_cast<float>(count() + 8) * eps), p(eps));
    const p log_share = log_of(share);
    const p log_left =
        log_share + p(rounded_up<float>(log_diagonal_)) + p(16 * eps) * (p(1.f) + abs(log_share));
    return base + p(static_cast<float>(of_volume_)) * log_left;
  }
  double score(std::size_t place, float, double base) const {
    constexpr double log_of_none = -1e9;
    const double left = left_of(place);
    return base + of_volume_ * (left > epsilon_ ? std::log(left) : log_of_none);
  }

  void show(std::size_t item) {
    if (!sliding_) {
      units_.read(item, recent_);
      extend(recent_);
      if (add(recent_)) list_.add(directions_ + (rank_ - 1) * width_, factor_);
      return;
    }
    const std::size_t capacity = list_.capacity();
    double* last = recent_ + shown_ % capacity * width_;
    units_.read(item, last);
    extend(last);
    ++shown_;
    rank_ = 0;
    nested_ = true;
    faint_ = false;
    spanning_ = 0;
    for (std::size_t t = 0; t < std::min(shown_, capacity); ++t)
      add(recent_ + (shown_ - 1 - t) % capacity * width_);
    list_.template assign<double>(
        rank_, [&](std::size_t s) { return directions_ + s * width_; }, factor_);
  }

 private:
  /// A pick of which less is left gives a direction that rounding may turn, or none.
  static constexpr double faint = 1e-9;

  /// [u; 1] / sqrt 2 or u itself, and zeros to whole registers.
  void extend(double* unit) const {
    for (std::size_t f = 0; f < units_.cols(); ++f) unit[f] *= scale_;
    unit[units_.cols()] = last_;
    std::fill(unit + units_.cols() + 1, unit + width_, 0.);
  }

  /// Adds the direction of a unit vector; false if it lies in the span of those there are.
  bool add(const double* unit) {
    using wide = pack<Arch, double>;
    double* q = directions_ + rank_ * width_;
    double left = diagonal_;
    for (std::size_t s = 0; s < rank_; ++s) {
      products_[s] = dot_kernel(Arch{}, directions_ + s * width_, unit, width_);
      left -= products_[s] * products_[s];
    }
    const bool directed = std::any_of(unit, unit + units_.cols(), [](double u) { return u != 0; });
    if (directed && spanned()) left = 0;
    nested_ = nested_ && left > std::max(epsilon_, diagonal_ * faint);
    if (!(left > epsilon_)) return false;
    faint_ = faint_ || !(left > diagonal_ * faint);
    if (directed) ++spanning_;
    const wide inverse(1 / std::sqrt(left));
    for (std::size_t f = 0; f < width_; f += lanes<Arch, double>) {
      wide rest = wide::load_unaligned(unit + f);
      for (std::size_t s = 0; s < rank_; ++s)
        rest = rest - wide(products_[s]) * wide::load_unaligned(directions_ + s * width_ + f);
      (rest * inverse).store_unaligned(q + f);
    }
    // An inner product of d terms, each of float's rounding and its operands', on vectors of length
    // 1 and |q|.
    constexpr double rounding = static_cast<double>(std::numeric_limits<float>::epsilon()) / 2;
    const double length = std::sqrt(dot_kernel(Arch{}, q, q, width_)) * share_;
    doubts_[rank_] = static_cast<float>(static_cast<double>(width_ + 8) * rounding * length);
    shifts_[rank_] = static_cast<float>(last_ * q[units_.cols()] * share_);
    ++rank_;
    return true;
  }

  double left_of(std::size_t place) const {
    if (!units_.has_direction(place) && last_ == 0) return diagonal_;
    if (units_.has_direction(place) && spanned()) return 0;
    double left = sliding_ ? diagonal_ : left_[place];
    std::size_t s = sliding_ ? 0 : counted_[place];
    if (s == rank_) return left;
    units_.read_made(place, unit_);
    extend(unit_);
    for (; s < rank_; ++s) {
      const double e = dot_kernel(Arch{}, directions_ + s * width_, unit_, width_);
      left -= e * e;
    }
    if (!sliding_) {
      left_[place] = left;
      counted_[place] = rank_;
    }
    return left;
  }

  const units& units_;
  direction_list<Arch, float> list_;
  bool sliding_;
  bool nested_ = true;
  bool faint_ = false;
  std::size_t spanning_ = 0;  // directions of picks whose vector is not 0
  double diagonal_;
  double log_diagonal_ = 0;
  double epsilon_;
  double of_volume_;
  double scale_ = 1;
  double share_ = 1;   // of e^2 in S_ii, its root
  double factor_ = 1;  // of directions in float
  double last_ = 0;
  std::size_t width_;
  double* directions_;  // [capacity, width], where width is d + 1 and zeros to whole registers
  double* products_;    // of the pick being added with the directions before it
  double* unit_;        // of the item being scored
  float* doubts_;       // how wrong a product in float may be
  float* shifts_;       // what the last value of the unit vectors adds to it
  double* recent_ = nullptr;        // unit vectors of the window's picks, or of the last pick
  double* left_ = nullptr;          // without a window: volume of the item at a place, and
  std::size_t* counted_ = nullptr;  // how many directions have been taken from it
  std::size_t shown_ = 0;
  std::size_t rank_ = 0;  // directions there are
};

}  // namespace funnel::detail
