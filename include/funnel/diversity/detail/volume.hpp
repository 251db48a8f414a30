// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

// Two ways to compute d2_i = det S_{P+i} / det S_P of every item i after the picks P: the volume
// that the item would add. A pick whose own d2 is at most `epsilon` lies in the span of the picks
// before it and changes nothing.

namespace funnel::detail {

/// y -= factor * x
inline void subtract_scaled(double* y, const double* x, double factor, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] -= factor * x[i];
}

/// e *= factor; left -= e^2
inline void take_out(double* e, double factor, double* left, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    e[i] *= factor;
    left[i] -= e[i] * e[i];
  }
}

/// Items at a time: a row has 2 KiB, so about ten rows fit in L1.
constexpr std::size_t volume_block = 256;

/// d2 by all picks, with any similarity: an incremental Cholesky factorization (Chen, Zhang and
/// Zhou, algorithm 1).
template <class FillRow>
class cholesky_volume {
 public:
  cholesky_volume(std::size_t n, const FillRow& fill_row, const double* diagonal, std::size_t picks,
                  double epsilon, arena& scratch)
      : n_(n), fill_row_(fill_row), epsilon_(epsilon), left_(scratch.allocate<double>(n)),
        rows_(scratch.allocate<double>(picks * n)) {
    std::copy_n(diagonal, n, left_);
  }

  double operator[](std::size_t i) const { return left_[i]; }

  void add(std::size_t j, const bool* taken) {
    if (!(left_[j] > epsilon_)) return;
    double* e = rows_ + rank_ * n_;
    fill_row_(j, taken, e);
    const double scale = 1 / std::sqrt(left_[j]);
    for (std::size_t begin = 0; begin < n_; begin += volume_block) {
      const std::size_t count = std::min(volume_block, n_ - begin);
      for (std::size_t s = 0; s < rank_; ++s)
        subtract_scaled(e + begin, rows_ + s * n_ + begin, rows_[s * n_ + j], count);
      take_out(e + begin, scale, left_ + begin, count);
    }
    ++rank_;
  }

 private:
  std::size_t n_;
  const FillRow& fill_row_;
  double epsilon_;
  double* left_;
  double* rows_;  // [picks, n], row s is c_s
  std::size_t rank_ = 0;
};

/// d2 by the last `window` picks, with any similarity. After every pick, the Cholesky factor of the
/// window's own matrix is computed anew and d2 of all items is solved with it, so rounding errors
/// do not accumulate. (Down-dating the factor by rotations drifts: 2 % in float after 300 picks
/// with near-duplicates.)
template <class FillRow>
class window_volume {
 public:
  window_volume(std::size_t n, const FillRow& fill_row, const double* diagonal, std::size_t window,
                double epsilon, arena& scratch)
      : n_(n), fill_row_(fill_row), diagonal_(diagonal), window_(window), epsilon_(epsilon),
        left_(scratch.allocate<double>(n)), rows_(scratch.allocate<double>(window * n)),
        lower_(scratch.allocate<double>(window * window)),
        solved_(scratch.allocate<double>(window * volume_block)),
        picks_(scratch.allocate<std::size_t>(window)),
        kept_(scratch.allocate<std::size_t>(window)) {
    std::copy_n(diagonal, n, left_);
  }

  double operator[](std::size_t i) const { return left_[i]; }

  void add(std::size_t j, const bool* taken) {
    const std::size_t slot = shown_ % window_;
    picks_[slot] = j;
    fill_row_(j, taken, rows_ + slot * n_);
    ++shown_;
    factor();
    for (std::size_t begin = 0; begin < n_; begin += volume_block)
      solve(begin, std::min(volume_block, n_ - begin));
  }

 private:
  /// Computes lower_ with lower_ lower_^T = S of the window's picks, oldest first, without picks
  /// that add no volume.
  void factor() {
    rank_ = 0;
    const std::size_t oldest = shown_ > window_ ? shown_ - window_ : 0;
    for (std::size_t t = oldest; t < shown_; ++t) {
      const std::size_t item = picks_[t % window_];
      double* row = lower_ + rank_ * window_;
      double left = diagonal_[item];
      for (std::size_t s = 0; s < rank_; ++s) {
        double e = rows_[kept_[s] * n_ + item];  // row of the older pick: `item` was not taken then
        for (std::size_t u = 0; u < s; ++u) e -= row[u] * lower_[s * window_ + u];
        row[s] = e / lower_[s * window_ + s];
        left -= row[s] * row[s];
      }
      if (!(left > epsilon_)) continue;
      row[rank_] = std::sqrt(left);
      kept_[rank_++] = t % window_;
    }
  }

  /// Computes d2 of items [begin, begin + count).
  void solve(std::size_t begin, std::size_t count) {
    std::copy_n(diagonal_ + begin, count, left_ + begin);
    for (std::size_t s = 0; s < rank_; ++s) {
      double* e = solved_ + s * volume_block;
      std::copy_n(rows_ + kept_[s] * n_ + begin, count, e);
      for (std::size_t u = 0; u < s; ++u)
        subtract_scaled(e, solved_ + u * volume_block, lower_[s * window_ + u], count);
      take_out(e, 1 / lower_[s * window_ + s], left_ + begin, count);
    }
  }

  std::size_t n_;
  const FillRow& fill_row_;
  const double* diagonal_;
  std::size_t window_;
  double epsilon_;
  double* left_;
  double* rows_;    // [window, n] similarities to the picks, slot t % window for pick t
  double* lower_;   // [window, window]
  double* solved_;  // [window, volume_block]
  std::size_t* picks_;
  std::size_t* kept_;  // slots of the rows of lower_
  std::size_t shown_ = 0;
  std::size_t rank_ = 0;
};

}  // namespace funnel::detail
