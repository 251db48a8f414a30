// SPDX-License-Identifier: MIT
#include <funnel/data/splits.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <vector>

using funnel::row_split;
using rows = std::vector<std::uint32_t>;
using times = std::vector<std::int64_t>;

namespace {

/// The part of each row: 0 training, 1 validation, 2 test. Fails if a row is in no part or in two,
/// or a part is not in order.
std::vector<int> parts_of(const row_split& split, std::size_t n) {
  std::vector<int> parts(n, -1);
  int part = 0;
  for (const rows* of : {&split.training, &split.validation, &split.test}) {
    CHECK(std::ranges::is_sorted(*of));
    for (const std::uint32_t row : *of) {
      REQUIRE(row < n);
      CHECK(parts[row] == -1);
      parts[row] = part;
    }
    ++part;
  }
  CHECK(std::ranges::count(parts, -1) == 0);
  return parts;
}

}  // namespace

TEST_CASE("split_by_time: a worked example") {
  const times t{50, 10, 30, 20, 40, 30};
  CHECK(funnel::split_by_time(t, {.validation_from = 30, .test_from = 50}) ==
        row_split{{1, 3}, {2, 4, 5}, {0}});
  CHECK(funnel::split_by_time(t, {.validation_from = {}, .test_from = 31}) ==
        row_split{{1, 2, 3, 5}, {}, {0, 4}});
  CHECK(funnel::split_by_time(t, {.validation_from = 31}) == row_split{{1, 2, 3, 5}, {0, 4}, {}});
  CHECK(funnel::split_by_time(t, {.validation_from = 31, .test_from = 31}) ==
        row_split{{1, 2, 3, 5}, {}, {0, 4}});
  CHECK(funnel::split_by_time(t, funnel::split_times{}) == row_split{{0, 1, 2, 3, 4, 5}, {}, {}});
  CHECK(funnel::split_by_time(t, {.validation_from = -9, .test_from = 99}).validation.size() == 6);
  CHECK(funnel::split_by_time(times{}, {.test_from = 5}) == row_split{});
  // Dates yyyymmdd, and other integers.
  const std::array<std::int32_t, 2> dates{20220501, 20220430};
  CHECK(funnel::split_by_time(dates, {.test_from = 20220501}) == row_split{{1}, {}, {0}});
  const std::vector<std::uint64_t> large{1, std::numeric_limits<std::uint64_t>::max()};
  CHECK(funnel::split_by_time(large, {.test_from = -1}).test.size() == 2);
  CHECK(funnel::split_by_time(large, {.test_from = 2}) == row_split{{0}, {}, {1}});
  CHECK(refuses([&] { funnel::split_by_time(t, {.validation_from = 31, .test_from = 30}); },
                "funnel::split_by_time",
                "test_from is 30, expected 31, which is validation_from, or later"));
}

TEST_CASE("split_by_time takes fractions, and cuts between times only") {
  times t(100);
  for (std::size_t i = 0; i < t.size(); ++i) t[i] = static_cast<std::int64_t>(i * 37 % 100);
  const auto from = funnel::times_of_fractions(t, {.validation = .15, .test = .1});
  CHECK(from == funnel::split_times{.validation_from = 75, .test_from = 90});
  const row_split split = funnel::split_by_time(t, {.validation = .15, .test = .1});
  CHECK((split.training.size() == 75 && split.validation.size() == 15 && split.test.size() == 10));
  CHECK(split == funnel::split_by_time(t, from));
  CHECK(funnel::split_by_time(t, {.validation = 0, .test = .2}).validation.empty());
  CHECK(funnel::split_by_time(t, {.validation = .2, .test = 0}).test.empty());
  CHECK(funnel::split_by_time(t, {.validation = 0, .test = 0}).training.size() == 100);
  CHECK(funnel::split_by_time(t, {.validation = 0, .test = 1}).test.size() == 100);
  CHECK(funnel::split_by_time(t, {.validation = 1, .test = 0}).validation.size() == 100);

  // Ten rows; the wanted boundary is inside 4 rows of one time.
  const times equal{1, 2, 3, 4, 5, 5, 5, 5, 9, 10};
  const auto test_of = [&](double test) {
    return funnel::split_by_time(equal, {.validation = 0, .test = test}).test.size();
  };
  CHECK(test_of(.2) == 2);
  CHECK(test_of(.3) == 2);  // 1 row from the end of the 5s, 3 from their beginning
  CHECK(test_of(.4) == 2);  // 2 from both: the later
  CHECK(test_of(.5) == 6);
  CHECK(test_of(.6) == 6);
  CHECK(funnel::split_by_time(times(10, 7), {.validation = .2, .test = .2}).training.size() == 10);
  CHECK(funnel::split_by_time(times(10, 7), {.validation = .2, .test = .6}).test.size() == 10);
  CHECK(funnel::split_by_time(times{}, funnel::split_fractions{}) == row_split{});
  CHECK(funnel::split_by_time(times{3}, funnel::split_fractions{}) == row_split{{0}, {}, {}});
}

TEST_CASE("split_by_time by fractions: parts follow one another, close to what was asked for") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 300; ++round) {
    const std::size_t n = funnel::uniform_below(bits, 60);
    const std::size_t different = 1 + funnel::uniform_below(bits, 40);
    times t(n);
    for (auto& time : t)
      time = static_cast<std::int64_t>(funnel::uniform_below(bits, different)) - 20;
    funnel::split_fractions f{.validation = funnel::uniform01(bits) * .6,
                              .test = funnel::uniform01(bits) * .4};
    const row_split split = funnel::split_by_time(t, f);
    const std::vector<int> parts = parts_of(split, n);
    std::map<std::int64_t, int> part_of_time;
    for (std::size_t i = 0; i < n; ++i) {
      const auto [known, is_new] = part_of_time.try_emplace(t[i], parts[i]);
      CHECK(known->second == parts[i]);  // equal times are together
    }
    int before = 0;
    for (const auto& [time, part] : part_of_time) {
      CHECK(part >= before);
      before = part;
    }
    // No boundary between times is closer to the wanted size.
    const auto distance = [&](double size, double wanted) { return std::abs(size - wanted); };
    const auto wanted = std::round(static_cast<double>(n) * f.test);
    for (const auto& entry : part_of_time) {
      const auto later =
          static_cast<double>(std::ranges::count_if(t, [&](auto x) { return x >= entry.first; }));
      CHECK(distance(static_cast<double>(split.test.size()), wanted) <= distance(later, wanted));
    }
  }
}

TEST_CASE("split_by_user keeps the rows of a user together") {
  funnel::random_generator bits(2);
  const std::size_t users = 20'000;
  std::vector<std::uint32_t> user;
  for (std::uint32_t u = 0; u < users; ++u)
    for (std::size_t i = funnel::uniform_below(bits, 4) + 1; i > 0; --i) user.push_back(u);
  funnel::shuffle(bits, std::span(user));
  const funnel::split_fractions f{.validation = .2, .test = .1};
  for (const std::uint64_t seed : {0u, 1u, 99u}) {
    const std::vector<int> parts = parts_of(funnel::split_by_user(user, f, seed), user.size());
    std::map<std::uint32_t, int> of;
    for (std::size_t i = 0; i < user.size(); ++i)
      CHECK(of.try_emplace(user[i], parts[i]).first->second == parts[i]);
    std::array<double, 3> count{};
    for (const auto& [u, part] : of) count[static_cast<std::size_t>(part)] += 1. / users;
    CHECK(tolerance::within(count[1], .2, tolerance::statistical(std::sqrt(.16), users)));
    CHECK(tolerance::within(count[2], .1, tolerance::statistical(std::sqrt(.09), users)));

    // More rows, of old and new users, change nothing for the old ones; nor does another type.
    std::vector<std::int64_t> longer(user.begin(), user.end());
    for (std::int64_t u = -50; u < 50; ++u) longer.push_back(u);
    const std::vector<int> again = parts_of(funnel::split_by_user(longer, f, seed), longer.size());
    CHECK(std::equal(parts.begin(), parts.end(), again.begin()));
    for (std::size_t i = user.size() + 50; i < longer.size(); ++i)
      CHECK(again[i] == of[static_cast<std::uint32_t>(longer[i])]);

    // A larger test part keeps its users.
    const std::vector<int> more =
        parts_of(funnel::split_by_user(user, {.validation = .2, .test = .3}, seed), user.size());
    for (std::size_t i = 0; i < user.size(); ++i) CHECK((parts[i] != 2 || more[i] == 2));
  }
  // Seeds choose independently.
  const std::vector<int> one = parts_of(funnel::split_by_user(user, f, 1), user.size());
  const std::vector<int> two = parts_of(funnel::split_by_user(user, f, 2), user.size());
  double both = 0;
  std::vector<bool> counted(users);
  for (std::size_t i = 0; i < user.size(); ++i) {
    if (counted[user[i]]) continue;
    counted[user[i]] = true;
    both += (one[i] == 2 && two[i] == 2) ? 1. / users : 0;
  }
  CHECK(tolerance::within(both, .01, tolerance::statistical(std::sqrt(.0099), users)));
  CHECK(funnel::split_by_user(user, {.validation = 0, .test = 1}).test.size() == user.size());
  CHECK(funnel::split_by_user(user, {.validation = 1, .test = 0}).validation.size() == user.size());
  CHECK(funnel::split_by_user(user, {.validation = 0, .test = 0}).training.size() == user.size());
  CHECK(funnel::split_by_user(rows{}) == row_split{});
}

TEST_CASE("split_by_user gives the parts it always gave") {
  rows users(16);
  for (std::uint32_t u = 0; u < 16; ++u) users[u] = u;
  const row_split split = funnel::split_by_user(users, {.validation = .3, .test = .3}, 7);
  CHECK(split.validation == rows{2, 4, 8, 12, 13});
  CHECK(split.test == rows{0, 1, 3, 6, 7, 9, 14, 15});
}

TEST_CASE("leave_last_out: a worked example") {
  //                     0   1   2   3   4   5   6   7
  const rows user{/* */ 5, 9, 5, 5, 9, 5, 7, 5};
  const times t{/*   */ 3, 1, 4, 3, 2, 9, 1, 0};
  // User 5 by time: 7, 0, 3, 2, 5; user 9: 1, 4; user 7: 6.
  CHECK(funnel::leave_last_out(user, t) == row_split{{0, 1, 3, 4, 6, 7}, {2}, {5}});
  CHECK(funnel::leave_last_out(user, t, {.test = 1, .validation = 0}) ==
        row_split{{0, 1, 2, 3, 6, 7}, {}, {4, 5}});
  CHECK(funnel::leave_last_out(user, t, {.test = 2, .validation = 2}) ==
        row_split{{1, 4, 6, 7}, {0, 3}, {2, 5}});
  CHECK(funnel::leave_last_out(user, t, {.test = 1, .validation = 1, .training = 0}) ==
        row_split{{0, 3, 6, 7}, {1, 2}, {4, 5}});
  CHECK(funnel::leave_last_out(user, t, {.test = 1, .validation = 0, .training = 0}) ==
        row_split{{0, 1, 2, 3, 7}, {}, {4, 5, 6}});
  CHECK(funnel::leave_last_out(user, t, {.test = 0, .validation = 0}).training.size() == 8);
  const std::size_t most = std::numeric_limits<std::size_t>::max();
  CHECK(funnel::leave_last_out(user, t, {.test = most, .validation = 1}).training.size() == 8);
  CHECK(funnel::leave_last_out(user, t, {.test = 1, .validation = most}).training.size() == 8);
  CHECK(funnel::leave_last_out(user, t, {.test = 1, .validation = 1, .training = most})
            .training.size() == 8);
  CHECK(funnel::leave_last_out(rows{}, times{}) == row_split{});
  CHECK(refuses([&] { funnel::leave_last_out(user, times{1}); }, "funnel::leave_last_out",
                "times has 1 value, expected 8 as in users"));
}

TEST_CASE("leave_last_out: what each user has in each part") {
  funnel::random_generator bits(3);
  for (int round = 0; round < 100; ++round) {
    const std::size_t n = funnel::uniform_below(bits, 80);
    rows user(n);
    times t(n);
    for (std::size_t i = 0; i < n; ++i) {
      user[i] = static_cast<std::uint32_t>(funnel::uniform_below(bits, 12));
      t[i] = static_cast<std::int64_t>(funnel::uniform_below(bits, 6));
    }
    const funnel::leave_last_options options{.test = funnel::uniform_below(bits, 3),
                                             .validation = funnel::uniform_below(bits, 3),
                                             .training = funnel::uniform_below(bits, 3)};
    const std::vector<int> parts = parts_of(funnel::leave_last_out(user, t, options), n);
    std::map<std::uint32_t, std::array<std::size_t, 3>> count;
    for (std::size_t i = 0; i < n; ++i) ++count[user[i]][static_cast<std::size_t>(parts[i])];
    for (const auto& [u, of] : count) {
      const std::size_t all = of[0] + of[1] + of[2];
      if (all < options.test + options.validation + options.training) {
        CHECK(of[0] == all);
      } else {
        CHECK((of[2] == options.test && of[1] == options.validation));
      }
    }
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        if (user[i] == user[j] && (t[i] < t[j] || (t[i] == t[j] && i < j)))
          CHECK(parts[i] <= parts[j]);
  }
}

TEST_CASE("splits refuse fractions that are none") {
  const times t{1, 2, 3};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-.1, 1.1, nan}) {
    CHECK(refuses([&] { funnel::split_by_time(t, {.validation = bad, .test = 0}); },
                  "funnel::times_of_fractions", "validation is"));
    CHECK(refuses([&] { funnel::split_by_user(t, {.validation = 0, .test = bad}); },
                  "funnel::split_by_user", "test is"));
  }
  CHECK(refuses([&] { funnel::split_by_user(t, {.validation = .6, .test = .5}); },
                "funnel::split_by_user", "validation + test is 1.1, expected at most 1"));
  CHECK(refuses([&] { funnel::times_of_fractions(t, {.validation = .6, .test = .5}); },
                "funnel::times_of_fractions", "validation + test is 1.1, expected at most 1"));
  const std::vector<std::uint64_t> large{1, std::uint64_t{1} << 63};
  CHECK(refuses([&] { funnel::split_by_time(large, funnel::split_fractions{}); },
                "funnel::times_of_fractions",
                "times[1] is 9223372036854775808, expected a number below 2^63"));
}
