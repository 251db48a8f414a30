// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/diversity/detail/direction_list.hpp>
#include <funnel/diversity/detail/ranked_units.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/simd/pack.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace funnel::detail {

/// What `mmr` may score an item, for `lazy_greedy`: the directions are the picks, the state is
/// the largest cosine, negated.
template <class Arch, class T>
class likeness_bound {
 public:
  using value = T;
  using units = ranked_units<Arch, T, T>;

  /// `capacity` is the window, or without one the number of picks.
  likeness_bound(const units& items, double weight, cosine_range range, bool sliding,
                 std::size_t capacity, arena& scratch)
      : units_(items), list_(items.cols(), capacity, scratch), sliding_(sliding),
        unit_(scratch.allocate<T>(items.cols())), of_likeness_(1 - weight), range_(range) {
    constexpr double eps = static_cast<double>(std::numeric_limits<T>::epsilon());
    const double slope = range == cosine_range::zero_to_one ? of_likeness_ / 2 : of_likeness_;
    slope_ = static_cast<T>(slope);
    shift_ = static_cast<T>(slope - of_likeness_ + 16 * eps);
    least_ = static_cast<T>(-1 - eps * static_cast<double>(items.cols() + 8));
    if (sliding) recent_ = scratch.allocate<T>(capacity * items.cols());
  }

  using p = pack<Arch, T>;
  std::size_t count() const { return list_.size(); }
  const T* directions() const { return list_.data(); }
  bool nested() const { return true; }
  bool spanned() const { return false; }
  bool exhausted(std::size_t) const { return false; }

  p start() const { return p(-least_); }
  p fold(const p& state, const p& product, std::size_t) const { return min(state, -product); }
  p bound(const p& base, const p& state) const { return (base + p(shift_)) + p(slope_) * state; }
  double score(std::size_t, T least, double base) const {
    const double cosine = -static_cast<double>(least);
    return base - of_likeness_ * (range_ == cosine_range::zero_to_one ? (1 + cosine) / 2 : cosine);
  }

  void show(std::size_t item) {
    if (!sliding_) {
      units_.read(item, unit_);
      list_.add(unit_);
      return;
    }
    const std::size_t d = units_.cols();
    const std::size_t capacity = list_.capacity();
    units_.read(item, recent_ + shown_ % capacity * d);
    ++shown_;
    list_.template assign<T>(std::min(shown_, capacity), [&](std::size_t s) {
      return recent_ + (shown_ - 1 - s) % capacity * d;
    });
  }

 private:
  const units& units_;
  direction_list<Arch, T> list_;
  bool sliding_;
  T* unit_;
  T* recent_ = nullptr;  // the window's picks
  std::size_t shown_ = 0;
  double of_likeness_;
  cosine_range range_;
  T slope_;
  T shift_;
  T least_;  // less than any cosine, rounded as it may be
};

}  // namespace funnel::detail
