// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/vocabulary.hpp>

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

  /// Adds one event of a key; amounts has width() - 1 values. `missing_key` is not counted.
  void add(std::uint64_t key, std::span<const double> amounts) {
    if (key == missing_key) return;
    const std::size_t needed = (keys_.rows() + 1) * width_;  // before the row exists
    if (sums_.size() < needed) sums_.resize(needed);
    double* sums = sums_.data() + keys_.add(key) * width_;
    sums[0] += 1;
    totals_[0] += 1;
    for (std::size_t i = 0; i < amounts.size(); ++i) {
      sums[1 + i] += amounts[i];
      totals_[1 + i] += amounts[i];
    }
  }

  /// The sums of a key; zeros for an unknown one.
  const double* find(std::uint64_t key) const { return sums_.data() + keys_.find(key) * width_; }
  const double* totals() const { return totals_.data(); }

  void visit_state(auto&& visit) {
    std::vector<std::uint64_t> ids(keys_.ids().begin(), keys_.ids().end());
    visit("keys", ids);
    if (is_loading(visit)) keys_ = vocabulary(ids);
    visit("sums", sums_);
    visit("totals", totals_);
    if (!is_loading(visit)) return;
    const std::size_t size = keys_.rows() * width_;
    if (keys_.rows() != ids.size() + 1 || totals_.size() != width_ ||
        (sums_.size() != size && sums_.size() != size + width_))
      throw format_error("the counters are damaged: the number of sums is not that of the keys");
  }

 private:
  std::size_t width_;
  std::vector<double> totals_;  // [width]
  std::vector<double> sums_;    // [keys + 1, width], and a spare row; row 0 is for unknown keys
  vocabulary keys_;
};

}  // namespace funnel::detail
