// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/interleaved_dot.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// Cosines of groups of items with the last `window` picks. `Bound` is described in
/// lazy_greedy.hpp.
template <class Arch, class Bound>
class window_cosines {
 public:
  window_cosines(std::size_t groups, std::size_t window, arena& scratch)
      : window_(window), cosines_(scratch.allocate<float>(groups * width, window)) {}

  /// Adds the cosines of `count` groups from group `from` on with picks [first, bound.shown()).
  void add(const typename Bound::units& items, const Bound& bound, std::size_t from,
           std::size_t count, std::size_t first) {
    for (std::size_t t = first; t < bound.shown(); ++t)
      interleaved_group_dot_kernel(Arch{}, items.group(from), count, bound.unit(t), items.cols(),
                                   of(from) + t % window_ * width, window_ * width);
  }

  /// Calls `f(g, state)` for `count` groups from group `from` on. Their cosines with all picks in
  /// the window must have been added.
  template <class F>
  void for_each_state(const Bound& bound, std::size_t from, std::size_t count, const F& f) const {
    std::size_t g = from;
    for (; g + at_once <= from + count; g += at_once) fold<at_once>(bound, g, f);
    for (; g < from + count; ++g) fold<1>(bound, g, f);
  }

 private:
  static constexpr std::size_t width = lanes<Arch, float>;
  static constexpr std::size_t at_once = 4;

  float* of(std::size_t g) const { return cosines_ + g * window_ * width; }

  template <std::size_t Groups, class F>
  void fold(const Bound& bound, std::size_t g, const F& f) const {
    pack<Arch, float> states[Groups];
    bound.template fold_cosines<Groups>(of(g), window_ * width, std::min(bound.shown(), window_),
                                        states);
    for (std::size_t i = 0; i < Groups; ++i) f(g + i, states[i]);
  }

  std::size_t window_;
  float* cosines_;  // [groups][window][width]; pick t is at t % window
};

}  // namespace funnel::detail
