// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace funnel {

/// Options of `item_pool`.
struct item_pool_options {
  /// How long an item stays in the pool after its publication, in the unit of all times, above 0: for
  /// example 86'400 seconds. By default, until it is removed.
  std::int64_t window = std::numeric_limits<std::int64_t>::max();
};

/// Item pool: the items that a retrieval channel may return, such as those published in the last 30
/// days, the last day or the last 6 hours, or those chosen for new users. One model searched in several
/// pools is several channels.
///
///     item i is in the pool at the time now  <=>  published(i) <= now < published(i) + window
///
/// This is computed from the times at each question, so a pool never has an item that has expired and
/// needs no refresh. An item that is published in the future enters by itself.
///
/// Added and removed items count at once. Any number of threads may ask a pool that no thread changes.
///
/// Errors      std::bad_alloc; the pool is unchanged then.
/// Cost        8 bytes per item id up to the largest that was added; a question reads one of them.
/// Source      docs/formulas.md#item-pools.
class item_pool {
 public:
  /// Errors      std::invalid_argument if the window is not above 0.
  explicit item_pool(const item_pool_options& options = {}) : window_(options.window) {
    detail::check_that("item_pool", "window", window_, window_ > 0, "above 0");
  }
  item_pool(const item_pool&) = default;
  item_pool(item_pool&&) noexcept = default;
  item_pool& operator=(const item_pool& other) {
    *this = item_pool(other);
    return *this;
  }
  item_pool& operator=(item_pool&&) noexcept = default;

  /// Adds an item, or changes the time of its publication.
  ///
  /// Errors      std::invalid_argument if the time is the largest integer.
  void add(item_id item, std::int64_t published) {
    detail::check_that("item_pool::add", "published", published, published != none,
                       "below 2^63 - 1");
    if (item >= published_.size()) published_.resize(std::size_t{item} + 1, none);
    published_[item] = published;
  }
  /// Adds an item whose time of publication is not known, or does not matter; it stays until it is
  /// removed.
  ///
  /// Errors      std::invalid_argument if the pool has a window: nothing tells whether the item has
  ///             expired.
  void add(item_id item) {
    if (window_ != unlimited)
      detail::fail("funnel::item_pool::add: item ", item,
                   " has no time of publication, expected one "
                   "as the window is ",
                   window_);
    add(item, std::numeric_limits<std::int64_t>::min());
  }
  /// Takes an item out; returns whether it had been added.
  bool remove(item_id item) {
    const bool there = item < published_.size() && published_[item] != none;
    if (there) published_[item] = none;
    return there;
  }

  /// Whether an item is in the pool at the time `now`.
  bool admits(item_id item, std::int64_t now) const {
    if (item >= published_.size()) return false;
    const std::int64_t published = published_[item];
    if (published == none || published > now) return false;
    // The difference of any two times is an unsigned number.
    const std::uint64_t age =
        static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(published);
    return window_ == unlimited || age < static_cast<std::uint64_t>(window_);
  }
  /// The items at the time `now`, as a filter for searches. The pool must live as long.
  auto at(std::int64_t now) const {
    return [this, now](item_id item) { return admits(item, now); };
  }
  /// The items at the time `now`, ascending: for a list or an index of the pool's own.
  std::vector<item_id> items(std::int64_t now) const {
    std::vector<item_id> found;
    for (std::size_t i = 0; i < published_.size(); ++i)
      if (admits(static_cast<item_id>(i), now)) found.push_back(static_cast<item_id>(i));
    return found;
  }
  /// The items at the time `now` as the words of an `item_bitmap`. Unlike `at`, a bitmap does not see
  /// what is added, removed or expires later.
  std::vector<std::uint64_t> bitmap(std::int64_t now) const {
    std::vector<std::uint64_t> words((published_.size() + 63) / 64);
    for (std::size_t i = 0; i < published_.size(); ++i)
      if (admits(static_cast<item_id>(i), now)) words[i / 64] |= std::uint64_t{1} << i % 64;
    return words;
  }

  void visit_state(auto&& visit) {
    std::int64_t window = window_;
    visit("window", window);
    visit("published", published_);
    if (!is_loading(visit)) return;
    if (window <= 0)
      throw format_error(
          detail::join_text("an item pool has the window ", window, ", expected one above 0"));
    window_ = window;
  }

 private:
  static constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();

  std::int64_t window_;
  std::vector<std::int64_t> published_;  // by item; `none` if it is not in the pool
};

}  // namespace funnel
