// SPDX-License-Identifier: MIT
#include <funnel/retrieval/cache_channel.hpp>

#include <funnel/core/random.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

constexpr std::int64_t first_time = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t last_time = std::numeric_limits<std::int64_t>::max();
using found_items = std::vector<std::pair<item_id, float>>;

found_items search(cache_channel& channel, user_id user, std::int64_t now, std::size_t most,
                   item_id excluded = 9999) {
  std::vector<scored_item> out(most, {77, 7});
  const std::size_t count =
      channel.search(user, now, out, [&](item_id i) { return i != excluded; });
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].item == 77);
  found_items found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  return found;
}
void put(cache_channel& channel, user_id user, const std::vector<scored_item>& ranked,
         std::int64_t now) {
  channel.put(user, ranked, now);
}

}  // namespace

TEST_CASE("what was ranked and not shown is found, best first") {
  cache_channel channel({.capacity = 4, .most_recalls = 3, .window = 100});
  CHECK(search(channel, 5, 0, 9).empty());
  put(channel, 5, {{1, .9f}, {2, .8f}, {3, .8f}}, 1000);
  CHECK(search(channel, 4, 1000, 9).empty());
  CHECK(search(channel, 6, 1000, 9).empty());
  CHECK(search(channel, 5, 1000, 9) == found_items{{1, .9f}, {2, .8f}, {3, .8f}});
  CHECK(search(channel, 5, 900, 9, 1) ==
        found_items{{2, .8f}, {3, .8f}});  // a clock that goes back
  CHECK(search(channel, 5, 1000, 1) == found_items{{1, .9f}});
  // 2 and 3 were found twice, 1 twice; put in again they keep their counts, with the new scores.
  put(channel, 5, {{3, 2}, {4, 1}}, 1050);
  CHECK(search(channel, 5, 1099, 9) == found_items{{3, 2}, {4, 1}, {1, .9f}, {2, .8f}});
  CHECK(search(channel, 5, 1099, 9) == found_items{{4, 1}});  // the others were found three times
  channel.remove(5, std::vector<item_id>{9, 4, 4});
  CHECK(search(channel, 5, 1099, 9).empty());
  channel.remove(7, std::vector<item_id>{4});
  // The window, from the time an item came first.
  put(channel, 5, {{6, 1}}, 2000);
  put(channel, 5, {{6, 3}}, 2050);
  CHECK(search(channel, 5, 2099, 9) == found_items{{6, 3}});
  CHECK(search(channel, 5, 2100, 9).empty());
}

TEST_CASE("first in, first out; of one request the best leave last") {
  cache_channel channel({.capacity = 3});
  put(channel, 0, {{1, .5f}, {2, .4f}}, 0);
  put(channel, 0, {{3, .1f}, {4, .05f}}, 1);
  CHECK(search(channel, 0, 1, 9) == found_items{{1, .5f}, {3, .1f}, {4, .05f}});  // 2 came first
  put(channel, 0, {{5, .9f}, {6, .8f}, {7, .7f}, {8, .6f}, {9, .5f}}, 2);
  CHECK(search(channel, 0, 2, 9) == found_items{{5, .9f}, {6, .8f}, {7, .7f}});
  put(channel, 0, {{5, .1f}, {5, .3f}}, 3);  // of an item that is there twice the first
  CHECK(search(channel, 0, 3, 9) == found_items{{6, .8f}, {7, .7f}, {5, .1f}});
  CHECK(channel.size(0) == 3);
}

TEST_CASE("cache_channel against a naive model, saved and loaded on the way") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    random_generator bits(seed);
    struct cached {
      item_id item;
      float score;
      std::int64_t time;
      std::uint32_t recalls;
    };
    const cache_channel_options options{.capacity = 1 + seed * 2,
                                        .most_recalls = static_cast<std::uint32_t>(1 + seed % 4),
                                        .window = 30};
    cache_channel channel(options);
    std::map<user_id, std::vector<cached>> users;
    std::int64_t now = 0;
    for (int step = 0; step < 600; ++step) {
      const auto user = static_cast<user_id>(uniform_below(bits, 5));
      std::vector<cached>& of = users[user];
      const auto drop = [](std::vector<cached>& from, auto&& gone) { std::erase_if(from, gone); };
      const auto old = [&](const cached& c) { return now - c.time >= 30; };
      const std::size_t kind = uniform_below(bits, 10);
      if (kind < 5) {
        std::vector<scored_item> ranked(uniform_below(bits, 12));
        for (scored_item& s : ranked)
          s = {static_cast<item_id>(uniform_below(bits, 40)),
               static_cast<float>(uniform_below(bits, 8))};
        put(channel, user, ranked, now);
        ranked.resize(std::min(ranked.size(), options.capacity));
        for (std::size_t i = ranked.size(); i-- > 0;) {
          const auto at = std::ranges::find(of, ranked[i].item, &cached::item);
          if (at != of.end()) {
            at->score = ranked[i].score;
          } else {
            of.push_back({ranked[i].item, ranked[i].score, now, 0});
            if (of.size() > options.capacity) of.erase(of.begin());
          }
        }
      } else if (kind < 6) {
        std::vector<item_id> shown(uniform_below(bits, 6));
        for (item_id& i : shown) i = static_cast<item_id>(uniform_below(bits, 40));
        channel.remove(user, shown);
        drop(of, [&](const cached& c) { return std::ranges::count(shown, c.item) > 0; });
      } else if (kind < 7) {
        channel.expire(now);
        for (auto& [u, list] : users) drop(list, old);
      } else {
        const std::size_t most = uniform_below(bits, 7);
        drop(of, old);
        std::vector<cached*> best;
        for (cached& c : of)
          if (c.item != 11) best.push_back(&c);
        std::ranges::sort(best, [](const cached* a, const cached* b) {
          return a->score != b->score ? a->score > b->score : a->item < b->item;
        });
        best.resize(std::min(best.size(), most));
        found_items expected;
        for (cached* c : best) {
          expected.emplace_back(c->item, c->score);
          ++c->recalls;
        }
        REQUIRE(search(channel, user, now, most, 11) == expected);
        drop(of, [&](const cached& c) { return c.recalls >= options.most_recalls; });
      }
      now += static_cast<std::int64_t>(uniform_below(bits, 4));
      for (const auto& [u, list] : users) REQUIRE(channel.size(u) == list.size());
      if (step % 50 == 49) {
        cache_channel loaded;
        const saved_state saved(channel);
        saved.load(loaded);
        CHECK(saved_state(loaded) == saved);
        channel = loaded;
      }
    }
    // What was moved from is empty, and can be used.
    channel.expire(last_time);
    const cache_channel taken = std::move(channel);
    put(channel, 3, {{1, 1}}, now);
    CHECK(search(channel, 3, now, 9) == found_items{{1, 1}});
    // Users who left give their memory back to others.
    for (user_id u = 0; u < 5; ++u) put(channel, u, {{1, 1}}, now);
    const std::size_t bytes = channel.bytes();
    channel.expire(last_time);
    for (user_id u = 5; u-- > 0;) put(channel, u, {{1, 1}}, 0);
    CHECK(channel.bytes() == bytes);
    CHECK(bytes <= 5 * (24 * options.capacity + 8));
  }
}

TEST_CASE("what a cache channel refuses, and the ends of time") {
  const char* name = "funnel::cache_channel";
  const auto refused = [&](const cache_channel_options& options, const char* words) {
    return refuses([&] { cache_channel{options}; }, name, words);
  };
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refused({.capacity = 0}, "capacity is 0"));
  CHECK(refused({.capacity = largest}, "capacity is"));
  CHECK(refused({.capacity = largest / 2 + 1}, "capacity is"));
  CHECK(refused({.most_recalls = 0}, "most_recalls is 0"));
  CHECK(refused({.window = 0}, "window is 0"));
  CHECK(refused({.window = first_time}, "window is -"));
  cache_channel channel({.window = last_time});
  for (const float score :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    CHECK(refuses(
        [&] {
          put(channel, 0, {{1, 1}, {2, score}}, 0);
        },
        "funnel::cache_channel::put", "a score is"));
  CHECK(channel.size(0) == 0);
  put(channel, 0, {}, 0);
  put(channel, 1, {{3, 1}}, first_time);
  put(channel, 1, {{4, 2}}, last_time);
  CHECK(search(channel, 1, -2, 9) == found_items{{4, 2}, {3, 1}});
  CHECK(search(channel, 1, -1, 9) == found_items{{4, 2}});

  cache_channel two;
  put(two, 1, {{3, 2}, {4, 1}}, 10);
  const saved_state saved(two);
  cache_channel kept = two;
  CHECK_THROWS_AS((saved.with<std::uint64_t>("capacity", {1}).load(kept)), format_error);
  CHECK(saved_state(kept) == saved);
  const auto damaged = [&](const saved_state& state) {
    return refuses_state(cache_channel(), state, "do not fit together");
  };
  CHECK(refuses_state(two, saved.with<std::uint64_t>("capacity", {0}), "capacity is 0"));
  CHECK(refuses_state(two, saved.with<std::int64_t>("window", {0}), "window is 0"));
  CHECK(damaged(saved.with<std::uint64_t>("capacity", {1})));
  CHECK(damaged(saved.with<std::uint64_t>("sizes", {0, 1})));
  CHECK(damaged(saved.with<std::uint64_t>("sizes", {0, 3})));
  CHECK(damaged(saved.with<std::uint64_t>("sizes", {0, 2, largest})));
  CHECK(damaged(saved.with<item_id>("items", {3})));
  CHECK(damaged(saved.with<item_id>("items", {3, 3})));
  CHECK(damaged(saved.with<float>("scores", {1, std::numeric_limits<float>::infinity()})));
  CHECK(damaged(saved.with<std::uint32_t>("recalls", {0, 10})));
  CHECK(damaged(saved.with<std::int64_t>("times", {0})));
}
