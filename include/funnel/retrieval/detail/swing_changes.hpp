// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/retrieval/detail/latest_entries.hpp>
#include <funnel/retrieval/detail/pair_lists.hpp>
#include <funnel/simd/detail/prefetch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace funnel::detail {

/// A user of online_swing: its items, and its weight w_u.
struct swing_user : latest_entries {
  double weight = 0;
};

/// What one event changes in the pairs of items, first summed over all users who have something to do
/// with it. Items of the event's user are named by their place in its list.
class swing_changes {
 public:
  struct terms {
    double alpha;          ///< what is added to the number of common items
    double without, with;  ///< weights of the user, without the item and with it
    bool all_pairs;        ///< or only those of the item
    bool all_users;        ///< or only those of the item
  };

  /// Makes room for a user with n items, so that nothing else fails.
  void reserve(std::size_t n, std::size_t users, std::size_t items, bool all_pairs) {
    const auto grow = [](auto& values, std::size_t size) {
      if (values.size() >= size) return;
      if (values.capacity() < size) values.reserve(std::max(size, 2 * values.size()));
      values.resize(size);
    };
    grow(places_, items);
    grow(seen_, users);
    grow(common_, n + 1);
    grow(of_item_, n);
    if (all_pairs) grow(square_, n * n);
  }

  /// Sums what changes if a user gets an item. The lists have neither the item nor the user.
  void collect(std::span<const swing_user> users, std::span<const latest_entries> holders,
               std::size_t user, std::size_t item, const terms& t) noexcept {
    const std::span<const std::uint32_t> own = users[user].rows;
    for (std::size_t i = 0; i < own.size(); ++i)
      places_[own[i]] = static_cast<std::uint32_t>(i + 1);
    const std::span<const std::uint32_t> have = holders[item].rows;
    constexpr std::size_t ahead = 4;
    for (std::size_t v = 0; v < have.size(); ++v) {
      if (v + 2 * ahead < have.size())
        prefetch_bytes<false>(users.data() + have[v + 2 * ahead], sizeof(swing_user));
      if (v + ahead < have.size()) {
        const std::vector<std::uint32_t>& next = users[have[v + ahead]].rows;
        prefetch_bytes<false>(next.data(), next.size() * sizeof(std::uint32_t));
      }
      meet(users[have[v]], own.size(), true, t);
    }
    if (t.all_users) {
      ++stamp_;
      seen_[user] = stamp_;
      for (const std::uint32_t v : have) seen_[v] = stamp_;
      for (const std::uint32_t row : own)
        for (const std::uint32_t v : holders[row].rows)
          if (std::exchange(seen_[v], stamp_) != stamp_) meet(users[v], own.size(), false, t);
    }
    for (const std::uint32_t row : own) places_[row] = 0;
  }

  /// Adds what was summed, times `factor`, to the pairs of a user with the items `own`, and forgets it.
  /// The lists have room.
  void apply(pair_lists& pairs, std::span<const std::uint32_t> own, std::size_t item, int sign,
             double factor) noexcept {
    const std::size_t n = own.size();
    for (const std::uint32_t row : own) pairs.prefetch(row, item);
    for (std::size_t i = 0; i < n; ++i) {
      const auto [sum, count] = std::exchange(of_item_[i], {});
      if (count == 0) continue;
      pairs.change(item, own[i], sign * count, factor * sum);
      pairs.change(own[i], item, sign * count, factor * sum);
    }
    if (!std::exchange(any_square_, false)) return;
    for (std::size_t i = 0; i < n; ++i) {
      const auto row = std::span(square_).subspan(i * n, n);
      row[i] = 0;
      for (std::size_t j = 0; j < n; ++j)
        if (row[j] != 0) pairs.prefetch(own[i], own[j]);
      for (std::size_t j = 0; j < n; ++j)
        if (const double more = std::exchange(row[j], 0); more != 0)
          pairs.change(own[i], own[j], 0, factor * more);
    }
  }

 private:
  struct item_sum {
    double sum = 0;
    std::int64_t users = 0;  // pairs of users
  };

  /// Another user, who has the item or not. n: items of the event's user.
  void meet(const swing_user& other, std::size_t n, bool has_item, const terms& t) noexcept {
    std::size_t count = 0;
    for (const std::uint32_t row : other.rows) {
      // Without a branch: whether an item is common is hard to predict.
      common_[count] = places_[row];
      count += places_[row] != 0 ? std::size_t{1} : 0;
    }
    if (count == 0) return;
    const auto common = std::span(common_).first(count);
    const double overlap = t.alpha + static_cast<double>(count);
    const double term = t.with * other.weight / (has_item ? overlap + 1 : overlap);
    if (has_item)
      for (const std::uint32_t i : common) {
        of_item_[i - 1].sum += term;
        ++of_item_[i - 1].users;
      }
    if (!t.all_pairs || count < 2) return;
    any_square_ = true;
    const double more = term - t.without * other.weight / overlap;
    for (const std::uint32_t i : common)
      for (const std::uint32_t j : common) square_[(i - 1) * n + j - 1] += more;
  }

  // Between the calls zeros, but for common_ and seen_.
  std::vector<std::uint32_t> places_;  // by item: its place, counted from 1; 0: not of the user
  std::vector<std::uint32_t> common_;  // places
  std::vector<item_sum> of_item_;      // by place: the pairs with the item
  std::vector<double> square_;         // by place and place: the other pairs
  bool any_square_ = false;
  std::vector<std::uint64_t> seen_;  // by user: the stamp of the last event that met it
  std::uint64_t stamp_ = 0;
};

}  // namespace funnel::detail
