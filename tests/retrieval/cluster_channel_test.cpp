// SPDX-License-Identifier: MIT
#include <funnel/retrieval/cluster_channel.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

constexpr std::int64_t first_time = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t last_time = std::numeric_limits<std::int64_t>::max();
using found_items = std::vector<std::pair<item_id, float>>;

/// Cluster c is the direction of axis c.
cosine_clusters<> axes(std::size_t n) {
  matrix<float> m(n, n);
  for (std::size_t c = 0; c < n; ++c) m(c, c) = 1;
  return cosine_clusters<>(m);
}
std::vector<float> axis(std::size_t n, std::size_t c) {
  std::vector<float> vector(n);
  vector[c] = 3;
  return vector;
}
matrix<float> axes_of(std::size_t n, const std::vector<std::size_t>& clusters) {
  matrix<float> m(clusters.size(), n);
  for (std::size_t s = 0; s < clusters.size(); ++s) m(s, clusters[s]) = 2;
  return m;
}
found_items search(const cluster_channel<>& channel, const matrix<float>& seeds, std::int64_t now,
                   std::size_t most, item_id excluded = 9999) {
  arena scratch;
  std::vector<scored_item> out(most, {77, 7});
  const std::size_t count = channel.search(
      seeds, now, out, [&](item_id i) { return i != excluded; }, scratch);
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].item == 77);
  found_items found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  return found;
}

}  // namespace

TEST_CASE("the newest items of the clusters of the seeds") {
  cluster_channel<> channel(axes(3), {.per_seed = 2, .window = 100});
  channel.add(10, axis(3, 0), 1000);
  channel.add(11, axis(3, 0), 1020);
  channel.add(12, axis(3, 0), 1010);
  channel.add(13, axis(3, 1), 1015);
  channel.add(14, axis(3, 2), 1030);
  CHECK(search(channel, axes_of(3, {0}), 1050, 9) == found_items{{11, -30}, {12, -40}});
  CHECK(search(channel, axes_of(3, {1, 0}), 1050, 9) ==
        found_items{{11, -30}, {13, -35}, {12, -40}});
  CHECK(search(channel, axes_of(3, {0, 0}), 1050, 9) ==
        found_items{{11, -30}, {12, -40}, {10, -50}});
  CHECK(search(channel, axes_of(3, {1, 0}), 1050, 2) == found_items{{11, -30}, {13, -35}});
  CHECK(search(channel, axes_of(3, {0}), 1050, 9, 11) == found_items{{12, -40}, {10, -50}});
  CHECK(search(channel, axes_of(3, {0}), 1010, 9) ==
        found_items{{12, 0}, {10, -10}});  // 11 is not out
  CHECK(search(channel, axes_of(3, {0}), 1110, 9) == found_items{{11, -90}});
  CHECK(search(channel, axes_of(3, {0}), 1120, 9).empty());
  CHECK(search(channel, matrix<float>(2, 3), 1050, 9).empty());
  CHECK(search(channel, matrix<float>(0, 3), 1050, 9).empty());
  CHECK(search(channel, axes_of(3, {0}), 1050, 0).empty());
  channel.add(11, axis(3, 1), 1040);  // replaced, in another cluster
  CHECK(search(channel, axes_of(3, {0}), 1050, 9) == found_items{{12, -40}, {10, -50}});
  CHECK(search(channel, axes_of(3, {1}), 1050, 9) == found_items{{11, -10}, {13, -35}});
  CHECK(channel.remove(11));
  CHECK_FALSE(channel.remove(11));
  CHECK_FALSE(channel.remove(1100));
  CHECK(search(channel, axes_of(3, {1}), 1050, 9) == found_items{{13, -35}});
  CHECK(channel.size() == 4);
  channel.expire(1110);
  CHECK(channel.size() == 2);
  CHECK_FALSE(channel.remove(10));
  channel.expire(1000);  // both are published later
  CHECK(channel.size() == 2);
}

TEST_CASE("a cluster that is full keeps the newest") {
  cluster_channel<> channel(axes(2), {.per_seed = 9, .most_items = 2});
  for (item_id i = 0; i < 5; ++i) channel.add(i, axis(2, 0), 10 - static_cast<std::int64_t>(i));
  CHECK(search(channel, axes_of(2, {0}), 20, 9) == found_items{{0, -10}, {1, -11}});
  CHECK_FALSE(channel.remove(4));
  channel.add(4, axis(2, 0), 15);
  CHECK(search(channel, axes_of(2, {0}), 20, 9) == found_items{{4, -5}, {0, -10}});
  CHECK(channel.size() == 2);
}

TEST_CASE("cluster_channel against a naive model, saved and loaded on the way") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    random_generator bits(seed);
    const std::size_t clusters = 1 + seed % 4, per_seed = 1 + seed % 3 * 2;
    const std::int64_t window = seed % 2 == 0 ? 40 : last_time;
    struct added {
      std::size_t cluster;
      std::int64_t published;
    };
    std::map<item_id, added> items;
    cluster_channel<> channel(axes(clusters), {.per_seed = per_seed, .window = window});
    std::int64_t now = 0;
    for (int step = 0; step < 500; ++step) {
      const auto item = static_cast<item_id>(uniform_below(bits, 60));
      const std::size_t cluster = uniform_below(bits, clusters);
      if (uniform_below(bits, 4) == 0) {
        CHECK(channel.remove(item) == (items.erase(item) == 1));
      } else {
        const std::int64_t published = now - static_cast<std::int64_t>(uniform_below(bits, 45)) + 5;
        channel.add(item, axis(clusters, cluster), published);
        items[item] = {cluster, published};
      }
      now += static_cast<std::int64_t>(uniform_below(bits, 3));
      if (step % 50 == 0) {
        channel.expire(now);
        std::erase_if(items, [&](const auto& i) {
          return window != last_time && now - i.second.published >= window;
        });
      }
      if (step % 70 == 0) {
        cluster_channel<> loaded(axes(5));
        saved_state(channel).load(loaded);
        CHECK(saved_state(loaded) == saved_state(channel));
        channel = loaded;
      }
      CHECK(channel.size() == items.size());
      std::vector<std::size_t> seeds(uniform_below(bits, 5));
      for (std::size_t& s : seeds) s = uniform_below(bits, clusters);
      found_items expected;
      for (std::size_t c = 0; c < clusters; ++c) {
        found_items of_cluster;
        for (const auto& [i, a] : items)
          if (a.cluster == c && a.published <= now &&
              (window == last_time || now < a.published + window) && i != 7)
            of_cluster.emplace_back(i, static_cast<float>(a.published - now));
        std::ranges::stable_sort(of_cluster, std::greater<>(), &found_items::value_type::second);
        const auto of_seeds = static_cast<std::size_t>(std::ranges::count(seeds, c));
        of_cluster.resize(std::min(of_cluster.size(), per_seed * of_seeds));
        expected.insert(expected.end(), of_cluster.begin(), of_cluster.end());
      }
      std::ranges::sort(expected, [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
      });
      const std::size_t most = 1 + uniform_below(bits, 30);
      expected.resize(std::min(expected.size(), most));
      REQUIRE(search(channel, axes_of(clusters, seeds), now, most, 7) == expected);
    }
  }
}

TEST_CASE("what a cluster channel refuses, and its ends") {
  const char* name = "funnel::cluster_channel";
  const auto refused = [&](const cluster_channel_options& options, const char* words) {
    return refuses([&] { cluster_channel<>(axes(2), options); }, name, words);
  };
  CHECK(refused({.per_seed = 0}, "per_seed is 0"));
  CHECK(refused({.window = 0}, "window is 0"));
  CHECK(refused({.window = first_time}, "window is -"));
  CHECK(refused({.most_items = 0}, "most_items is 0"));
  CHECK(refuses([&] { cluster_channel<>(cosine_clusters<>()); }, name, "clusters is empty"));
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t m : {largest, largest / 2 + 1}) {
    cluster_channel<> channel(axes(2), {.per_seed = m, .most_items = m});
    channel.add(0, axis(2, 0), first_time);
    channel.add(1, axis(2, 0), last_time);
    CHECK(search(channel, axes_of(2, {0, 0, 0}), last_time, 9) ==
          found_items{{1, 0}, {0, -0x1p64f}});
  }
  cluster_channel<> channel(axes(2), {.window = 10});
  channel.add(3, axis(2, 0), 5);
  const saved_state before(channel);
  CHECK(
      refuses([&] { channel.add(3, std::vector<float>(2), 7); }, name, "vector of item 3 is zero"));
  CHECK(refuses([&] { channel.add(3, std::vector<float>(3), 7); }, "funnel::cosine_clusters",
                "vector"));
  CHECK(saved_state(channel) == before);
  CHECK(refuses([&] { search(channel, matrix<float>(1, 3), 7, 2); }, "funnel::cosine_clusters",
                "vector"));
  channel.add(4, axis(2, 0), 4);
  const saved_state saved(channel);
  cluster_channel<> kept = channel;
  CHECK_THROWS_AS((saved.with<float>("clusters.centroids", {1, 0}).load(kept)), format_error);
  CHECK(saved_state(kept) == saved);
  const auto damaged = [&](const saved_state& state) {
    return refuses_state(channel, state, "do not fit together");
  };
  CHECK(damaged(saved.with<std::uint64_t>("per_seed", {0})));
  CHECK(damaged(saved.with<std::int64_t>("window", {0})));
  CHECK(damaged(saved.with<std::uint64_t>("most_items", {1})));
  CHECK(damaged(saved.with<std::uint64_t>("sizes", {2})));
  CHECK(damaged(saved.with<std::uint64_t>("sizes", {1, 0})));
  CHECK(damaged(saved.with<std::uint64_t>("sizes", {2, largest})));
  CHECK(damaged(saved.with<item_id>("items", {3})));
  CHECK(damaged(saved.with<item_id>("items", {3, 3})));
  CHECK(damaged(saved.with<std::int64_t>("published", {5, 6})));
}
