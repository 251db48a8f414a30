// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel::detail {

/// Sliding-window maximum: for each of n items, the largest of its similarities to all picks or to
/// the last `window` picks. A pick costs O(n) for any window length (algorithm of van Herk, Gil and
/// Werman). Picks are grouped in blocks of `window`. The window is the end of the last full block
/// and the beginning of the current one, so its maximum is the larger of a suffix maximum, which is
/// computed when a block is full, and a running prefix maximum.
template <class T>
class sliding_maximum {
 public:
  /// `window` = 0 means all picks. Allocates (max(window, 1) + 2) n values.
  sliding_maximum(std::size_t n, std::size_t window, arena& scratch)
      : n_(n), window_(window), rows_(scratch.allocate<T>(std::max<std::size_t>(window, 1) * n)),
        prefix_(scratch.allocate<T>(n)), largest_(scratch.allocate<T>(n)) {
    std::fill_n(largest_, n, T(0));
  }

  /// The largest similarity of item i; 0 before the first pick.
  T operator[](std::size_t i) const { return largest_[i]; }

  /// The row, [n], to write the next pick's similarities to before `add`.
  T* next_row() { return rows_ + place_ * n_; }

  /// Adds the pick whose similarities are in next_row().
  void add() {
    if (window_ == 0) {
      raise(largest_, rows_, first_);
      first_ = false;
      return;
    }
    raise(prefix_, next_row(), place_ == 0);
    if (++place_ < window_) {
      std::copy_n(prefix_, n_, largest_);
      if (!first_) raise(largest_, next_row(), false);
      return;
    }
    for (std::size_t r = window_ - 1; r > 0; --r)
      raise(rows_ + (r - 1) * n_, rows_ + r * n_, false);
    std::copy_n(rows_, n_, largest_);
    place_ = 0;
    first_ = false;
  }

 private:
  void raise(T* to, const T* row, bool overwrite) const {
    if (overwrite)
      std::copy_n(row, n_, to);
    else
      for (std::size_t i = 0; i < n_; ++i) to[i] = std::max(to[i], row[i]);
  }

  std::size_t n_;
  std::size_t window_;
  T* rows_;  // up to place_: the current block; from there: suffix maxima of the block before
  T* prefix_;
  T* largest_;
  std::size_t place_ = 0;
  bool first_ = true;  // no pick yet; with a window: no full block yet
};

}  // namespace funnel::detail
