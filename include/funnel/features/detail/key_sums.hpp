// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace funnel::detail {

/// Sums by key: for each key the number of events and the amounts of some actions, and the same over
/// all keys.
class key_sums {
 public:
  key_sums() : key_sums(0) {}
  explicit key_sums(std::size_t actions) : width_(1 + actions), totals_(width_), sums_(width_) {}

  std::size_t width() const { return width_; }

  /// The row of a key, which is added if it is new; its sums are zeros then. Row 0 is that of
  /// `missing_key`, and is never counted.
  std::uint32_t add_row(std::uint64_t key) {
    if (key == missing_key) return 0;
    const std::size_t needed = (keys_.rows() + 1) * width_;  // before the row exists
    if (sums_.size() < needed) sums_.resize(needed);
    return keys_.add(key);
  }
  /// The row of a key; 0, whose sums are zeros, for an unknown one.
  std::uint32_t find_row(std::uint64_t key) const {
    return key == missing_key ? 0 : keys_.find(key);
  }
  std::size_t rows() const { return keys_.rows(); }

  /// Counts one event of a row; amounts has width() - 1 values.
  void count(std::uint32_t row, std::span<const float> amounts,
             std::span<const std::size_t> picked) {
    if (row == 0) return;
    double* sums = sums_.data() + row * width_;
    sums[0] += 1;
    totals_[0] += 1;
    for (std::size_t i = 0; i < picked.size(); ++i) {
      sums[1 + i] += static_cast<double>(amounts[picked[i]]);
      totals_[1 + i] += static_cast<double>(amounts[picked[i]]);
    }
  }

  /// The sums of a row: the number of events, then the amounts.
  const double* sums(std::uint32_t row) const { return sums_.data() + row * width_; }
  const double* totals() const { return totals_.data(); }

  FUNNEL_INLINE void prefetch_key(std::uint64_t key) const { keys_.prefetch(key); }
  FUNNEL_INLINE void prefetch_sums(std::uint32_t row) const {
    prefetch_bytes<false>(sums(row), width_ * sizeof(double));
  }

  void visit_state(auto&& visit) {
    visit("keys", keys_);
    visit("sums", sums_);
    visit("totals", totals_);
    if (!is_loading(visit)) return;
    const std::size_t size = keys_.rows() * width_;
    if (totals_.size() != width_ || (sums_.size() != size && sums_.size() != size + width_))
      throw format_error("the counters are damaged: the number of sums is not that of the keys");
  }

 private:
  std::size_t width_;
  std::vector<double> totals_;   // [width]
  aligned_vector<double> sums_;  // [keys + 1, width], and a spare row; row 0 is for unknown keys
  vocabulary keys_;
};

}  // namespace funnel::detail
