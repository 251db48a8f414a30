// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/core/state.hpp>
#include <funnel/index/cosine_kmeans.hpp>
#include <funnel/index/scored_item.hpp>
#include <funnel/simd/arch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `cluster_channel`.
struct cluster_channel_options {
  /// Items of a cluster for each seed that is in it, 1 or more. m.
  std::size_t per_seed = 20;
  /// How long an item stays after its publication, in the unit of all times, above 0. By default, until
  /// newer items take its place.
  std::int64_t window = std::numeric_limits<std::int64_t>::max();
  /// Items that a cluster keeps, the newest, 1 or more.
  std::size_t most_items = 1000;
};

/// Retrieval of new items by cluster: the newest items of the clusters that the items are in which the
/// user liked last (the seeds). A new item needs no interactions, only a vector of its content.
///
///     of a cluster with n seeds: the m n newest items,   published <= now < published + window
///     score = published - now
///
/// Items that are added or removed count at once; none is found that has expired. Any number of threads
/// may search a channel that no thread changes.
///
/// Errors      std::bad_alloc; the channel is unchanged then.
/// Cost        16 bytes per item that is kept, and 4 per item id up to the largest. A search compares
///             each seed with all centroids, and reads the newest items of their clusters.
/// Source      docs/formulas.md#cluster-retrieval.
template <class Arch = default_arch>
class cluster_channel {
 public:
  /// Errors      std::invalid_argument if there are no clusters or an option is out of range.
  explicit cluster_channel(cosine_clusters<Arch> clusters,
                           const cluster_channel_options& options = {})
      : clusters_(std::move(clusters)), options_(options), lists_(clusters_.size()) {
    constexpr std::string_view name = "cluster_channel";
    detail::check_not_empty(name, "clusters", clusters_.size());
    detail::check_at_least_one(name, "per_seed", options.per_seed);
    detail::check_that(name, "window", options.window, options.window > 0, "above 0");
    detail::check_at_least_one(name, "most_items", options.most_items);
  }
  cluster_channel(const cluster_channel&) = default;
  cluster_channel(cluster_channel&&) noexcept = default;
  cluster_channel& operator=(const cluster_channel& other) {
    *this = cluster_channel(other);
    return *this;
  }
  cluster_channel& operator=(cluster_channel&&) noexcept = default;

  const cosine_clusters<Arch>& clusters() const { return clusters_; }
  /// Number of items, with those that have expired since the last call of `expire`.
  std::size_t size() const {
    std::size_t count = 0;
    for (const std::vector<entry>& list : lists_) count += list.size();
    return count;
  }

  /// Adds an item, or replaces it. The oldest item of a cluster that is full leaves.
  ///
  /// Shapes      vector [d], as those of the clusters.
  /// Errors      std::invalid_argument as `cosine_clusters::nearest`, or if the vector is zero: it is
  ///             in no cluster.
  void add(item_id item, std::span<const float> vector, std::int64_t published) {
    const cluster_id cluster = clusters_.nearest(vector);
    if (cluster == no_cluster)
      detail::fail("funnel::cluster_channel::add: vector of item ", item,
                   " is zero, expected one with a direction");
    if (item >= cluster_of_.size()) cluster_of_.resize(std::size_t{item} + 1, no_cluster);
    std::vector<entry>& list = lists_[cluster];
    list.push_back({published, item});  // nothing fails from here on
    list.pop_back();
    remove(item);
    const entry added{published, item};
    list.insert(std::ranges::upper_bound(list, added, newer), added);
    cluster_of_[item] = cluster;
    if (list.size() > options_.most_items) {
      cluster_of_[list.back().item] = no_cluster;
      list.pop_back();
    }
  }
  /// Takes an item out; returns whether it was there.
  bool remove(item_id item) {
    if (item >= cluster_of_.size() || cluster_of_[item] == no_cluster) return false;
    std::vector<entry>& list = lists_[cluster_of_[item]];
    list.erase(std::ranges::find(list, item, &entry::item));
    cluster_of_[item] = no_cluster;
    return true;
  }
  /// Gives back the memory of items that have expired. Searches do not find them anyway.
  void expire(std::int64_t now) {
    for (std::vector<entry>& list : lists_)
      while (!list.empty() && list.back().published <= now && !is_fresh(list.back(), now)) {
        cluster_of_[list.back().item] = no_cluster;
        list.pop_back();
      }
  }

  /// Finds the newest items of the clusters of the seeds for which `admits(item)` is true, newest first,
  /// and returns their number. Seeds of zeros lead nowhere.
  ///
  /// Shapes      seeds [s, d]; out [most].
  /// Errors      std::invalid_argument as `cosine_clusters::nearest`; `out` is unchanged then.
  /// Cost        `scratch` holds 4 bytes per seed and 8 per item that is found until it is reset.
  template <class Admits>
  std::size_t search(matrix_view<const float> seeds, std::int64_t now, std::span<scored_item> out,
                     const Admits& admits, arena& scratch) const {
    cluster_id* of_seeds = scratch.allocate<cluster_id>(seeds.rows());
    for (std::size_t s = 0; s < seeds.rows(); ++s) of_seeds[s] = clusters_.nearest(seeds.row(s));
    cluster_id* const end = of_seeds + seeds.rows();
    std::sort(of_seeds, end);
    std::size_t most = 0;
    for_each_cluster(of_seeds, end, [&](const std::vector<entry>&, std::size_t m) { most += m; });
    scored_item* found = scratch.allocate<scored_item>(most);
    std::size_t count = 0;
    for_each_cluster(of_seeds, end, [&](const std::vector<entry>& list, std::size_t m) {
      for (const entry& e : list) {
        if (m == 0) break;
        if (e.published > now) continue;
        if (!is_fresh(e, now)) break;
        if (!admits(e.item)) continue;
        found[count++] = {e.item, 0.f - static_cast<float>(age(e, now))};
        --m;
      }
    });
    const std::size_t n = std::min(out.size(), count);
    std::partial_sort(
        found, found + n, found + count,
        [](const scored_item& a, const scored_item& b) { return ranks_before(a, b); });
    std::copy(found, found + n, out.begin());
    return n;
  }

  void visit_state(auto&& visit) {
    // Loaded values are checked before they take the place of those that are there.
    cosine_clusters<Arch> clusters = clusters_;
    cluster_channel_options options = options_;
    std::vector<std::uint64_t> sizes;
    std::vector<std::int64_t> published;
    std::vector<item_id> items;
    for (const std::vector<entry>& list : lists_) {
      sizes.push_back(list.size());
      for (const entry& e : list) {
        published.push_back(e.published);
        items.push_back(e.item);
      }
    }
    visit("clusters", clusters);
    visit("per_seed", options.per_seed);
    visit("window", options.window);
    visit("most_items", options.most_items);
    visit("sizes", sizes);
    visit("published", published);
    visit("items", items);
    if (!is_loading(visit)) return;
    std::vector<std::vector<entry>> lists(clusters.size());
    std::vector<cluster_id> cluster_of;
    bool fits = clusters.size() > 0 && options.per_seed > 0 && options.window > 0 &&
                sizes.size() == lists.size() && items.size() == published.size();
    std::size_t read = 0;
    for (std::size_t c = 0; fits && c < sizes.size(); ++c) {
      fits = sizes[c] <= options.most_items && sizes[c] <= items.size() - read;
      for (std::uint64_t i = 0; fits && i < sizes[c]; ++i, ++read) {
        const entry e{published[read], items[read]};
        if (e.item >= cluster_of.size()) cluster_of.resize(std::size_t{e.item} + 1, no_cluster);
        fits = cluster_of[e.item] == no_cluster && (i == 0 || newer(lists[c].back(), e));
        cluster_of[e.item] = static_cast<cluster_id>(c);
        lists[c].push_back(e);
      }
    }
    if (!fits || read != items.size())
      throw format_error("a cluster channel is damaged: its arrays do not fit together");
    clusters_ = std::move(clusters);
    options_ = options;
    lists_ = std::move(lists);
    cluster_of_ = std::move(cluster_of);
  }

 private:
  struct entry {
    std::int64_t published = 0;
    item_id item = 0;
  };
  static bool newer(const entry& a, const entry& b) {
    return a.published != b.published ? a.published > b.published : a.item < b.item;
  }
  /// The difference of any two times is an unsigned number.
  static std::uint64_t age(const entry& e, std::int64_t now) {
    return static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(e.published);
  }
  /// Of an entry that is not in the future.
  bool is_fresh(const entry& e, std::int64_t now) const {
    return options_.window == std::numeric_limits<std::int64_t>::max() ||
           age(e, now) < static_cast<std::uint64_t>(options_.window);
  }
  /// Calls `visit(list, most)` for each cluster of the sorted clusters of seeds.
  template <class Visit>
  void for_each_cluster(const cluster_id* begin, const cluster_id* end, const Visit& visit) const {
    for (const cluster_id* next = begin; begin != end; begin = next) {
      while (next != end && *next == *begin) ++next;
      if (*begin == no_cluster) return;  // the last
      const std::vector<entry>& list = lists_[*begin];
      const auto seeds = static_cast<std::size_t>(next - begin);
      visit(list,
            options_.per_seed > list.size() / seeds ? list.size() : options_.per_seed * seeds);
    }
  }

  cosine_clusters<Arch> clusters_;
  cluster_channel_options options_;
  std::vector<std::vector<entry>> lists_;  // by cluster, newest first
  std::vector<cluster_id> cluster_of_;     // by item
};

}  // namespace funnel
