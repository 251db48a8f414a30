// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/state.hpp>
#include <funnel/index/scored_item.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `cache_channel`.
struct cache_channel_options {
  /// Most items of a user, 1 or more; then the oldest leaves.
  std::size_t capacity = 50;
  /// An item leaves after it was found so often, 1 or more.
  std::uint32_t most_recalls = 10;
  /// How long an item stays, in the unit of all times, above 0; 3 days of seconds by default.
  std::int64_t window = 3 * 86'400;
};

/// Retrieval of what the ranker scored high but no page has shown yet. The ranker has seen these items
/// with all its features, so that they are better candidates than those of most other channels; a page
/// has room for few of them.
///
/// An item of a user leaves once it was shown, was found `most_recalls` times, is older than the window,
/// or `capacity` newer ones came (first in, first out). An item that is put in again keeps its place,
/// its time and its count, and takes the new score: otherwise it might never leave.
///
/// One thread uses a channel; share the users among several. A request allocates no memory once as many
/// users as now had items before.
///
/// Errors      std::bad_alloc; the channel is unchanged then.
/// Cost        24 bytes per item of the capacity for each user with an item, 4 bytes per user id. Each
///             call but `expire` looks at the items of one user.
/// Source      docs/formulas.md#cache-retrieval.
class cache_channel {
 public:
  /// Errors      std::invalid_argument if an option is out of range.
  explicit cache_channel(const cache_channel_options& options = {}) : options_(options) {
    constexpr std::string_view name = "cache_channel";
    detail::check_at_least_one(name, "capacity", options.capacity);
    detail::array_size<entry>("funnel::cache_channel: capacity", options.capacity);
    detail::check_at_least_one(name, "most_recalls", options.most_recalls);
    detail::check_that(name, "window", options.window, options.window > 0, "above 0");
  }
  cache_channel(const cache_channel&) = default;
  cache_channel(cache_channel&&) noexcept = default;
  cache_channel& operator=(const cache_channel& other) {
    *this = cache_channel(other);
    return *this;
  }
  cache_channel& operator=(cache_channel&&) noexcept = default;

  /// Number of items of a user, with those that have expired since the last search.
  std::size_t size(user_id user) const { return items_of(user).size(); }
  /// Memory for the items and the users.
  std::size_t bytes() const {
    return sizeof(entry) * entries_.size() + 4 * (block_of_.size() + counts_.size());
  }

  /// Puts in what the ranker scored for a request and the page did not show, best first; only the first
  /// `capacity` items count.
  ///
  /// Errors      std::invalid_argument if a score is not a finite number.
  void put(user_id user, std::span<const scored_item> ranked, std::int64_t now) {
    ranked = ranked.first(std::min(ranked.size(), options_.capacity));
    for (const scored_item& s : ranked)
      detail::check_that("cache_channel::put", "a score", s.score, std::isfinite(s.score),
                         "a finite number");
    if (ranked.empty()) return;
    make_block(user);
    const std::uint32_t block = block_of_[user];
    entry* const begin = first_of(block);
    std::uint32_t& count = counts_[block];
    // The best come last, so that they leave last.
    for (std::size_t i = ranked.size(); i-- > 0;) {
      entry* const found = std::find_if(begin, begin + count,
                                        [&](const entry& e) { return e.item == ranked[i].item; });
      if (found != begin + count) {
        found->score = ranked[i].score;
        continue;
      }
      if (count == options_.capacity) {
        std::move(begin + 1, begin + count, begin);
        --count;
      }
      begin[count++] = {now, ranked[i].item, ranked[i].score, 0};
    }
  }

  /// Takes out the items that a page has shown. Those that are not there are passed over.
  void remove(user_id user, std::span<const item_id> shown) {
    keep(user, [&](const entry& e) { return std::ranges::find(shown, e.item) == shown.end(); });
  }

  /// Finds the items of a user for which `admits(item)` is true, best first, and returns their number.
  /// Each item that is written was found once more.
  ///
  /// Shapes      out [most].
  template <class Admits>
  std::size_t search(user_id user, std::int64_t now, std::span<scored_item> out,
                     const Admits& admits) {
    const std::span<entry> items = items_of(user);
    order_.clear();
    order_.reserve(items.size());
    for (std::size_t i = 0; i < items.size(); ++i)
      if (!is_old(items[i], now) && admits(items[i].item)) order_.push_back(i);
    const std::size_t count = std::min(out.size(), order_.size());
    std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(count),
                      order_.end(), [&](std::size_t a, std::size_t b) {
                        return ranks_before(items[a].score, items[a].item, items[b].score,
                                            items[b].item);
                      });
    for (std::size_t i = 0; i < count; ++i) {
      entry& e = items[order_[i]];
      out[i] = {e.item, e.score};
      ++e.recalls;
    }
    keep(user,
         [&](const entry& e) { return !is_old(e, now) && e.recalls < options_.most_recalls; });
    return count;
  }

  /// Takes out the items of all users that are older than the window, so that users who do not come back
  /// take no memory. Searches do not find them anyway.
  void expire(std::int64_t now) {
    for (std::size_t user = 0; user < block_of_.size(); ++user)
      keep(static_cast<user_id>(user), [&](const entry& e) { return !is_old(e, now); });
  }

  void visit_state(auto&& visit) {
    // Loaded values are checked before they take the place of those that are there.
    cache_channel_options options = options_;
    std::vector<std::uint64_t> sizes(block_of_.size());
    std::vector<std::int64_t> times;
    std::vector<item_id> items;
    std::vector<float> scores;
    std::vector<std::uint32_t> recalls;
    for (std::size_t user = 0; user < sizes.size(); ++user)
      for (const entry& e : items_of(static_cast<user_id>(user))) {
        ++sizes[user];
        times.push_back(e.time);
        items.push_back(e.item);
        scores.push_back(e.score);
        recalls.push_back(e.recalls);
      }
    visit("capacity", options.capacity);
    visit("most_recalls", options.most_recalls);
    visit("window", options.window);
    visit("sizes", sizes);
    visit("times", times);
    visit("items", items);
    visit("scores", scores);
    visit("recalls", recalls);
    if (!is_loading(visit)) return;
    const auto check = [](bool fits) {
      if (!fits) throw format_error("a cache channel is damaged: its arrays do not fit together");
    };
    const std::size_t n = items.size();
    check(times.size() == n && scores.size() == n && recalls.size() == n);
    cache_channel loaded;
    detail::check_loaded([&] { loaded = cache_channel(options); });
    std::size_t read = 0;
    for (std::size_t user = 0; user < sizes.size(); ++user) {
      check(sizes[user] <= options.capacity && sizes[user] <= n - read);
      if (sizes[user] == 0) continue;
      loaded.make_block(static_cast<user_id>(user));
      const std::uint32_t block = loaded.block_of_[user];
      entry* const begin = loaded.first_of(block);
      for (std::uint32_t& count = loaded.counts_[block]; count < sizes[user]; ++count, ++read) {
        const entry e{times[read], items[read], scores[read], recalls[read]};
        check(std::isfinite(e.score) && e.recalls < options.most_recalls &&
              std::none_of(begin, begin + count,
                           [&](const entry& other) { return other.item == e.item; }));
        begin[count] = e;
      }
    }
    check(read == n);
    loaded.block_of_.resize(sizes.size(), none);
    *this = std::move(loaded);
  }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  struct entry {
    std::int64_t time = 0;
    item_id item = 0;
    float score = 0;
    std::uint32_t recalls = 0;
  };

  entry* first_of(std::uint32_t block) { return entries_.data() + block * options_.capacity; }
  std::span<entry> items_of(user_id user) {
    if (user >= block_of_.size() || block_of_[user] == none) return {};
    return {first_of(block_of_[user]), counts_[block_of_[user]]};
  }
  std::span<const entry> items_of(user_id user) const {
    return const_cast<cache_channel*>(this)->items_of(user);
  }
  /// The difference of two times as an unsigned number. An item that came after `now` is not old.
  bool is_old(const entry& e, std::int64_t now) const {
    return e.time <= now && static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(e.time) >=
                                static_cast<std::uint64_t>(options_.window);
  }

  /// Keeps the items of a user for which `stays` is true, in their order. Allocates nothing.
  template <class Stays>
  void keep(user_id user, const Stays& stays) {
    const std::span<entry> items = items_of(user);
    if (items.empty()) return;
    const auto end =
        std::remove_if(items.begin(), items.end(), [&](const entry& e) { return !stays(e); });
    std::uint32_t& count = counts_[block_of_[user]];
    count = static_cast<std::uint32_t>(end - items.begin());
    if (count > 0) return;
    count = free_;
    free_ = block_of_[user];
    block_of_[user] = none;
  }
  /// Gives a user a block of memory.
  void make_block(user_id user) {
    if (user >= block_of_.size()) block_of_.resize(std::size_t{user} + 1, none);
    if (block_of_[user] != none) return;
    if (free_ >= counts_.size()) {  // none, or what a move left
      const std::size_t blocks = counts_.size();
      if (blocks >= none) throw std::bad_alloc();
      entries_.resize(detail::array_size<entry>("funnel::cache_channel: users x capacity",
                                                blocks + 1, options_.capacity));
      counts_.push_back(none);
      free_ = static_cast<std::uint32_t>(blocks);
    }
    block_of_[user] = std::exchange(free_, counts_[free_]);
    counts_[block_of_[user]] = 0;
  }

  cache_channel_options options_;
  std::vector<std::uint32_t> block_of_;  // by user; `none` if the user has no items
  std::vector<std::uint32_t> counts_;  // of the items of a block; of a free one, the next free one
  std::uint32_t free_ = none;          // the first free block
  std::vector<entry> entries_;         // of block after block; the oldest of a block first
  std::vector<std::size_t> order_;
};

}  // namespace funnel
