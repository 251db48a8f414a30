// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>

#include <cstddef>

namespace funnel::detail {

/// For each group of items, upper bounds of its scores by the last 0, 1, ..., `window` picks. As
/// the window moves on, the bound by those of these picks that are still in the window remains
/// valid.
class window_levels {
 public:
  window_levels(std::size_t groups, std::size_t window, arena& scratch)
      : window_(window), until_(scratch.allocate<std::size_t>(groups)),
        levels_(scratch.allocate<float>(groups, window + 1)) {}

  /// Sets the bound of group g by 0 picks, which is always valid.
  void set_first(std::size_t g, float bound) { levels_[g * (window_ + 1)] = bound; }
  /// Sets the bound by 0 picks and discards the others.
  void forget(std::size_t g, float bound) {
    until_[g] = 0;
    set_first(g, bound);
  }

  /// The bounds of group g, [window + 1], for the caller to write after `shown` picks. Only the
  /// first remains valid after later picks, unless the bounds are `nested`.
  float* write(std::size_t g, std::size_t shown, bool nested) {
    until_[g] = nested ? shown + window_ : 0;
    return levels_ + g * (window_ + 1);
  }
  /// The bound of group g after `shown` picks, by the known picks that are still in the window.
  float bound(std::size_t g, std::size_t shown, bool nested) const {
    const std::size_t in_view = nested && until_[g] > shown ? until_[g] - shown : 0;
    return levels_[g * (window_ + 1) + in_view];
  }

 private:
  std::size_t window_;
  std::size_t* until_;  // number of picks at which the last known pick leaves the window
  float* levels_;
};

}  // namespace funnel::detail
