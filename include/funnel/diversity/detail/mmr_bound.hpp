// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/cosine.hpp>
#include <funnel/diversity/detail/direction_list.hpp>
#include <funnel/diversity/detail/greedy.hpp>
#include <funnel/diversity/detail/unit_vectors.hpp>
#include <funnel/diversity/similarity.hpp>
#include <funnel/simd/detail/pack.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// Upper bounds of the scores of `mmr`, for `lazy_greedy`. The directions are the unit vectors of
/// the picks; the state is the negated largest cosine with them, in float.
template <class Arch, class R, class T>
class mmr_bound {
 public:
  using units = unit_vectors<Arch, R, T>;
  using p = pack<Arch, float>;

  /// `capacity` is the window or, without one, the number of picks.
  mmr_bound(const units& items, double weight, cosine_range range, bool sliding,
            std::size_t capacity, arena& scratch)
      : units_(items), list_(items.cols(), capacity, scratch), sliding_(sliding),
        recent_(scratch.allocate<float>((sliding ? capacity : 1) * items.cols())),
        shown_items_(scratch.allocate<shown_item>(capacity)), similarity_weight_(1 - weight),
        range_(range), doubt_(product_doubt(items.cols())) {
    const double slope =
        range == cosine_range::zero_to_one ? similarity_weight_ / 2 : similarity_weight_;
    slope_ = static_cast<float>(slope);
    slack_ = slope * doubt_ * 1.001;
    shift_ = static_cast<float>(slope - similarity_weight_ + slack_ + 16 * float_epsilon);
    most_ = static_cast<float>(1 + doubt_);
    if (!sliding) {
      similarity_ = scratch.allocate<float>(items.groups() * units::width);
      counted_ = scratch.allocate<std::size_t>(items.groups() * units::width);
    }
  }

  std::size_t count() const { return list_.size(); }
  const direction_list<Arch>& directions() const { return list_; }
  bool nested() const { return true; }
  bool steep() const { return false; }
  bool spanned() const { return false; }
  bool exhausted(std::size_t) const { return false; }
  void begin(std::size_t g) {
    if (!sliding_) std::fill_n(counted_ + g * units::width, units::width, std::size_t{0});
  }

  void inherit(std::size_t place, std::size_t from) {
    if (sliding_) return;
    similarity_[place] = similarity_[from];
    counted_[place] = counted_[from];
  }

  p start() const { return p(most_); }
  p fold(const p& state, const p& product, std::size_t) const { return min(state, -product); }
  /// Computes the states of `Groups` groups from their cosines with the picks in the window,
  /// [Groups][stride].
  template <std::size_t Groups>
  void fold_cosines(const float* cosines, std::size_t stride, std::size_t in_view,
                    p* states) const {
    std::fill_n(states, Groups, start());
    for (std::size_t u = 0; u < in_view; ++u)
      for (std::size_t g = 0; g < Groups; ++g)
        states[g] = min(states[g], -p::load_unaligned(cosines + g * stride + u * p::size));
  }
  /// Approximate number of operations per group: of `bound`, and of folding `in_view` cosines.
  static constexpr std::size_t cost_of_bound = 8;
  std::size_t cost_of_folding(std::size_t in_view) const { return 2 * in_view; }
  p bound(const p& base, const p& state) const { return (base + p(shift_)) + p(slope_) * state; }

  static constexpr bool exact = false;
  estimate score(std::size_t, float least, double base) const {
    return {of(base, -static_cast<double>(least)), slack_};
  }
  double exact_score(std::size_t place, double base) {
    const std::size_t count = sliding_ ? std::min(shown_, list_.capacity()) : shown_;
    std::size_t s = sliding_ ? 0 : counted_[place];
    float largest = s == 0 ? -1 : similarity_[place];
    for (; s < count && largest < 1; ++s)  // 1 is the largest possible
      largest = std::max(largest,
                         units_.similarity_to(place, shown_items_[s].item, shown_items_[s].scale));
    if (!sliding_) {
      similarity_[place] = largest;
      counted_[place] = count;
    }
    return of(base, static_cast<double>(largest));
  }

  void show(std::size_t item) {
    const std::size_t d = units_.cols();
    const std::size_t capacity = list_.capacity();
    const std::size_t slot = sliding_ ? shown_ % capacity : 0;
    units_.read(item, recent_ + slot * d);
    shown_items_[shown_ % capacity] = {item, units_.scale_of(item)};
    ++shown_;
    if (!sliding_)
      list_.add(recent_);
    else
      list_.template assign<float>(std::min(shown_, capacity), [&](std::size_t s) {
        return recent_ + (shown_ - 1 - s) % capacity * d;
      });
  }

  /// With a window: number of picks so far, and the unit vector of pick t, one of the last ones.
  std::size_t shown() const { return shown_; }
  const float* unit(std::size_t t) const { return recent_ + t % list_.capacity() * units_.cols(); }
  void in_order_of_picks() {}

 private:
  struct shown_item {
    std::size_t item;
    unit_scale scale;
  };

  /// Score at this cosine.
  double of(double base, double cosine) const {
    return base -
           similarity_weight_ * (range_ == cosine_range::zero_to_one ? (1 + cosine) / 2 : cosine);
  }

  const units& units_;
  direction_list<Arch> list_;
  bool sliding_;
  float* recent_;  // unit vectors of the window's picks; without a window, of the last pick
  shown_item* shown_items_;
  std::size_t shown_ = 0;
  double similarity_weight_;
  cosine_range range_;
  double doubt_;  // error bound of a cosine in float
  double slack_ = 0;
  float slope_ = 0;
  float shift_ = 0;
  float most_ = 0;
  float* similarity_ = nullptr;     // without a window, per place: largest similarity
  std::size_t* counted_ = nullptr;  // to this number of picks
};

}  // namespace funnel::detail
