// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/detail/bound_maximum.hpp>
#include <funnel/diversity/detail/direction_list.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/unit_vectors.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>

namespace funnel::detail {

/// Upper bounds of the scores of `dpp`, for `lazy_greedy`. The direction q of a pick is the part of
/// its unit vector that is orthogonal to the directions before, normalized. It reduces d^2 of item
/// i by <q, u_i>^2. The state is an upper bound, in float, of the fraction of S_ii that is left;
/// scores are in double. For (1 + cosine) / 2, the unit vectors are [u; 1] / sqrt 2: their inner
/// product is that number.
template <class Arch, class R, class T>
class dpp_bound {
 public:
  using units = unit_vectors<Arch, R, T>;
  using p = pack<Arch, float>;

  /// `capacity` is the window or, without one, the number of picks.
  template <class Options>
  dpp_bound(const units& items, const Options& options, bool sliding, std::size_t capacity,
            arena& scratch)
      : units_(items), list_(items.cols(), capacity, scratch), sliding_(sliding),
        diagonal_(1 + options.jitter), epsilon_(no_volume(options.epsilon)),
        of_volume_(1 - options.relevance_weight),
        width_((items.cols() + lanes<Arch, double>) / lanes<Arch, double> * lanes<Arch, double>),
        directions_(scratch.allocate<double>(capacity * width_)),
        products_(scratch.allocate<double>(capacity)), unit_(scratch.allocate<double>(width_)),
        doubts_(scratch.allocate<float>(capacity)), shifts_(scratch.allocate<float>(capacity)),
        doubt_(product_doubt(width_)) {
    if (options.range == cosine_range::zero_to_one) scale_ = last_ = 1 / std::numbers::sqrt2;
    log_diagonal_ = std::log(diagonal_);
    share_ = 1 / std::sqrt(diagonal_);
    factor_ = scale_ * share_;
    if (sliding) {
      recent_ = scratch.allocate<double>(capacity * width_);
      recent_units_ = scratch.allocate<float>(capacity * items.cols());
      kept_ = scratch.allocate<std::size_t>(capacity);
      coefficients_ = scratch.allocate<double>(capacity * capacity);
      mixed_ = scratch.allocate<float>(capacity * (capacity + 2));
    } else {
      recent_ = scratch.allocate<double>(width_);
      left_ = scratch.allocate<double>(items.groups() * units::width);
      counted_ = scratch.allocate<std::size_t>(items.groups() * units::width);
    }
  }

  std::size_t count() const { return list_.size(); }
  const direction_list<Arch>& directions() const { return list_; }
  bool nested() const { return nested_; }
  bool spanned() const {
    return spanning_ >= units_.cols() + (last_ > 0 ? 1 : 0) && diagonal_ == 1 && !faint_;
  }
  bool exhausted(std::size_t place) const { return !(left_[place] > epsilon_); }
  void begin(std::size_t g) {
    if (sliding_) return;
    std::fill_n(left_ + g * units::width, units::width, diagonal_);
    std::fill_n(counted_ + g * units::width, units::width, std::size_t{0});
  }

  void inherit(std::size_t place, std::size_t from) {
    if (sliding_) return;
    left_[place] = left_[from];
    counted_[place] = counted_[from];
  }

  p start() const { return p(1.f); }
  p fold(const p& state, const p& product, std::size_t s) const {
    const p e = max(abs(product + p(shifts_[s])) - p(doubts_[s]), p(0.f));
    return state - e * e;
  }
  p bound(const p& base, const p& state) const {
    constexpr float eps = std::numeric_limits<float>::epsilon();
    // One rounding per direction.
    const p share = max(state + p(static_cast<float>(count() + 8) * eps), p(eps));
    const p log_share = log_of(share);
    const p log_left =
        log_share + p(rounded_up(log_diagonal_)) + p(16 * eps) * (p(1.f) + abs(log_share));
    return base + p(static_cast<float>(of_volume_)) * log_left;
  }

  /// Computes the states of `Groups` groups from their cosines with the picks in the window,
  /// [Groups][stride], pick t at t % window. Each direction is a linear combination of picks.
  template <std::size_t Groups>
  void fold_cosines(const float* cosines, std::size_t stride, std::size_t, p* states) const {
    std::fill_n(states, Groups, start());
    const float* row = mixed_;
    for (std::size_t s = 0; s < rank_; ++s) {
      p e[Groups];
      std::fill_n(e, Groups, p(row[s + 1]));
      for (std::size_t r = 0; r <= s; ++r) {
        const float* from = cosines + kept_[r] * p::size;
        const p factor(row[r]);
        for (std::size_t g = 0; g < Groups; ++g)
          e[g] = fma(factor, p::load_unaligned(from + g * stride), e[g]);
      }
      for (std::size_t g = 0; g < Groups; ++g) {
        const p certain = max(abs(e[g]) - p(row[s + 2]), p(0.f));
        states[g] = states[g] - certain * certain;
      }
      row += s + 3;
    }
  }
  /// Approximate number of operations per group: of `bound`, and of folding `in_view` cosines.
  static constexpr std::size_t cost_of_bound = 48;
  std::size_t cost_of_folding(std::size_t in_view) const { return in_view * (in_view + 8); }
  /// True if cosines in float are too inexact for useful bounds.
  bool steep() const { return steep_; }

  static constexpr bool exact = true;
  estimate score(std::size_t place, float, double base) const {
    return volume_score(base, of_volume_, left_of(place), epsilon_);
  }

  void show(std::size_t item) {
    const std::size_t capacity = list_.capacity();
    double* last = recent_ + (sliding_ ? shown_ % capacity * width_ : 0);
    units_.read(item, last);
    if (sliding_) {
      float* unit = recent_units_ + shown_ % capacity * units_.cols();
      for (std::size_t f = 0; f < units_.cols(); ++f) unit[f] = static_cast<float>(last[f]);
    }
    extend(last);
    ++shown_;
    if (sliding_)
      make_window();
    else if (add(last))
      list_.add(directions_ + (rank_ - 1) * width_, factor_);
  }

  /// With a window: number of picks so far, and the unit vector of pick t, one of the last ones.
  std::size_t shown() const { return shown_; }
  const float* unit(std::size_t t) const {
    return recent_units_ + t % list_.capacity() * units_.cols();
  }
  /// From now on, the directions of a window are computed from the oldest pick to the last.
  void in_order_of_picks() {
    ordered_ = true;
    if (sliding_ && shown_ > 0) make_window();
  }

 private:
  /// If less than this fraction of a pick is left, rounding may change its direction.
  static constexpr double faint = 1e-9;
  /// If less than this fraction of a pick may be left, the order of picks matters.
  static constexpr double slanted = 1e-8;

  /// Turns u into [u; 1] / sqrt 2 or [u; 0], padded with zeros to whole registers.
  void extend(double* unit) const {
    for (std::size_t f = 0; f < units_.cols(); ++f) unit[f] *= scale_;
    unit[units_.cols()] = last_;
    std::fill(unit + units_.cols() + 1, unit + width_, 0.);
  }

  /// Computes the directions of the picks in the window. A pick that adds no volume to those before
  /// it changes nothing, so the order of the picks matters only if there is such a pick. If there
  /// is none, the last pick comes first, so that bounds by the last picks stay valid as the window
  /// moves on.
  void make_window() {
    const std::size_t in_view = std::min(shown_, list_.capacity());
    const auto make = [&](bool last_first) {
      rank_ = 0;
      nested_ = true;
      volume_ = 1;
      faint_ = steep_ = false;
      spanning_ = 0;
      for (std::size_t t = 0; t < in_view; ++t) {
        const std::size_t pick = last_first ? shown_ - 1 - t : shown_ - in_view + t;
        if (add(recent_ + pick % list_.capacity() * width_) && !last_first)
          mix(pick % list_.capacity());
      }
    };
    if (!ordered_) make(true);
    if (ordered_ || !nested_) make(false);
    list_.template assign<double>(
        rank_, [&](std::size_t s) { return directions_ + s * width_; }, factor_);
  }

  /// Computes the last direction, that of the pick at `slot`, as a linear combination of picks.
  void mix(std::size_t slot) {
    const std::size_t s = rank_ - 1;
    const std::size_t capacity = list_.capacity();
    kept_[s] = slot;
    double* row = coefficients_ + s * capacity;
    std::fill_n(row, s + 1, 0.);
    for (std::size_t r = 0; r < s; ++r)
      for (std::size_t u = 0; u <= r; ++u) row[u] -= products_[r] * coefficients_[r * capacity + u];
    row[s] = 1;
    float* mixed = mixed_ + s * (s + 5) / 2;
    double sum = 0, magnitude = 0;
    for (std::size_t u = 0; u <= s; ++u) {
      row[u] *= inverse_;
      mixed[u] = static_cast<float>(share_ * scale_ * scale_ * row[u]);
      sum += row[u];
      magnitude += std::abs(row[u]);
    }
    mixed[s + 1] = static_cast<float>(share_ * last_ * last_ * sum);
    const double rounding = static_cast<double>(s + 4) * float_epsilon / 2;
    const double doubt = share_ * magnitude * (doubt_ + 2 * rounding);
    mixed[s + 2] = static_cast<float>(doubt);
    steep_ = steep_ || doubt > 1e-3;
  }

  /// Adds the direction of a unit vector; false if the vector lies in the span of the others.
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
    // In any order of the picks, the fraction left of each is at least the product of all.
    volume_ *= std::max(left, 0.) / diagonal_;
    nested_ = diagonal_ * volume_ > std::max(epsilon_, diagonal_ * slanted);
    if (!(left > epsilon_)) return false;
    faint_ = faint_ || !(left > diagonal_ * faint);
    if (directed) ++spanning_;
    inverse_ = 1 / std::sqrt(left);
    const wide inverse(inverse_);
    for (std::size_t f = 0; f < width_; f += lanes<Arch, double>) {
      wide rest = wide::load_unaligned(unit + f);
      for (std::size_t s = 0; s < rank_; ++s)
        rest = rest - wide(products_[s]) * wide::load_unaligned(directions_ + s * width_ + f);
      (rest * inverse).store_unaligned(q + f);
    }
    const double length = std::sqrt(dot_kernel(Arch{}, q, q, width_)) * share_;
    doubts_[rank_] = static_cast<float>(doubt_ * length);
    shifts_[rank_] = static_cast<float>(last_ * q[units_.cols()] * share_);
    ++rank_;
    return true;
  }

  /// d^2 of the item at a place.
  double left_of(std::size_t place) const {
    if (!units_.has_direction(place) && last_ == 0) return diagonal_;
    if (units_.has_direction(place) && spanned()) return 0;
    double left = sliding_ ? diagonal_ : left_[place];
    std::size_t s = sliding_ ? 0 : counted_[place];
    if (s == rank_) return left;
    units_.read_made(place, unit_);
    extend(unit_);
    // Stop at epsilon: d^2 only decreases.
    for (; s < rank_ && left > epsilon_; ++s) {
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
  direction_list<Arch> list_;
  bool sliding_;
  bool ordered_ = false;  // directions of a window: oldest pick first
  bool steep_ = false;
  bool nested_ = true;
  double volume_ = 1;  // fraction of volume of the window's picks
  bool faint_ = false;
  std::size_t spanning_ = 0;  // number of directions of picks that are not 0
  double diagonal_;
  double log_diagonal_ = 0;
  double epsilon_;
  double of_volume_;
  double scale_ = 1;
  double share_ = 1;   // 1 / sqrt(S_ii)
  double factor_ = 1;  // scale of the directions in float
  double last_ = 0;
  std::size_t width_;
  double* directions_;             // [capacity, width_]; width_ is d + 1, padded to whole registers
  double* products_;               // of the pick being added, with the directions before it
  double* unit_;                   // unit vector of the item being scored
  float* doubts_;                  // error bound of a product in float, per direction
  float* shifts_;                  // part of a product from the last value, per direction
  double doubt_;                   // error bound for a direction of length 1
  double inverse_ = 0;             // 1 / sqrt(d^2) of the last pick with a direction
  double* recent_ = nullptr;       // unit vectors of the window's picks, or the last one
  float* recent_units_ = nullptr;  // with a window: the same in float, not extended
  std::size_t* kept_ = nullptr;    // slots of the picks with a direction
  double* coefficients_ = nullptr;  // [capacity, capacity] directions by those picks
  float* mixed_ = nullptr;          // per direction: coefficients, shift, error bound
  double* left_ = nullptr;          // without a window, per place: d^2 of the item,
  std::size_t* counted_ = nullptr;  // after this number of directions
  std::size_t shown_ = 0;
  std::size_t rank_ = 0;  // number of directions
};

}  // namespace funnel::detail
