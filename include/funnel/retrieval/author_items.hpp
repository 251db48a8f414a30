// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// An item of an author, with the time at which it was published.
struct published_item {
  std::int64_t time = 0;
  item_id item = 0;

  friend std::strong_ordering operator<=>(const published_item& a, const published_item& b) {
    const std::strong_ordering by_time = a.time <=> b.time;
    return std::is_neq(by_time) ? by_time : a.item <=> b.item;
  }
  friend bool operator==(const published_item&, const published_item&) = default;
};

/// The items of each author by time of publication. An item is there as soon as it is added.
///
/// Const functions may run on any number of threads, but not while another one changes the object.
///
/// Errors      std::bad_alloc; nothing is changed then.
/// Cost        16 bytes per item, 4 per item id and 24 per author id. Adding an item that is newer
///             than the others of its author takes constant time; `remove` and other items take as
///             many steps as the author has newer items.
/// Source      docs/formulas.md#newest-items-of-authors.
class author_items {
 public:
  author_items() = default;
  author_items(const author_items&) = default;
  author_items(author_items&&) noexcept = default;
  author_items& operator=(const author_items& other) {
    *this = author_items(other);
    return *this;
  }
  author_items& operator=(author_items&&) noexcept = default;

  /// Number of authors: one more than the highest id.
  std::size_t authors() const { return items_.size(); }
  /// The items of an author, the oldest first, of equal times the lower item first; none of an author
  /// without items.
  std::span<const published_item> items(author_id author) const {
    if (author >= items_.size()) return {};
    return items_[author];
  }

  /// Adds an item. One that is there already gets the new author and time.
  ///
  /// Errors      std::invalid_argument if the author is 2^32 - 1.
  void add(author_id author, item_id item, std::int64_t time) {
    detail::check_that("author_items::add", "author", author, author != nobody, "below 2^32 - 1");
    // All memory first, so that nothing is changed if it runs out.
    if (item >= authors_.size()) authors_.resize(item + std::size_t{1}, nobody);
    if (author >= items_.size()) {
      std::vector<published_item> first;
      first.reserve(1);
      items_.resize(author + std::size_t{1});
      items_[author] = std::move(first);
    }
    auto& items = items_[author];
    if (items.size() == items.capacity()) items.reserve(2 * items.size());
    remove(item);
    const published_item added{time, item};
    items.insert(std::ranges::upper_bound(items, added), added);
    authors_[item] = author;
  }

  /// Removes an item; false if it was not there.
  bool remove(item_id item) noexcept {
    if (item >= authors_.size() || authors_[item] == nobody) return false;
    auto& items = items_[authors_[item]];
    const auto last = std::find_if(items.rbegin(), items.rend(),
                                   [&](const published_item& p) { return p.item == item; });
    items.erase(std::next(last).base());
    authors_[item] = nobody;
    return true;
  }

  /// Removes all items that were published before a time.
  void expire(std::int64_t before) noexcept {
    for (auto& items : items_) {
      const auto kept = std::ranges::lower_bound(items, before, {}, &published_item::time);
      for (auto i = items.begin(); i != kept; ++i) authors_[i->item] = nobody;
      items.erase(items.begin(), kept);
    }
  }

  /// See `HasState`. Throws a format_error if what was loaded does not fit together; the object is
  /// unchanged then.
  void visit_state(auto&& visit) {
    std::vector<std::uint64_t> ends;  // by author
    std::vector<item_id> items;
    std::vector<std::int64_t> times;
    for (const auto& of_author : items_) {
      for (const published_item& p : of_author) {
        items.push_back(p.item);
        times.push_back(p.time);
      }
      ends.push_back(items.size());
    }
    visit("ends", ends), visit("items", items), visit("times", times);
    if (!is_loading(visit)) return;
    const auto check = [](bool fits) {
      if (!fits)
        throw format_error("the items of authors are damaged: their arrays do not fit together");
    };
    check(items.size() == times.size() && ends.size() < nobody &&
          (ends.empty() ? 0 : ends.back()) == items.size());
    author_items loaded;
    loaded.items_.resize(ends.size());
    for (author_id a = 0; a < ends.size(); ++a) {
      const std::uint64_t begin = a == 0 ? 0 : ends[a - 1];
      check(begin <= ends[a] && ends[a] <= items.size());
      for (std::uint64_t i = begin; i < ends[a]; ++i) {
        check(items[i] >= loaded.authors_.size() || loaded.authors_[items[i]] == nobody);
        check(i == begin ||
              published_item{times[i - 1], items[i - 1]} < published_item{times[i], items[i]});
        loaded.add(a, items[i], times[i]);
      }
    }
    *this = std::move(loaded);
  }

 private:
  static constexpr author_id nobody = std::numeric_limits<author_id>::max();

  std::vector<std::vector<published_item>> items_;  // by author; sorted
  std::vector<author_id> authors_;                  // by item; nobody: not there
};

}  // namespace funnel
