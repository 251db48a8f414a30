// SPDX-License-Identifier: MIT
#include <funnel/retrieval/seen_filter.hpp>

#include <funnel/core/random.hpp>
#include <funnel/index/flat_index.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
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

}  // namespace

TEST_CASE("what was seen is found until it is older than the window") {
  for (const seen_method method : {seen_method::bloom, seen_method::exact}) {
    seen_filter seen({.method = method, .days = 2, .day = 10, .capacity = 4});
    CHECK_FALSE(seen.contains(1, 7));
    seen.add(1, 7, 15);  // day 1
    CHECK(seen.contains(1, 7));
    CHECK_FALSE(seen.contains(0, 7));
    CHECK_FALSE(seen.contains(2, 7));
    CHECK_FALSE(seen.not_seen_by(1)(7));
    CHECK(seen.not_seen_by(5)(7));
    seen.expire(39);  // day 3
    CHECK(seen.contains(1, 7));
    seen.expire(-1000);  // a clock that goes back forgets nothing
    CHECK(seen.contains(1, 7));
    seen.add(1, 8, last_time);  // nor does one that is wrong
    CHECK(seen.contains(1, 7));
    seen.expire(40);
    CHECK_FALSE(seen.contains(1, 7));
    CHECK(seen.contains(1, 8));
    // Seen again: it counts from the last time on, whatever the order in which events come.
    seen.add(2, 5, 49);
    seen.add(2, 5, 20);
    seen.add(2, 6, 20);
    seen.add(2, 6, 49);
    seen.expire(69);
    CHECK((seen.contains(2, 5) && seen.contains(2, 6)));
    seen.expire(70);
    CHECK_FALSE((seen.contains(2, 5) || seen.contains(2, 6)));
    // Days start at multiples of the length of a day, before 0 as well.
    seen.add(3, 9, -1);  // day -1
    seen.expire(19);     // day 1
    CHECK(seen.contains(3, 9));
    seen.expire(20);
    CHECK_FALSE(seen.contains(3, 9));
  }
}

TEST_CASE("seen_filter against a naive model: never a false negative, few false positives") {
  for (const seen_method method : {seen_method::bloom, seen_method::exact}) {
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
      random_generator bits(seed);
      const std::size_t days = 1 + seed % 4, capacity = 1 + seed * 3;
      seen_filter seen({.method = method,
                        .days = days,
                        .day = 100,
                        .capacity = capacity,
                        .false_positives = .02});
      std::map<std::pair<user_id, item_id>, std::int64_t> last;  // the last day
      std::int64_t now = -500;
      std::size_t asked = 0, wrong = 0;
      for (int step = 0; step < 3000; ++step) {
        const auto user = static_cast<user_id>(uniform_below(bits, 9));
        const auto item = static_cast<item_id>(uniform_below(bits, 300));
        const std::int64_t time = now - static_cast<std::int64_t>(uniform_below(bits, 150));
        seen.add(user, item, time);
        const std::int64_t day = (time + 10000) / 100 - 100;
        const auto [at, fresh] = last.try_emplace({user, item}, day);
        if (!fresh) at->second = std::max(at->second, day);
        now += static_cast<std::int64_t>(uniform_below(bits, 3));
        if (step % 100 == 99) {
          seen.expire(now);
          const std::int64_t today = (now + 10000) / 100 - 100;
          std::erase_if(last, [&](const auto& entry) {
            return today - entry.second > static_cast<std::int64_t>(days);
          });
        }
        if (step % 40 == 0) {
          for (user_id u = 0; u < 9; ++u) {
            for (item_id i = 0; i < 300; ++i) {
              const bool there = last.count({u, i}) > 0, found = seen.contains(u, i);
              if (there && !found) FAIL("user " << u << " has seen item " << i);
              asked += there ? 0 : 1;
              wrong += found && !there ? 1 : 0;
            }
          }
        }
      }
      if (method == seen_method::exact) CHECK(wrong == 0);
      // Many blocks a day, if few items fit into one.
      CHECK(static_cast<double>(wrong) < .3 * static_cast<double>(asked));
    }
  }
}

TEST_CASE("the false positives of users with full days are as many as was asked for") {
  for (const double delta : {.01, .1, .5}) {
    const std::size_t days = 6, capacity = 100, users = 40, others = 2000;
    seen_filter seen({.days = days, .day = 1, .capacity = capacity, .false_positives = delta});
    for (user_id u = 0; u < users; ++u)
      for (std::size_t i = 0; i < (days + 1) * capacity; ++i)
        seen.add(u, static_cast<item_id>(i), static_cast<std::int64_t>(i / capacity));
    double wrong = 0, stated = 0;
    for (user_id u = 0; u < users; ++u) {
      stated += seen.false_positive_rate(u);
      for (std::size_t i = 0; i < others; ++i)
        wrong += seen.contains(u, static_cast<item_id>(1'000'000 + i)) ? 1 : 0;
    }
    const double n = static_cast<double>(users * others);
    CHECK(tolerance::within(wrong / n, stated / users,
                            tolerance::statistical(std::sqrt(delta), users * others)));
    // Whole hashes and words make it a little more or less.
    CHECK(wrong / n < 1.25 * delta);
    CHECK(wrong / n > .6 * delta);
  }
  // Small filters with many hashes, where the hashes of two ids must not be alike.
  seen_filter small({.capacity = 40, .false_positives = 1e-4});
  double wrong = 0;
  for (user_id u = 0; u < 20; ++u) {
    for (item_id i = 0; i < 31 * 40; ++i) small.add(u, i, i / 40 * 86'400);
    for (item_id i = 0; i < 20'000; ++i) wrong += small.contains(u, 1'000'000 + i) ? 1 : 0;
  }
  CHECK(wrong < 100);  // 40 are expected
  seen_filter exact({.method = seen_method::exact});
  exact.add(0, 1, 0);
  CHECK(exact.false_positive_rate(0) == 0);
  CHECK(seen_filter().false_positive_rate(7) == 0);
}

TEST_CASE("the memory of a seen filter: blocks that expired are used again") {
  for (const seen_method method : {seen_method::bloom, seen_method::exact}) {
    seen_filter seen({.method = method, .days = 3, .day = 1, .capacity = 50});
    const std::size_t block = seen.bytes_of_block();
    // 50 * log2(4 / .01) / ln 2 = 624 bits; 75 slots of 4 bytes.
    CHECK(block == (method == seen_method::bloom ? 16 + 80 : 16 + 304));
    for (std::int64_t day = 0; day < 100; ++day) {
      seen.expire(day);
      for (user_id u = 0; u < 10; ++u)
        for (item_id i = 0; i < 50; ++i) seen.add(u, i + static_cast<item_id>(day) * 50, day);
    }
    CHECK(seen.bytes() >= 4 * 10 * block + 40);
    CHECK(seen.bytes() <= 4 * 10 * block + 10 * block + 40);  // a mistake may save a block, or not
    for (item_id i = 96 * 50; i < 100 * 50; ++i)
      if (!seen.contains(3, i)) FAIL("item " << i);
  }
}

TEST_CASE("a search with what was not seen") {
  const flat_index<> index(random_matrix<float>(50, 4, 1));
  seen_filter seen;
  for (item_id i = 0; i < 50; i += 2) seen.add(4, i, 1'700'000'000);
  std::vector<scored_item> found(50);
  const std::vector<float> query{1, 0, -1, 1};
  found.resize(index.search(query, found, seen.not_seen_by(4)));
  for (const scored_item& s : found) CHECK(s.item % 2 == 1);
  CHECK(found.size() >= 20);
}

TEST_CASE("a seen filter survives a restart") {
  for (const seen_method method : {seen_method::bloom, seen_method::exact}) {
    seen_filter seen({.method = method, .days = 5, .day = 10, .capacity = 8});
    random_generator bits(3);
    for (int i = 0; i < 500; ++i)
      seen.add(static_cast<user_id>(uniform_below(bits, 7)),
               static_cast<item_id>(uniform_below(bits, 1000)),
               static_cast<std::int64_t>(uniform_below(bits, 60)));
    seen.expire(70);
    seen_filter loaded;
    const saved_state saved(seen);
    saved.load(loaded);
    CHECK(saved_state(loaded) == saved);
    for (int step = 0; step < 3; ++step) {
      for (user_id u = 0; u < 8; ++u)
        for (item_id i = 0; i < 1000; ++i)
          if (seen.contains(u, i) != loaded.contains(u, i)) FAIL("user " << u << ", item " << i);
      for (seen_filter* filter : {&seen, &loaded}) {
        filter->expire(90 + 10 * step);
        for (item_id i = 0; i < 40; ++i) filter->add(i % 8, i * 20, 90 + 10 * step);
      }
    }
    CHECK(saved_state(loaded) == saved_state(seen));
    const auto refused = [&](const saved_state& state) {
      return refuses_state(seen_filter(), state, "do not fit together");
    };
    // What was moved from is empty, and can be used.
    const seen_filter taken = std::move(loaded);
    CHECK(saved_state(taken) == saved_state(seen));
    loaded.add(0, 1, 100);
    CHECK((loaded.contains(0, 1) && !loaded.contains(1, 1)));
    const std::uint32_t none = 0xffffffff;
    seen_filter one({.method = method, .day = 10});
    one.add(1, 1, 1);
    one.add(1, 2, 11);
    const saved_state two(one);
    seen_filter emptied = one;
    CHECK_THROWS_AS((two.with<std::uint64_t>("words_of_block", {1}).load(emptied)), format_error);
    CHECK(saved_state(emptied) == saved_state(seen_filter()));
    CHECK(refused(two.with<std::uint8_t>("method", {2})));
    CHECK(refused(two.with<std::uint64_t>("window", {0})));
    CHECK(refused(two.with<std::int64_t>("day", {0})));
    CHECK(refused(two.with<std::uint64_t>("capacity", {0})));
    CHECK(refused(two.with<std::uint64_t>("words_of_block", {0})));
    CHECK(refused(two.with<std::uint64_t>("words_of_block", {1})));
    CHECK(refused(two.with<std::uint32_t>("hashes", {65})));
    CHECK(refused(two.with<std::uint32_t>("free", {0})));
    CHECK(refused(two.with<std::uint32_t>("first", {none, 2})));
    CHECK(refused(two.with<std::uint32_t>("first", {none, none})));
    CHECK(refused(two.with<std::uint32_t>("next", {1, 0})));
    CHECK(refused(two.with<std::uint32_t>("next", {none})));
    CHECK(refused(two.with<std::uint32_t>("counts", {1, 65})));
    CHECK(refused(two.with<std::uint64_t>("words", {1, 2, 3})));
    if (method == seen_method::exact) {
      const std::size_t words = (one.bytes_of_block() - 16) / 8 * 2;
      CHECK(refused(two.with("words", std::vector<std::uint64_t>(words, ~std::uint64_t{0}))));
    }
    if (method == seen_method::exact)
      CHECK(refused(two.with<std::uint64_t>("capacity", {100'000})));
  }
}

TEST_CASE("what a seen filter refuses, and the ends of time") {
  const char* name = "funnel::seen_filter";
  const auto refused = [&](const seen_filter_options& options, const char* words) {
    return refuses([&] { seen_filter{options}; }, name, words);
  };
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refused({.method = static_cast<seen_method>(2)}, "method is 2"));
  CHECK(refused({.days = 0}, "days is 0"));
  CHECK(refused({.day = 0}, "day is 0"));
  CHECK(refused({.day = first_time}, "day is -"));
  CHECK(refused({.capacity = 0}, "capacity is 0"));
  CHECK(refused({.capacity = largest}, "capacity is"));
  CHECK(refused({.capacity = largest / 2 + 1}, "capacity is"));
  for (const double delta : {0., 1., -.5, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()})
    CHECK(refused({.false_positives = delta}, "false_positives is"));
  seen_filter seen({.days = largest, .day = 1, .false_positives = 1e-320});
  CHECK(refuses([&] { seen.add(0, 0xffffffff, 0); }, "funnel::seen_filter::add", "item is"));
  seen.add(0, 0xfffffffe, first_time);
  seen.add(0, 3, last_time);
  seen.expire(last_time);
  CHECK((seen.contains(0, 0xfffffffe) && seen.contains(0, 3)));
  CHECK_FALSE(seen.contains(0xffffffff, 3));
  seen_filter few({.method = seen_method::exact, .days = largest - 1, .day = 1});
  few.add(0, 3, first_time);
  few.expire(last_time - 1);
  CHECK(few.contains(0, 3));
  few.expire(last_time);
  CHECK_FALSE(few.contains(0, 3));
}
