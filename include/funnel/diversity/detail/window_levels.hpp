// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>

#include <cstddef>

namespace funnel::detail {

/// What each of many groups may score by the last 0, 1, ... `window` picks. It stays true of those
/// picks that are still in view as the window moves on.
class window_levels {
 public:
  window_levels(std::size_t groups, std::size_t window, arena& scratch)
      : window_(window), until_(scratch.allocate<std::size_t>(groups)),
        levels_(scratch.allocate<float>(groups, window + 1)) {}

  /// Sets the bound of group g by no pick, which holds always.
  void set_first(std::size_t g, float bound) { levels_[g * (window_ + 1)] = bound; }
  /// The same, and no other is known.
  void forget(std::size_t g, float bound) {
    until_[g] = 0;
    set_first(g, bound);
  }

  /// The bounds of group g, [window + 1], to be written behind `shown` picks. None but the first
  /// holds later unless they are `nested`.
  float* write(std::size_t g, std::size_t shown, bool nested) {
    until_[g] = nested ? shown + window_ : 0;
    return levels_ + g * (window_ + 1);
  }
  /// The bound of group g behind `shown` picks by those that are still in view.
  float bound(std::size_t g, std::size_t shown, bool nested) const {
    const std::size_t in_view = nested && until_[g] > shown ? until_[g] - shown : 0;
    return levels_[g * (window_ + 1) + in_view];
  }

 private:
  std::size_t window_;
  std::size_t* until_;  // picks shown when the last pick that a level knows leaves the window
  float* levels_;
};

}  // namespace funnel::detail
