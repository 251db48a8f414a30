// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/interleaved_dot.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

/// The plain eager method to compare with: float throughout, no bounds, nothing computed twice, and no
/// care for what rounding does to ties. Items stand in the order of positions as unit vectors, in
/// groups of as many as a register has lanes, and each pick is one scan over all of them.
///
/// Memory is kept from one call to the next, as a scratch arena would.
class plain_scan {
 public:
  /// `window` 0: all picks.
  void mmr(std::span<const float> relevance, funnel::matrix_view<const float> vectors, float weight,
           std::size_t window, std::span<std::size_t> picked) {
    start(relevance, vectors, weight, window, picked.size());
    state_.assign(base_.size(), window == 0 ? -1 : 0);
    for (std::size_t t = 0; t < picked.size(); ++t) {
      if (t == 0) {
        score_by_relevance();
      } else {
        read(picked[t - 1]);
        scan(t, [&](std::size_t g, const float* products) {
          pack similarity;
          if (window == 0) {
            similarity = max(at(state_, g), pack::load_unaligned(products));
            similarity.store_unaligned(&state_[g * width]);
          } else {
            similarity = pack::load_unaligned(ring(g));
            for (std::size_t u = 1; u < std::min(t, window); ++u)
              similarity = max(similarity, pack::load_unaligned(ring(g) + u * width));
          }
          return at(base_, g) - pack(1 - weight) * similarity;
        });
      }
      take(picked[t] = argmax());
    }
  }

  void dpp(std::span<const float> relevance, funnel::matrix_view<const float> vectors, float weight,
           std::size_t window, std::span<std::size_t> picked) {
    start(relevance, vectors, weight, window, picked.size());
    state_.assign(base_.size(), 1);
    const auto score = [&](std::size_t g, const pack& left) {
      const pack log_left = select(left > pack(epsilon),
                                   funnel::detail::log_of(max(left, pack(epsilon))), pack(-1e9f));
      return at(base_, g) + pack(1 - weight) * log_left;
    };
    for (std::size_t t = 0; t < picked.size(); ++t) {
      if (t > 0) {
        read(picked[t - 1]);
        if (window > 0)
          factor(t);
        else
          make_direction();
      }
      if (t == 0) {
        score_by_relevance();
      } else if (window == 0) {
        scan(t, [&](std::size_t g, const float* products) {
          const pack e = pack::load_unaligned(products);
          const pack left = at(state_, g) - e * e;
          left.store_unaligned(&state_[g * width]);
          return score(g, left);
        });
      } else {
        scan_cosines(t, score);
      }
      take(picked[t] = argmax());
    }
  }

 private:
  using arch = funnel::default_arch;
  using pack = funnel::detail::pack<arch, float>;
  static constexpr std::size_t width = pack::size;
  static constexpr float none = -std::numeric_limits<float>::infinity();
  static constexpr float epsilon = 1e-6f;
  static constexpr std::size_t chunk = 16;  // groups

  static pack at(const std::vector<float>& values, std::size_t g) {
    return pack::load_unaligned(&values[g * width]);
  }
  float* ring(std::size_t g) { return &cosines_[g * window_ * width]; }

  void start(std::span<const float> relevance, funnel::matrix_view<const float> vectors,
             float weight, std::size_t window, std::size_t k) {
    d_ = vectors.cols();
    window_ = window;
    groups_ = (relevance.size() + width - 1) / width;
    rank_ = 0;
    units_.resize(groups_ * width * d_);
    rows_.resize(width * d_);
    cosines_.resize(groups_ * window * width);
    direction_.resize(d_);
    directions_.resize(std::max(k, window) * d_);
    products_.resize(chunk * width);
    factor_.resize(window * window);
    mixed_.resize(window * window);
    scores_.resize(groups_ * width);
    base_.resize(groups_ * width);
    std::fill(base_.begin() + static_cast<std::ptrdiff_t>(relevance.size()), base_.end(), none);
    for (std::size_t i = 0; i < relevance.size(); ++i) base_[i] = weight * relevance[i];
    for (std::size_t g = 0; g < groups_; ++g) {
      for (std::size_t lane = 0; lane < width; ++lane) {
        const std::size_t i = std::min(g * width + lane, relevance.size() - 1);
        const float* row = vectors.row(i).data();
        const float squares = funnel::dot_kernel(arch{}, row, row, d_);
        const float inverse = squares > 0 ? 1 / std::sqrt(squares) : 0;
        std::transform(row, row + d_, &rows_[lane * d_],
                       [inverse](float value) { return value * inverse; });
      }
      funnel::interleave_rows_kernel<width>(arch{}, rows_.data(), d_, &units_[g * width * d_]);
    }
  }

  void score_by_relevance() {
    best_ = pack(none);
    for (std::size_t g = 0; g < groups_; ++g) {
      const pack base = at(base_, g);
      base.store_unaligned(&scores_[g * width]);
      best_ = max(best_, base);
    }
  }

  void read(std::size_t i) {
    const float* from = &units_[i / width * width * d_ + i % width];
    for (std::size_t f = 0; f < d_; ++f) direction_[f] = from[f * width];
  }
  void take(std::size_t i) {
    base_[i] = none;
    scores_[i] = none;
  }

  /// Scores all items, whose products with `direction_` are new.
  template <class Score>
  void scan(std::size_t t, const Score& score) {
    best_ = pack(none);
    for (std::size_t from = 0; from < groups_; from += chunk) {
      const std::size_t count = std::min(chunk, groups_ - from);
      multiply(from, count, t);
      for (std::size_t i = 0; i < count; ++i) {
        const pack s = score(from + i, &products_[i * width]);
        s.store_unaligned(&scores_[(from + i) * width]);
        best_ = max(best_, s);
      }
    }
  }
  void multiply(std::size_t from, std::size_t count, std::size_t t) {
    float* to = window_ == 0 ? products_.data() : ring(from) + (t - 1) % window_ * width;
    funnel::interleaved_group_dot_kernel(arch{}, &units_[from * width * d_], count,
                                         direction_.data(), d_, to,
                                         window_ == 0 ? width : window_ * width);
  }

  /// The same for `dpp` with a window, four groups at a time: the new cosines, then the volume from all
  /// those with the picks in view.
  template <class Score>
  void scan_cosines(std::size_t t, const Score& score) {
    constexpr std::size_t most = 4;
    best_ = pack(none);
    for (std::size_t from = 0; from < groups_; from += chunk) {
      const std::size_t end = std::min(from + chunk, groups_);
      multiply(from, end - from, t);
      for (std::size_t g = from; g < end;) {
        if (g + most <= end)
          fold<most>(g, score);
        else
          fold<1>(g, score);
        g += g + most <= end ? most : 1;
      }
    }
  }
  template <std::size_t Groups, class Score>
  void fold(std::size_t first, const Score& score) {
    pack left[Groups];
    std::fill_n(left, Groups, pack(1.f));
    const std::size_t stride = window_ * width;
    for (std::size_t s = 0; s < rank_; ++s) {
      pack e[Groups];
      std::fill_n(e, Groups, pack(0.f));
      for (std::size_t r = 0; r <= s; ++r) {
        const pack factor(mixed_[s * window_ + r]);
        for (std::size_t g = 0; g < Groups; ++g)
          e[g] =
              fma(factor, pack::load_unaligned(ring(first) + g * stride + kept_[r] * width), e[g]);
      }
      for (std::size_t g = 0; g < Groups; ++g) left[g] = left[g] - e[g] * e[g];
    }
    for (std::size_t g = 0; g < Groups; ++g) {
      const pack s = score(first + g, left[g]);
      s.store_unaligned(&scores_[(first + g) * width]);
      best_ = max(best_, s);
    }
  }

  /// Makes of `direction_`, a unit vector, what differs from the directions so far, if anything.
  void make_direction() {
    float left = 1;
    std::vector<float>& e = factor_;
    e.resize(directions_.size());
    for (std::size_t s = 0; s < rank_; ++s) {
      e[s] = funnel::dot_kernel(arch{}, &directions_[s * d_], direction_.data(), d_);
      left -= e[s] * e[s];
    }
    if (!(left > epsilon)) {
      std::fill(direction_.begin(), direction_.end(), 0.f);
      return;
    }
    for (std::size_t s = 0; s < rank_; ++s)
      for (std::size_t f = 0; f < d_; ++f) direction_[f] -= e[s] * directions_[s * d_ + f];
    const float inverse = 1 / std::sqrt(left);
    for (float& q : direction_) q *= inverse;
    std::copy_n(direction_.data(), d_, &directions_[rank_++ * d_]);
  }

  /// The window's directions as sums of its picks: the inverse of the Cholesky factor of their cosines.
  void factor(std::size_t t) {
    std::copy_n(direction_.data(), d_, &directions_[(t - 1) % window_ * d_]);
    const std::size_t in_view = std::min(t, window_);
    rank_ = 0;
    std::vector<float>& e = factor_;
    for (std::size_t u = 0; u < in_view; ++u) {
      const std::size_t slot = (t - in_view + u) % window_;
      float left = 1;
      float* row = &mixed_[rank_ * window_];
      for (std::size_t s = 0; s < rank_; ++s)
        e[s] = funnel::dot_kernel(arch{}, &directions_[kept_[s] * d_], &directions_[slot * d_], d_);
      std::fill_n(row, rank_, 0.f);
      for (std::size_t s = 0; s < rank_; ++s) {
        float product = 0;
        for (std::size_t r = 0; r <= s; ++r) product += mixed_[s * window_ + r] * e[r];
        left -= product * product;
        for (std::size_t r = 0; r <= s; ++r) row[r] -= product * mixed_[s * window_ + r];
      }
      if (!(left > epsilon)) continue;
      row[rank_] = 1;
      const float inverse = 1 / std::sqrt(left);
      for (std::size_t r = 0; r <= rank_; ++r) row[r] *= inverse;
      kept_[rank_++] = slot;
    }
  }

  /// Of the items of the best score the first of the most relevant.
  std::size_t argmax() const {
    const float best = funnel::detail::max_lane(best_);
    pack most(none);
    for (std::size_t g = 0; g < groups_; ++g)
      most = max(most, pack(select(at(scores_, g) == pack(best), at(base_, g), pack(none))));
    const float base = funnel::detail::max_lane(most);
    std::size_t g = 0;
    while (!any((at(scores_, g) == pack(best)) & (at(base_, g) == pack(base)))) ++g;
    std::size_t i = g * width;
    while (!(scores_[i] == best && base_[i] == base)) ++i;
    return i;
  }
  std::size_t d_ = 0, window_ = 0, groups_ = 0, rank_ = 0;
  std::vector<float> units_;  // [groups][d][width]
  std::vector<float> rows_;   // one group before it is interleaved
  std::vector<float> base_;   // weight * relevance, none of an item that is taken
  std::vector<float> state_;  // the largest cosine, or the volume left
  std::vector<float> scores_;
  std::vector<float> cosines_;  // with a window: [groups][window][width]
  std::vector<float> products_, direction_;
  std::vector<float> directions_;  // [k][d], or the window's picks
  std::vector<float> factor_, mixed_;
  std::size_t kept_[64] = {};  // the window's picks that have a direction
  pack best_{none};
};
