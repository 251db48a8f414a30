// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/cosine.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/index/score_items.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `look_alike`.
struct look_alike_options {
  /// Items with fewer users are not found, 1 or more.
  std::size_t min_users = 3;
  /// How long an item stays after its publication, in the unit of all times, above 0. By default, until
  /// it is removed.
  std::int64_t window = std::numeric_limits<std::int64_t>::max();
};

/// Retrieval of new items by the users who liked them first (look-alike): an item suits the users whose
/// vectors are like theirs.
///
///     v_i = s / |s|,   s = sum over the users u who interacted with i of  a_u / |a_u|
///     score(u, i) = (a_u . v_i) / |a_u|
///
/// The vector of an item changes with each user that is added. The search is exact, over the few items
/// that are new. None is found that has expired. Any number of threads may search while no thread
/// changes the object.
///
/// Order       by score; of equal ones the lower item first.
/// Errors      std::bad_alloc; the object is unchanged then.
/// Cost        12 d + 24 bytes per item, 4 per item id up to the largest. Adding a user takes O(d), a
///             search 2 d operations per item; it allocates nothing.
/// Numerics    the sums are in double, the vectors and scores in float.
/// Source      docs/formulas.md#look-alike.
template <class Arch = default_arch>
class look_alike {
 public:
  /// Of user vectors of `dim` values.
  ///
  /// Errors      std::invalid_argument if `dim` is 0 or an option is out of range.
  explicit look_alike(std::size_t dim, const look_alike_options& options = {})
      : dim_(dim), options_(options) {
    constexpr std::string_view name = "look_alike";
    detail::check_at_least_one(name, "dim", dim);
    detail::array_size<double>("funnel::look_alike: dim", dim);
    detail::check_at_least_one(name, "min_users", options.min_users);
    detail::check_that(name, "window", options.window, options.window > 0, "above 0");
  }
  look_alike(const look_alike&) = default;
  look_alike(look_alike&&) noexcept = default;
  look_alike& operator=(const look_alike& other) {
    *this = look_alike(other);
    return *this;
  }
  look_alike& operator=(look_alike&&) noexcept = default;

  std::size_t dim() const { return dim_; }
  /// Number of items, with those that have too few users or have expired since the last call of
  /// `expire`.
  std::size_t size() const { return items_.size(); }
  /// Number of users of an item.
  std::size_t users(item_id item) const {
    const std::uint32_t slot = slot_of(item);
    return slot == none ? 0 : static_cast<std::size_t>(items_[slot].users);
  }
  /// The vector of an item, of length 1, or of zeros if its users cancel each other; valid until the next
  /// change. Empty if it has no users.
  std::span<const float> vector(item_id item) const {
    const std::uint32_t slot = slot_of(item);
    return slot == none ? std::span<const float>() : rows().row(slot);
  }

  /// Adds a user who interacted with an item, and says when the item was published. A user who is added
  /// twice counts twice.
  ///
  /// Shapes      user_vector [dim()], of any length but 0.
  /// Errors      std::invalid_argument on other shapes, or if the vector is zero or not finite.
  void add(item_id item, std::span<const float> user_vector, std::int64_t published) {
    detail::check_size("look_alike::add", "user_vector", user_vector.size(), dim_);
    const detail::unit_scale scale = detail::unit_scale_of(user_vector);
    if (!scale.has_direction())
      detail::fail("funnel::look_alike::add: user_vector has no direction, expected a finite "
                   "vector that is not zero");
    if (item >= slots_.size()) slots_.resize(std::size_t{item} + 1, none);
    if (slots_[item] == none) {
      const std::size_t n = items_.size();
      sums_.resize(detail::array_size<double>("funnel::look_alike: items x dim", n + 1, dim_));
      values_.resize((n + 1) * dim_);
      items_.push_back({published, 0, item});
      std::fill_n(sums_.begin() + static_cast<std::ptrdiff_t>(n * dim_), dim_, 0.);
      slots_[item] = static_cast<std::uint32_t>(n);
    }
    const std::uint32_t slot = slots_[item];
    items_[slot].published = published;
    ++items_[slot].users;
    for (std::size_t k = 0; k < dim_; ++k) sums_[slot * dim_ + k] += scale(user_vector[k]);
    write_row(slot);
  }
  /// Takes an item out; returns whether it was there.
  bool remove(item_id item) {
    const std::uint32_t slot = slot_of(item);
    if (slot == none) return false;
    // The last item takes its place.
    const std::size_t last = items_.size() - 1;
    std::copy_n(sums_.data() + last * dim_, dim_, sums_.data() + slot * dim_);
    std::copy_n(values_.data() + last * dim_, dim_, values_.data() + slot * dim_);
    items_[slot] = items_[last];
    slots_[items_[slot].item] = slot;
    slots_[item] = none;
    items_.pop_back();
    return true;
  }
  /// Takes out the items that have expired. Searches do not find them anyway.
  void expire(std::int64_t now) {
    for (std::size_t slot = items_.size(); slot-- > 0;)
      if (items_[slot].published <= now && !is_fresh(items_[slot], now)) remove(items_[slot].item);
  }

  /// Finds the items with the best scores for a user for which `admits(item)` is true, best first, and
  /// returns their number. For a vector of zeros there are none.
  ///
  /// Shapes      user_vector [dim()]; out [most].
  /// Errors      std::invalid_argument on other shapes, or if the square of the vector's length is not
  ///             a finite number; `out` is unchanged then.
  template <class Admits>
  std::size_t search(std::span<const float> user_vector, std::int64_t now,
                     std::span<scored_item> out, const Admits& admits) const {
    constexpr std::string_view name = "look_alike::search";
    detail::check_size(name, "user_vector", user_vector.size(), dim_);
    const double squares = detail::plain_products::squares(user_vector, 1);
    if (!(squares <= static_cast<double>(std::numeric_limits<float>::max())))
      detail::fail("funnel::look_alike::search: user_vector has squares that add up to ", squares,
                   ", expected at most ", std::numeric_limits<float>::max());
    if (squares == 0 || out.empty()) return 0;
    const double inverse = 1 / std::sqrt(squares);
    // The worst of the best is at the front of a heap.
    const auto before = [](const scored_item& a, const scored_item& b) {
      return ranks_before(a, b);
    };
    std::size_t count = 0;
    constexpr std::size_t block = 64;
    item_id slots[block];
    float scores[block];
    for (std::size_t next = 0; next < items_.size();) {
      std::size_t n = 0;
      for (; next < items_.size() && n < block; ++next)
        if (is_found(items_[next], now)) slots[n++] = static_cast<item_id>(next);
      score_items<Arch>(user_vector, rows(), std::span<const item_id>(slots, n),
                        std::span(scores, n));
      for (std::size_t i = 0; i < n; ++i) {
        const scored_item found{items_[slots[i]].item,
                                static_cast<float>(static_cast<double>(scores[i]) * inverse)};
        if (count == out.size() && !before(found, out.front())) continue;
        if (!admits(found.item)) continue;
        if (count == out.size()) {
          std::pop_heap(out.begin(), out.end(), before);
          --count;
        }
        out[count++] = found;
        std::push_heap(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), before);
      }
    }
    std::sort_heap(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), before);
    return count;
  }

  void visit_state(auto&& visit) {
    // Loaded values are checked before they take the place of those that are there.
    std::uint64_t dim = dim_;
    look_alike_options options = options_;
    std::vector<item_id> items;
    std::vector<std::uint64_t> users;
    std::vector<std::int64_t> published;
    for (const entry& e : items_) {
      items.push_back(e.item);
      users.push_back(e.users);
      published.push_back(e.published);
    }
    std::vector<double> sums(sums_.begin(),
                             sums_.begin() + static_cast<std::ptrdiff_t>(items.size() * dim_));
    visit("dim", dim);
    visit("min_users", options.min_users);
    visit("window", options.window);
    visit("items", items);
    visit("users", users);
    visit("published", published);
    visit("sums", sums);
    if (!is_loading(visit)) return;
    const std::size_t n = items.size();
    look_alike loaded(1);
    detail::check_loaded([&] { loaded = look_alike(dim, options); });
    bool fits = users.size() == n && published.size() == n && sums.size() / dim == n &&
                sums.size() % dim == 0;
    for (std::size_t i = 0; fits && i < n; ++i) {
      if (items[i] >= loaded.slots_.size()) loaded.slots_.resize(std::size_t{items[i]} + 1, none);
      fits = users[i] > 0 && loaded.slots_[items[i]] == none;
      loaded.slots_[items[i]] = static_cast<std::uint32_t>(i);
      loaded.items_.push_back({published[i], users[i], items[i]});
    }
    for (const double sum : sums) fits = fits && sum - sum == 0;
    if (!fits) throw format_error("a look-alike state is damaged: its arrays do not fit together");
    loaded.sums_ = std::move(sums);
    loaded.values_.resize(n * dim);
    for (std::size_t i = 0; i < n; ++i) loaded.write_row(i);
    *this = std::move(loaded);
  }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  struct entry {
    std::int64_t published = 0;
    std::uint64_t users = 0;
    item_id item = 0;
  };

  std::uint32_t slot_of(item_id item) const { return item < slots_.size() ? slots_[item] : none; }
  matrix_view<const float> rows() const { return {values_.data(), items_.size(), dim_}; }
  /// Of an item that is not in the future. The difference of two times is an unsigned number.
  bool is_fresh(const entry& e, std::int64_t now) const {
    return options_.window == std::numeric_limits<std::int64_t>::max() ||
           static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(e.published) <
               static_cast<std::uint64_t>(options_.window);
  }
  bool is_found(const entry& e, std::int64_t now) const {
    return e.users >= options_.min_users && e.published <= now && is_fresh(e, now);
  }
  void write_row(std::size_t slot) {
    const std::span<const double> sum(sums_.data() + slot * dim_, dim_);
    const double length = std::sqrt(detail::plain_products::squares(sum, 1));
    // Users who cancel each other leave rounding errors, whose direction means nothing.
    const bool cancels = length <= 1e-9 * static_cast<double>(items_[slot].users);
    for (std::size_t k = 0; k < dim_; ++k)
      values_[slot * dim_ + k] = cancels ? 0.f : static_cast<float>(sum[k] / length);
  }

  std::uint64_t dim_;
  look_alike_options options_;
  std::vector<std::uint32_t> slots_;  // by item
  std::vector<entry> items_;          // by slot
  std::vector<double> sums_;          // rows by slot; there may be more
  std::vector<float> values_;         // the same, of length 1
};

}  // namespace funnel
