// SPDX-License-Identifier: MIT
#include <funnel/retrieval/popular_items.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using found_items = std::vector<std::pair<item_id, float>>;
using levels = std::vector<popular_segment>;

const auto all_items = [](item_id) { return true; };

template <class Segments, class Admits>
found_items search(const popular_items& by, const Segments& segments, std::int64_t now,
                   std::size_t most, const Admits& admits) {
  std::vector<scored_item> out(most, {99, -9});
  std::size_t count = 0;
  if constexpr (std::is_integral_v<Segments>)
    count = by.search(static_cast<std::uint64_t>(segments), now, out, admits);
  else
    count = by.search(segments, now, out, admits);
  found_items found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].score == -9);
  return found;
}

bool is_close(double found, double expected) {
  return tolerance::within(found, expected, tolerance::iterative<double>(2000, expected));
}
bool is_close(float found, double expected) {
  return tolerance::within(static_cast<double>(found), expected,
                           tolerance::elementwise<float>(expected));
}

struct event {
  std::uint64_t segment;
  item_id item;
  std::int64_t time;
  float weight;
};

std::vector<event> random_events(std::uint64_t seed, std::size_t count, std::size_t items) {
  random_generator bits(seed);
  std::vector<event> events;
  for (std::size_t i = 0; i < count; ++i)
    events.push_back({1000 * uniform_below(bits, 5),
                      static_cast<item_id>(uniform_below(bits, items)),
                      static_cast<std::int64_t>(uniform_below(bits, 1000)) - 500,
                      static_cast<float>(1 + uniform_below(bits, 3))});
  return events;
}

/// Sums by segment and item at a time.
std::map<std::uint64_t, std::map<item_id, double>> counts_of(const std::vector<event>& events,
                                                             std::int64_t now, double half_life) {
  std::map<std::uint64_t, std::map<item_id, double>> counts;
  for (const event& e : events)
    counts[e.segment][e.item] +=
        double{e.weight} * std::exp2(-static_cast<double>(now - e.time) / half_life);
  return counts;
}

}  // namespace

TEST_CASE("popular items by hand") {
  popular_items by({.half_life = 10, .smoothing = 2});
  by.add(7, 1, 100);
  by.add(7, 2, 110);
  by.add(7, 3, 110, 2);
  CHECK(is_close(by.count(7, 1, 110), .5));
  CHECK(is_close(by.count(7, 3, 120), 1));
  CHECK(by.count(7, 9, 110) == 0);
  CHECK(by.count(8, 1, 110) == 0);
  found_items found = search(by, 7, 110, 9, all_items);
  REQUIRE(found.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(found[i].first == 3 - i);
    CHECK(is_close(found[i].second, std::vector{2 / 3.5, 1 / 3.5, .5 / 3.5}[i]));
  }
  by.add(7, 1, 110);
  CHECK(search(by, 7, 110, 9, all_items)[1].first == 1);  // it has passed 2
  CHECK(search(by, 7, 110, 9, [](item_id i) { return i == 2; }).size() == 1);
  CHECK(search(by, 7, 110, 0, all_items).empty());
  CHECK(search(by, 8, 110, 9, all_items).empty());
  CHECK(search(by, levels{}, 110, 9, all_items).empty());
  CHECK(search(popular_items(), 7, 110, 9, all_items).empty());

  // Segment 20 has 2 events, so it counts as much as the level above.
  by.add(20, 5, 110);
  by.add(20, 2, 110);
  found = search(by, levels{{20, 0}, {7, 3}}, 110, 9, all_items);
  REQUIRE(found.size() == 4);
  const double total = 4.5;  // of 7: item 3 has 2, item 1 1.5, item 2 1
  CHECK(found[0].first == 2);
  CHECK(is_close(found[0].second, .25 + .5 * 1 / total));
  CHECK(found[1].first == 5);
  CHECK(is_close(found[1].second, .25));
  CHECK(found[2].first == 3);
  CHECK(is_close(found[2].second, .5 * 2 / total));
  CHECK(found[3].first == 1);
  CHECK(search(by, levels{{20, 0}, {7, 3}}, 110, 1, all_items).size() == 1);
  CHECK(search(by, levels{{4, 0}, {7, 1}}, 110, 9, all_items) == search(by, 7, 110, 9, all_items));
  // Two segments of one level are counted together.
  found = search(by, levels{{20, 0}, {7, 0}}, 110, 9, all_items);
  CHECK(found[0].first == 2);  // 2 of 6.5, as item 3
  CHECK(is_close(found[0].second, 2 / 6.5));
  // Long after all of it nothing counts, but the order of what was popular last remains.
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  CHECK(by.count(7, 1, last) == 0);
  CHECK(search(by, 7, last, 2, all_items) == search(by, 7, 110, 2, all_items));
  // A clock that is far ahead.
  by.add(30, 6, last);
  by.add(30, 7, 110);
  CHECK(search(by, 30, 110, 9, all_items)[0] == std::pair(item_id{6}, 1.f));
  CHECK(is_close(by.count(30, 7, 110), 1));
}

TEST_CASE("popular items equal their definition") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const std::vector<event> events = random_events(seed, 800, 60);
    popular_items_options options{.half_life = 200, .smoothing = seed % 2 == 0 ? 30. : 0.};
    if (seed >= 4) options.min_count = 3;
    popular_items by(options);
    for (const event& e : events) by.add(e.segment, e.item, e.time, e.weight);
    const std::int64_t now = 600;
    auto counts = counts_of(events, now, 200);
    // Two levels above the first, which has two segments; one is unknown.
    const levels segments{{1000, 0}, {3000, 0}, {77, 1}, {2000, 2}, {0, 5}};
    const auto admits = [](item_id i) { return i % 4 != 1; };
    std::map<item_id, double> expected, largest;
    double left = 1;
    for (const std::vector<std::uint64_t>& level :
         std::vector<std::vector<std::uint64_t>>{{1000, 3000}, {2000}, {0}}) {
      double total = 0;
      for (const std::uint64_t key : level)
        for (const auto& [item, count] : counts[key]) total += count;
      const double own = level[0] == 0 ? 1 : total / (total + options.smoothing);
      for (const std::uint64_t key : level)
        for (const auto& [item, count] : counts[key]) {
          if (!admits(item)) continue;
          expected[item] += left * own * count / total;
          largest[item] = std::max(largest[item], count);
        }
      left *= 1 - own;
    }
    std::erase_if(expected, [&](const auto& e) { return largest[e.first] < options.min_count; });
    const found_items found = search(by, segments, now, 100, admits);
    CHECK(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(is_close(found[i].second, expected[found[i].first]));
      CHECK((i == 0 || ranks_before(scored_item{found[i - 1].first, found[i - 1].second},
                                    scored_item{found[i].first, found[i].second})));
    }
    // Fewer: those that are the best of a segment.
    for (const std::size_t most : {1u, 7u}) {
      const found_items few = search(by, segments, now, most, admits);
      REQUIRE(few.size() == most);
      std::set<item_id> candidates;
      for (const std::uint64_t key : {1000u, 3000u, 2000u, 0u})
        for (const auto& [item, score] : search(by, key, now, most, admits))
          if (expected.count(item) > 0) candidates.insert(item);
      std::size_t next = 0;
      for (const auto& f : found)
        if (next < few.size() && candidates.count(f.first) > 0) CHECK(few[next++] == f);
      CHECK(next == few.size());
    }
    for (const std::uint64_t key : {1000u, 2000u, 0u})
      for (const auto& [item, count] : counts[key])
        CHECK(is_close(by.count(key, item, now), count));
  }
}

TEST_CASE("short lists of popular items have the best ones, whatever comes") {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const std::vector<event> events = random_events(seed, 1500, 40);
    popular_items all({.half_life = 50}), few({.half_life = 50, .items_of_segment = 6});
    for (std::size_t i = 0; i < events.size(); ++i) {
      const event& e = events[i];
      all.add(e.segment, e.item, e.time, e.weight);
      few.add(e.segment, e.item, e.time, e.weight);
      if (i % 100 != 99) continue;
      for (const std::uint64_t key : {0u, 1000u, 2000u, 3000u, 4000u}) {
        const found_items best = search(all, key, 500, 6, all_items);
        CHECK(search(few, key, 500, 40, all_items) == best);
      }
    }
    popular_items loaded;
    saved_state(few).load(loaded);
    CHECK(saved_state(loaded) == saved_state(few));
    for (const event& e : events) {
      few.add(e.segment, e.item, e.time + 700, e.weight);
      loaded.add(e.segment, e.item, e.time + 700, e.weight);
    }
    CHECK(saved_state(loaded) == saved_state(few));
    for (const std::uint64_t key : {0u, 1000u, 2000u, 3000u, 4000u})
      CHECK(search(loaded, key, 500, 40, all_items) == search(few, key, 500, 40, all_items));
  }
  // Of equal items the lower ones.
  popular_items by({.items_of_segment = 3});
  for (const item_id item : {5u, 2u, 9u, 1u, 7u}) by.add(0, item, 0);
  const found_items found = search(by, 0, 0, 9, all_items);
  REQUIRE(found.size() == 3);
  CHECK(found[0].first == 1);
  CHECK(found[1].first == 2);
  CHECK(found[2].first == 5);
}

TEST_CASE("popular_items forget what hardly counts") {
  popular_items by({.half_life = 10, .items_of_segment = 2});
  by.add(1, 4, 0);
  by.add(2, 4, 0);
  by.add(2, 5, 30);
  by.add(2, 6, 30);
  by.add(2, 7, 30, 2);
  const found_items before = search(by, 2, 30, 9, all_items);
  by.forget(30, .5);
  CHECK(search(by, 2, 30, 9, all_items) == before);  // the shares too
  CHECK(by.count(2, 4, 30) == 0);
  CHECK(by.count(1, 4, 30) == 0);
  CHECK(is_close(by.count(2, 6, 30), 1));  // it is in no list, but was not forgotten
  CHECK(saved_state(by).fields.at("segments.ids").size() == sizeof(std::uint64_t));
  by.add(1, 4, 30);
  CHECK(is_close(by.count(1, 4, 30), 1));
  by.add(2, 6, 30, 2);
  CHECK(search(by, 2, 30, 1, all_items)[0].first == 6);
  by.forget(10'000, .5);
  CHECK(search(by, 2, 30, 9, all_items).empty());
}

TEST_CASE("what popular_items refuse") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto refused = [](const popular_items_options& options, const char* words) {
    return refuses([&] { popular_items by(options); }, "funnel::popular_items", words);
  };
  CHECK(refused({.half_life = .5}, "half_life is 0.5"));
  CHECK(refused({.half_life = nan}, "half_life is nan"));
  CHECK(refused({.smoothing = -1}, "smoothing is -1"));
  CHECK(refused({.smoothing = infinity}, "smoothing is inf"));
  CHECK(refused({.min_count = nan}, "min_count is nan"));
  CHECK(refused({.items_of_segment = 0}, "items_of_segment is 0"));
  popular_items by({.half_life = 0, .items_of_segment = std::size_t{1} << 63});
  const char* name = "funnel::popular_items";
  CHECK(refuses([&] { by.add(0, 1, 1, 0); }, name, "weight is 0"));
  CHECK(refuses([&] { by.add(0, 1, 1, std::nanf("")); }, name, "weight is nan"));
  CHECK(refuses([&] { by.forget(0, 0); }, name, "least is 0"));
  CHECK(refuses([&] { search(by, levels(33), 0, 1, all_items); }, name,
                "the number of segments is 33"));
  CHECK(refuses(
      [&] {
        search(by, levels{{0, 1}, {1, 0}}, 0, 1, all_items);
      },
      name, "segments[1] has level 0"));
  by.add(0, 1, 1);
  by.add(0, 2, 1);
  by.add(5, 2, 1);
  CHECK(search(by, levels(32), 0, 2, all_items).size() == 2);
  const saved_state good(by);
  const auto damaged = [&](const saved_state& state) {
    return refuses_state(by, state, "popular_items are damaged");
  };
  CHECK(!damaged(good));
  CHECK(damaged(good.with<double>("totals", {1})));
  CHECK(damaged(good.with<double>("totals", {1, nan})));
  CHECK(damaged(good.with<double>("totals", {1, -9})));
  CHECK(damaged(good.with<double>("sums", {0, 0})));
  CHECK(damaged(good.with<double>("sums", {0, 0, -infinity})));
  CHECK(damaged(good.with<double>("sums", {0, 0, infinity})));
  CHECK(damaged(good.with<std::uint64_t>("pairs.ids", {1, pair_key(1, 2), pair_key(2, 2)})));
  CHECK(damaged(
      good.with<std::uint64_t>("pairs.ids", {pair_key(1, 1), pair_key(1, 2), pair_key(3, 2)})));
  CHECK(refuses_state(by, good.with<std::uint64_t>("items_of_segment", {0}),
                      "items_of_segment is 0"));
  CHECK(refuses_state(by, good.with<double>("clock.half_life", {-1}), "half_life is -1"));
}
