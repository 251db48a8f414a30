// SPDX-License-Identifier: MIT
#include <funnel/index/cosine_kmeans.hpp>
#include <funnel/retrieval/author_affinity.hpp>
#include <funnel/retrieval/author_expander.hpp>
#include <funnel/retrieval/cache_channel.hpp>
#include <funnel/retrieval/cluster_channel.hpp>
#include <funnel/retrieval/item_pool.hpp>
#include <funnel/retrieval/look_alike.hpp>
#include <funnel/retrieval/popular_items.hpp>
#include <funnel/retrieval/seen_filter.hpp>
#include <funnel/retrieval/user_expander.hpp>

#include "support/failing_allocator.hpp"
#include "support/matrices.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

using failing_allocator::check_every_failure;

TEST_CASE("out of memory: item_pool") {
  const auto make = [] {
    funnel::item_pool pool({.window = 50});
    pool.add(3, 10);
    return pool;
  };
  const auto observe = [](const funnel::item_pool& pool) { return pool.items(20); };
  check_every_failure(
      "add", make, [](auto& pool) { pool.add(1000, 15); }, observe);
  funnel::item_pool other;
  other.add(5, 1);
  check_every_failure(
      "copy", make, [&](auto& pool) { pool = other; }, observe);
}

TEST_CASE("out of memory: seen_filter") {
  const auto make = [] {
    funnel::seen_filter seen({.day = 10, .capacity = 2});
    for (funnel::item_id i = 0; i < 8; ++i) seen.add(1, i, 10);
    return seen;
  };
  const auto observe = [](const funnel::seen_filter& seen) {
    std::vector<bool> found;
    for (funnel::user_id u = 0; u < 40; ++u)
      for (funnel::item_id i = 0; i < 10; ++i) found.push_back(seen.contains(u, i));
    return found;
  };
  const auto add = [](funnel::seen_filter& seen) {
    for (funnel::item_id i = 2; i < 5; ++i) seen.add(2, i, 10);
  };
  check_every_failure(
      "add", make, [](auto& seen) { seen.add(33, 4, 20); }, observe);
  // After a block that could not be made the arrays still fit together.
  check_every_failure(
      "a block", make, [](auto& seen) { seen.add(1, 9, 30); },
      [&](const auto& seen) {
        funnel::seen_filter more = seen;
        add(more);
        return observe(more);
      });
  funnel::seen_filter other;
  other.add(5, 1, 0);
  check_every_failure(
      "copy", make, [&](auto& seen) { seen = other; }, observe);
}

TEST_CASE("out of memory: clusters, and the channel of them") {
  const funnel::matrix<float> few = random_matrix<float>(3, 2, 1),
                              many = random_matrix<float>(9, 5, 2);
  const std::vector<float> vector{1, 2};
  const funnel::cosine_clusters<> other(many);
  check_every_failure(
      "copy", [&] { return funnel::cosine_clusters<>(few); }, [&](auto& c) { c = other; },
      [&](const funnel::cosine_clusters<>& c) {
        return std::pair(c.size(), c.nearest(c.dim() == 2 ? vector : std::vector<float>(5, 1)));
      });
  const auto make = [&] {
    funnel::cluster_channel<> channel{funnel::cosine_clusters<>(few)};
    for (funnel::item_id i = 0; i < 4; ++i) channel.add(i, vector, i);
    return channel;
  };
  const auto observe = [&](const funnel::cluster_channel<>& channel) {
    funnel::arena scratch;
    std::vector<funnel::scored_item> out(9);
    const auto seeds = funnel::matrix_view<const float>(vector.data(), 1, 2);
    out.resize(channel.search(seeds, 50, out, funnel::all_items{}, scratch));
    std::vector<float> found{static_cast<float>(channel.size())};
    for (const auto& s : out) found.insert(found.end(), {static_cast<float>(s.item), s.score});
    return found;
  };
  check_every_failure(
      "add", make, [&](auto& channel) { channel.add(1000, vector, 30); }, observe);
  check_every_failure(
      "replace", make, [&](auto& channel) { channel.add(2, vector, 30); }, observe);
  const funnel::cluster_channel<> another{funnel::cosine_clusters<>(few)};
  check_every_failure(
      "copy", make, [&](auto& channel) { channel = another; }, observe);
}

TEST_CASE("out of memory: cache_channel") {
  const std::vector<funnel::scored_item> ranked{{1, 3}, {2, 2}, {3, 1}};
  const auto make = [&] {
    funnel::cache_channel channel({.capacity = 2, .most_recalls = 2});
    channel.put(0, ranked, 10);
    return channel;
  };
  const auto observe = [](const funnel::cache_channel& channel) {
    funnel::cache_channel copy = channel;
    std::vector<float> all;
    for (funnel::user_id u = 0; u < 40; ++u) {
      std::vector<funnel::scored_item> out(3);
      out.resize(copy.search(u, 20, out, [](funnel::item_id) { return true; }));
      for (const auto& s : out) all.insert(all.end(), {static_cast<float>(s.item), s.score});
    }
    return all;
  };
  check_every_failure(
      "put", make, [&](auto& channel) { channel.put(33, ranked, 10); }, observe);
  check_every_failure(
      "search", make,
      [](auto& channel) {
        std::vector<funnel::scored_item> out(3);
        for (int i = 0; i < 2; ++i)
          channel.search(0, 20, out, [](funnel::item_id) { return true; });
      },
      observe);
  funnel::cache_channel other;
  other.put(3, ranked, 10);
  check_every_failure(
      "copy", make, [&](auto& channel) { channel = other; }, observe);
}

TEST_CASE("out of memory: channels by authors and similar users") {
  const auto admits = [](std::uint32_t) { return true; };
  const auto make = [] {
    funnel::author_items items;
    items.add(0, 1, 10);
    items.add(0, 2, 20);
    return items;
  };
  const auto observe = [](const funnel::author_items& items) {
    std::vector<float> all{static_cast<float>(items.authors())};
    for (funnel::author_id a = 0; a < 9; ++a)
      for (const auto& p : items.items(a))
        all.insert(all.end(), {static_cast<float>(p.item), static_cast<float>(p.time)});
    return all;
  };
  check_every_failure(
      "add", make, [](auto& items) { items.add(5, 900, 15); }, observe);
  check_every_failure(
      "move to another author", make, [](auto& items) { items.add(5, 1, 15); }, observe);
  funnel::author_items other;
  for (funnel::item_id i = 0; i < 9; ++i) other.add(i % 4, i, i);
  check_every_failure(
      "copy", make, [&](auto& items) { items = other; }, observe);

  const auto found_by = [&](auto& by, auto... request) {
    std::vector<funnel::scored_item> found(9);
    found.resize(by.search(request..., found, admits));
    std::vector<float> all;
    for (const auto& f : found) all.insert(all.end(), {static_cast<float>(f.item), f.score});
    return all;
  };
  using ids = std::vector<funnel::author_id>;
  // A search that ran out of memory leaves nothing for the next one.
  check_every_failure(
      "author_expander", [&] { return funnel::author_expander(other); },
      [&](auto& by) {
        found_by(by, ids{0, 1, 2}, 10);
      },
      [&](const funnel::author_expander& by) {
        funnel::author_expander copy = by;
        return found_by(copy, ids{1}, 10);
      });
  using lists = std::vector<std::vector<funnel::scored_item>>;
  const funnel::neighbor_table similar(lists{{{1, 1}, {2, .5f}}, {{0, 1}}, {}});
  const funnel::sparse_matrix liked(
      std::vector<funnel::sparse_entry>{{0, 1}, {1, 1}, {1, 2}, {2, 3}});
  check_every_failure(
      "user_expander", [&] { return funnel::user_expander(similar, liked); },
      [&](auto& by) { found_by(by, 0u); },
      [&](const funnel::user_expander& by) {
        funnel::user_expander copy = by;
        return found_by(copy, 1u);
      });

  const auto make_affinity = [] {
    funnel::author_affinity by({.half_life = 10});
    by.add_action(0, 3, 5, 2);
    return by;
  };
  const auto observe_affinity = [&](const funnel::author_affinity& by) {
    auto all = found_by(by, 0u, 10);
    const auto more = found_by(by, 70u, 10);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  check_every_failure(
      "affinity: a user", make_affinity, [](auto& by) { by.add_action(70, 3, 5, 2); },
      observe_affinity);
  check_every_failure(
      "affinity: an author", make_affinity, [](auto& by) { by.add_action(0, 2, 15, 2); },
      observe_affinity);
  funnel::author_affinity another;
  another.add_action(0, 1, 10, 1);
  check_every_failure(
      "affinity: copy", make_affinity, [&](auto& by) { by = another; }, observe_affinity);
}

TEST_CASE("out of memory: popular_items") {
  const auto make = [] {
    funnel::popular_items by({.half_life = 10});
    by.add(0, 1, 5);
    by.add(7, 2, 5);
    by.add(7, 3, 15);
    by.add(7, 5, 15);
    return by;
  };
  const auto observe = [](const funnel::popular_items& by) {
    std::vector<float> all;
    for (const std::uint64_t segment : {0u, 7u, 9u}) {
      std::vector<funnel::scored_item> found(9);
      found.resize(by.search(segment, 10, found, [](std::uint32_t) { return true; }));
      for (const auto& f : found)
        all.insert(all.end(), {static_cast<float>(f.item), f.score,
                               static_cast<float>(by.count(segment, f.item, 10))});
    }
    return all;
  };
  check_every_failure(
      "a segment", make, [](auto& by) { by.add(9, 4, 10); }, observe);
  check_every_failure(
      "an item", make, [](auto& by) { by.add(7, 4, 10); }, observe);
  check_every_failure(
      "many", make,
      [](auto& by) {
        funnel::popular_items more = by;
        for (funnel::item_id i = 0; i < 40; ++i) more.add(7, i, 10);
        by = std::move(more);
      },
      observe);
  check_every_failure(
      "forget", make, [](auto& by) { by.forget(15, .7); }, observe);
  funnel::popular_items other;
  other.add(9, 1, 10);
  check_every_failure(
      "copy", make, [&](auto& by) { by = other; }, observe);
}

TEST_CASE("out of memory: look_alike") {
  const std::vector<float> user{1, 2}, third{1, 2, 3};
  const auto make = [&] {
    funnel::look_alike<> by(2, {.min_users = 1});
    by.add(3, user, 10);
    return by;
  };
  const auto observe = [&](const funnel::look_alike<>& by) {
    std::vector<funnel::scored_item> out(9);
    out.resize(by.search(by.dim() == 2 ? user : third, 20, out, funnel::all_items{}));
    std::vector<float> all{static_cast<float>(by.size())};
    for (const auto& s : out) all.insert(all.end(), {static_cast<float>(s.item), s.score});
    return all;
  };
  check_every_failure(
      "add", make, [&](auto& by) { by.add(1000, user, 15); }, observe);
  funnel::look_alike<> other(3);
  other.add(5, third, 1);
  check_every_failure(
      "copy", make, [&](auto& by) { by = other; }, observe);
}

TEST_CASE("searches of channels ask for no memory after the first one") {
  funnel::author_items items;
  funnel::author_affinity likes;
  funnel::popular_items popular;
  for (funnel::item_id i = 0; i < 200; ++i) {
    items.add(i % 20, i, i);
    likes.add_action(0, i % 20, i, 1);
    popular.add(i % 3, i, i);
  }
  std::vector<std::vector<funnel::scored_item>> lists(2);
  lists[0] = {{1, 1}};
  const funnel::neighbor_table similar(lists);
  const funnel::sparse_matrix liked(std::vector<funnel::sparse_entry>{{1, 1}, {1, 2}});
  funnel::user_expander users(similar, liked);
  funnel::author_expander authors(items);
  std::vector<funnel::scored_item> found(50), of(10);
  const std::vector<funnel::popular_segment> segments{{1, 0}, {2, 0}, {0, 1}};
  const auto admits = [](std::uint32_t i) { return i % 2 == 0; };
  std::size_t count = 0;
  const auto search = [&] {
    count = users.search(0, found, admits);
    count += likes.search(0, 500, of, admits);
    count += authors.search(std::span<const funnel::scored_item>(of), 500, found, admits);
    count += popular.search(segments, 500, found, admits);
  };
  search();
  CHECK(count == 1 + 10 + 50 + 50);
  CHECK(!failing_allocator::runs_out(0, false, search));
  CHECK(count == 1 + 10 + 50 + 50);
}
