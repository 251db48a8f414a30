// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>
#include <funnel/features/hashing.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <string_view>
#include <vector>

namespace funnel {

/// Options of `bloom_filter`.
struct bloom_filter_options {
  /// Number of ids that the filter is made for, 1 or more. n.
  std::size_t capacity = 1000;
  /// Probability that an id that was not added is taken for one that was, once `capacity` ids are
  /// there; in (0, 1). delta.
  double false_positives = .01;
};

namespace detail {

/// Size of a Bloom filter.
struct bloom_size {
  std::size_t words;  ///< of 64 bits
  std::uint32_t hashes;
};

/// The size for options that were checked, but for the memory: `function` is refused more than an array
/// can have.
inline bloom_size bloom_size_of(std::string_view function, std::size_t capacity,
                                double false_positives) {
  const double per_id = -std::log2(false_positives) / std::numbers::ln2;
  const double words = std::ceil(static_cast<double>(capacity) * per_id / 64);
  const double most = static_cast<double>(most_values<std::uint64_t>);
  check_that(function, "capacity", capacity, words < most, "fewer: ", words,
             " words of memory are needed");
  return {static_cast<std::size_t>(std::max(words, 1.)),
          static_cast<std::uint32_t>(std::clamp(std::round(-std::log2(false_positives)), 1., 64.))};
}

/// Calls `visit(bit)` for the bits of an id, below `bits`, until it returns false; whether it never did.
/// The hashes are h, h + d, h + 2 d + 1, ... (enhanced double hashing: with h + i d, filters of few bits
/// make more mistakes).
template <class Visit>
bool for_each_bloom_bit(std::uint64_t id, std::uint64_t bits, std::uint32_t hashes,
                        const Visit& visit) {
  std::uint64_t h = mix_key(id);
  std::uint64_t d = mix_key(h) | 1;
  for (std::uint32_t i = 0; i < hashes; h += d, d += ++i)
    if (!visit(h % bits)) return false;
  return true;
}

}  // namespace detail

/// Bloom filter: a set of ids in few bits, such as what a user has seen. An id that was added is always
/// found; one that was not is found with a small probability, which grows with the number of ids.
///
/// Ids cannot be removed: make a new filter now and then, for example each day of what was seen in the
/// last month.
///
/// Errors      std::bad_alloc; an object that is assigned to is unchanged then.
/// Cost        1.44 log2(1 / delta) bits per id of the capacity: 9.6 for 1 %; log2(1 / delta) reads per
///             call, less where the id is not there.
/// Source      Bloom, Communications of the ACM 13(7), 1970; docs/formulas.md#bloom-filter.
class bloom_filter {
 public:
  /// Of no ids, to be loaded or assigned to.
  bloom_filter() = default;
  /// Errors      std::invalid_argument if an option is out of range.
  explicit bloom_filter(const bloom_filter_options& options) {
    constexpr std::string_view name = "bloom_filter";
    const double delta = options.false_positives;
    detail::check_at_least_one(name, "capacity", options.capacity);
    detail::check_that(name, "false_positives", delta, delta > 0 && delta < 1,
                       "a number in (0, 1)");
    const detail::bloom_size size = detail::bloom_size_of(name, options.capacity, delta);
    words_.resize(size.words);
    hashes_ = size.hashes;
  }
  bloom_filter(const bloom_filter&) = default;
  bloom_filter(bloom_filter&&) noexcept = default;
  bloom_filter& operator=(const bloom_filter& other) {
    *this = bloom_filter(other);
    return *this;
  }
  bloom_filter& operator=(bloom_filter&&) noexcept = default;

  /// Adds an id.
  ///
  /// Errors      std::invalid_argument if the filter was made without options.
  void add(std::uint64_t id) {
    if (words_.empty())
      detail::fail("funnel::bloom_filter::add: the filter has no bits, expected one with options");
    for_each_bit(id, [&](std::uint64_t bit) {
      words_[bit / 64] |= std::uint64_t{1} << (bit % 64);
      return true;
    });
  }
  /// True for every id that was added, and for others with the probability
  /// `false_positive_rate()`.
  bool contains(std::uint64_t id) const {
    return !words_.empty() && for_each_bit(id, [&](std::uint64_t bit) {
      return (words_[bit / 64] >> (bit % 64) & 1) != 0;
    });
  }

  std::size_t bits() const { return 64 * words_.size(); }
  std::size_t hashes() const { return hashes_; }
  /// The probability that an id that was not added is found, from the bits that are set now.
  ///
  /// Cost        reads all bits.
  double false_positive_rate() const {
    if (words_.empty()) return 0;
    std::size_t set = 0;
    for (const std::uint64_t word : words_) set += static_cast<std::size_t>(std::popcount(word));
    return std::pow(static_cast<double>(set) / static_cast<double>(bits()),
                    static_cast<double>(hashes_));
  }

  void visit_state(auto&& visit) {
    visit("hashes", hashes_);
    visit("words", words_);
    if (is_loading(visit) && (words_.empty() ? hashes_ != 0 : hashes_ < 1 || hashes_ > 64))
      throw format_error(detail::join_text("a Bloom filter has ", hashes_, " hashes and ", bits(),
                                           " bits, expected 1 to 64 hashes, or none of both"));
  }

 private:
  template <class Visit>
  bool for_each_bit(std::uint64_t id, const Visit& visit) const {
    return detail::for_each_bloom_bit(id, bits(), hashes_, visit);
  }

  std::uint32_t hashes_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace funnel
