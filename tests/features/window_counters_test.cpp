// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/window_counters.hpp>

#include <limits>
#include <vector>

using funnel::window_counters;

namespace {

std::vector<double> sums(const window_counters& counters, std::uint64_t key, std::int64_t period,
                         std::size_t window) {
  std::vector<double> out(1 + counters.actions(), -1);
  counters.sums(key, period, window, out);
  return out;
}

using numbers = std::vector<double>;

}  // namespace

TEST_CASE("window_counters: worked by hand") {
  window_counters counters(1, {.periods = 7});
  CHECK(counters.periods() == 7);
  const float click[] = {1}, none[] = {0};
  CHECK(counters.add(5, 100, click));
  CHECK(counters.add(5, 100, none));
  CHECK(counters.add(5, 103, click));
  CHECK(counters.add(6, 103, click));
  CHECK(sums(counters, 5, 103, 7) == numbers{2, 1});  // the present period is left out
  CHECK(sums(counters, 5, 104, 1) == numbers{1, 1});
  CHECK(sums(counters, 5, 104, 3) == numbers{1, 1});
  CHECK(sums(counters, 5, 104, 4) == numbers{3, 2});
  CHECK(sums(counters, 5, 107, 7) == numbers{3, 2});
  CHECK(sums(counters, 5, 108, 7) == numbers{1, 1});
  CHECK(sums(counters, 5, 111, 7) == numbers{0, 0});
  CHECK(sums(counters, 7, 104, 7) == numbers{0, 0});
  // Counting in the present period takes nothing from the whole window before it.
  CHECK(counters.add(5, 107, click));
  CHECK(sums(counters, 5, 107, 7) == numbers{3, 2});
  // 108 takes the place of 100, for which it is then too late.
  CHECK(counters.add(5, 108, click));
  CHECK_FALSE(counters.add(5, 100, click));
  CHECK(sums(counters, 5, 101, 1) == numbers{0, 0});
  CHECK(counters.add(5, 101, click));  // late, but kept
  CHECK(sums(counters, 5, 108, 7) == numbers{3, 3});
}

TEST_CASE("window_counters counts what a list of events would") {
  funnel::random_generator bits(6);
  for (const std::size_t periods : {1u, 3u, 30u}) {
    window_counters counters(2, {.periods = periods});
    struct event {
      std::uint64_t key;
      std::int64_t period;
      float amounts[2];
    };
    std::vector<event> events;
    std::int64_t now = -40;
    for (int i = 0; i < 1500; ++i) {
      now += funnel::bernoulli(bits, .1) ? static_cast<std::int64_t>(funnel::uniform_below(bits, 4))
                                         : 0;
      const event e{funnel::uniform_below(bits, 5),
                    now,
                    {static_cast<float>(funnel::bernoulli(bits, .5)),
                     static_cast<float>(funnel::uniform_below(bits, 60))}};
      CHECK(counters.add(e.key, e.period, e.amounts));
      events.push_back(e);
      const std::size_t window = 1 + funnel::uniform_below(bits, periods);
      const std::uint64_t key = funnel::uniform_below(bits, 5);
      numbers expected(3);
      for (const event& past : events)
        if (past.key == key && past.period < now &&
            past.period + static_cast<std::int64_t>(window) >= now) {
          ++expected[0];
          expected[1] += double{past.amounts[0]};
          expected[2] += double{past.amounts[1]};
        }
      CHECK(sums(counters, key, now, window) == expected);
    }
  }
}

TEST_CASE("window_counters refuses what does not fit") {
  CHECK(refuses([] { window_counters(1, {.periods = 0}); }, "funnel::window_counters",
                "periods is 0"));
  window_counters counters(1, {.periods = 3});
  const float infinite[] = {std::numeric_limits<float>::infinity()}, one[] = {1}, two[] = {1, 2};
  const auto refused = [](auto&& call, const char* words) {
    CHECK(refuses(call, "funnel::window_counters", words));
  };
  refused([&] { counters.add(1, 0, infinite); }, "amounts[0] is inf, expected a finite number");
  refused([&] { counters.add(1, 0, two); }, "amounts has 2 values, expected 1 as in actions");
  refused([&] { counters.add(1, std::numeric_limits<std::int64_t>::min(), one); },
          "period is -9223372036854775808");
  refused([&] { sums(counters, 1, std::numeric_limits<std::int64_t>::max(), 1); }, "period is");
  refused([&] { sums(counters, 1, 0, 0); }, "window is 0, expected 1 to 3");
  refused([&] { sums(counters, 1, 0, 4); }, "window is 4, expected 1 to 3");
  double slots[1];
  refused([&] { counters.sums(1, 0, 1, slots); }, "out has 1 value, expected 2");
}

TEST_CASE("window_counters: one event far ahead takes nothing from the days that follow") {
  const float click[] = {1};
  for (const std::int64_t today : {-3000, -3, 0, 5, 20000}) {
    for (const std::int64_t ahead : {8, 9, 100, 3650, 3651, 3657}) {
      window_counters counters(1, {.periods = 7});
      for (std::int64_t day = today - 10; day <= today; ++day) CHECK(counters.add(5, day, click));
      CHECK(counters.add(5, today + ahead, click));
      CHECK(sums(counters, 5, today + ahead + 1, 1) == numbers{1, 1});
      CHECK(sums(counters, 5, today + 1, 7) == numbers{7, 7});
      for (std::int64_t day = today + 1; day <= today + 100; ++day) {
        CHECK(counters.add(5, day, click));
        const double on_day = day == today + ahead ? 2 : 1;
        CHECK(sums(counters, 5, day + 1, 1) == numbers{on_day, on_day});
        CHECK(sums(counters, 5, day + 1, 7)[0] >= 7);
      }
      // And the far day comes in the end.
      for (std::int64_t day = today + 101; day <= today + 4000; ++day)
        CHECK(counters.add(5, day, click));
      CHECK(sums(counters, 5, today + 4001, 7) == numbers{7, 7});
    }
  }
}

TEST_CASE("window_counters: a first event far ahead costs three right events") {
  const float click[] = {1};
  window_counters counters(1, {.periods = 7});
  CHECK(counters.add(5, 3650, click));
  for (std::int64_t day = 1; day <= 3; ++day) CHECK_FALSE(counters.add(5, day, click));
  for (std::int64_t day = 4; day <= 100; ++day) {
    CHECK(counters.add(5, day, click));
    CHECK(sums(counters, 5, day + 1, 1) == numbers{1, 1});
  }
  CHECK(sums(counters, 5, 101, 7) == numbers{7, 7});
}

TEST_CASE("window_counters: as many wrong events, far apart, cost as many right ones at most") {
  const float click[] = {1};
  window_counters counters(1, {.periods = 7});
  for (std::int64_t day = 0; day < 10; ++day) CHECK(counters.add(5, day, click));
  for (const std::int64_t wrong : {4000, 8000, 300, -5000}) counters.add(5, wrong, click);
  CHECK(sums(counters, 5, 10, 7) == numbers{7, 7});
  int refused = 0;
  for (std::int64_t day = 30; day <= 100; ++day) refused += counters.add(5, day, click) ? 0 : 1;
  CHECK(refused <= 4);
  CHECK(sums(counters, 5, 101, 7) == numbers{7, 7});
}

TEST_CASE("window_counters: what is older than the ring is not counted, and add says so") {
  const float click[] = {1};
  for (const std::int64_t now : {0, 100, -100}) {
    window_counters counters(1, {.periods = 7});
    CHECK(counters.add(5, now, click));
    for (const std::int64_t back : {8, 9, 12})  // a few late events move nothing
      CHECK_FALSE(counters.add(5, now - back, click));
    for (const std::int64_t back : {20, 3650, 50, 4000, 100, 500})
      CHECK_FALSE(counters.add(5, now - back, click));
    CHECK(counters.add(5, now - 7, click));
    for (std::int64_t day = now + 1; day <= now + 20; ++day) CHECK(counters.add(5, day, click));
    for (std::int64_t day = now - 8; day < now + 13; ++day)
      CHECK_FALSE(counters.add(5, day, click));
    CHECK(counters.add(5, now + 13, click));
    CHECK(sums(counters, 5, now + 21, 7) == numbers{7, 7});
    CHECK(sums(counters, 5, now + 14, 1) == numbers{2, 2});
    CHECK(sums(counters, 5, now - 7, 7) == numbers{0, 0});
    // Late events that have nothing to do with one another move nothing either.
    for (const std::int64_t day : {-500, -400, -300, -200, -100})
      for (int i = 0; i < 9; ++i) CHECK_FALSE(counters.add(5, now + day, click));
  }
}

TEST_CASE("window_counters: a key that is silent for long goes on where it comes back") {
  const float click[] = {1};
  window_counters counters(1, {.periods = 7});
  for (const std::int64_t day : {0, 100, 200, 200, 350, 351, 352, 900})
    for (int i = 0; i < 3; ++i) CHECK(counters.add(5, day, click));
  CHECK(sums(counters, 5, 901, 7) == numbers{3, 3});
  CHECK_FALSE(counters.add(5, 600, click));
  CHECK(sums(counters, 5, 901, 7) == numbers{3, 3});
  CHECK(counters.add(5, 905, click));
  CHECK(sums(counters, 5, 906, 7) == numbers{4, 4});
  CHECK(counters.add(5, 898, click));
  CHECK_FALSE(counters.add(5, 897, click));
}

TEST_CASE("window_counters: sizes that wrap are refused, and the ends of the periods work") {
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(refuses([] { window_counters(most, {.periods = 1}); }, "funnel::window_counters",
                "actions is"));
  CHECK(refuses([] { window_counters(most / 32, {.periods = 1000000}); }, "funnel::window_counters",
                "buckets x (actions + 2) is"));
  const float click[] = {1};
  constexpr std::int64_t end = std::int64_t{1} << 52;
  window_counters counters(1, {.periods = 7});
  CHECK(counters.add(1, -end, click));
  CHECK(counters.add(1, end, click));
  CHECK(counters.add(1, end - 1, click));
  CHECK(sums(counters, 1, end, 7) == numbers{1, 1});
  CHECK(sums(counters, 1, -end, 7) == numbers{0, 0});
  CHECK(sums(counters, 1, -end + 1, 1) == numbers{0, 0});  // the ring is elsewhere
}
