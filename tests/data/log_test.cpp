// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>
#include <funnel/data/log.hpp>

#include <set>
#include <tuple>
#include <vector>

using funnel::exposure;

namespace {

exposure make(funnel::user_id user, funnel::item_id item, std::int64_t time_ms, std::int32_t date,
              float play_s = 0) {
  exposure e;
  e.user = user;
  e.item = item;
  e.time_ms = time_ms;
  e.date = date;
  e.play_s = play_s;
  return e;
}

}  // namespace

TEST_CASE("exposures_between keeps the days from one to another, both included") {
  const std::vector<exposure> all = {make(0, 0, 1, 20220430), make(1, 0, 2, 20220501),
                                     make(2, 0, 3, 20220503), make(3, 0, 4, 20220501),
                                     make(4, 0, 5, 20220504)};
  CHECK(funnel::exposures_between(all, 20220501, 20220503) ==
        std::vector<exposure>{all[1], all[2], all[3]});
  CHECK(funnel::exposures_between(all, 20220501, 20220501).size() == 2);
  CHECK(funnel::exposures_between(all, 20230101, 20230102).empty());
  CHECK(funnel::exposures_between({}, 20230101, 20230102).empty());
  CHECK(refuses([&] { funnel::exposures_between(all, 20220503, 20220501); },
                "funnel::exposures_between", "until is 20220501, before from, 20220503"));
}

TEST_CASE("remove_repeats keeps the first of equal user, item and time") {
  std::vector<exposure> exposures = {make(1, 2, 30, 0, 1), make(1, 2, 31, 0, 2),
                                     make(1, 2, 30, 0, 3), make(2, 1, 30, 0, 4),
                                     make(1, 2, 30, 0, 5), make(1, 3, 30, 0, 6)};
  const std::vector<exposure> expected = {exposures[0], exposures[1], exposures[3], exposures[5]};
  CHECK(funnel::remove_repeats(exposures) == 2);
  CHECK(exposures == expected);
  CHECK(funnel::remove_repeats(exposures) == 0);
  CHECK(exposures == expected);
  std::vector<exposure> none;
  CHECK(funnel::remove_repeats(none) == 0);
}

TEST_CASE("remove_repeats does what a set would do") {
  funnel::random_generator bits(3);
  for (const std::size_t n : {1u, 2u, 50u, 2000u}) {
    std::vector<exposure> exposures;
    for (std::size_t i = 0; i < n; ++i)
      exposures.push_back(make(static_cast<funnel::user_id>(funnel::uniform_below(bits, 10)),
                               static_cast<funnel::item_id>(funnel::uniform_below(bits, 10)),
                               static_cast<std::int64_t>(funnel::uniform_below(bits, 10)), 0,
                               static_cast<float>(i)));
    std::set<std::tuple<funnel::user_id, funnel::item_id, std::int64_t>> seen;
    std::vector<exposure> expected;
    for (const exposure& e : exposures)
      if (seen.emplace(e.user, e.item, e.time_ms).second) expected.push_back(e);
    CHECK(funnel::remove_repeats(exposures) == n - expected.size());
    CHECK(exposures == expected);
  }
}

TEST_CASE("sort_by_time keeps the order of equal times") {
  std::vector<exposure> exposures;
  for (funnel::user_id i = 0; i < 200; ++i) exposures.push_back(make(i, 0, i * 7919 % 5, 0));
  funnel::sort_by_time(exposures);
  for (std::size_t i = 1; i < exposures.size(); ++i) {
    const exposure &a = exposures[i - 1], &b = exposures[i];
    CHECK((a.time_ms < b.time_ms || (a.time_ms == b.time_ms && a.user < b.user)));
  }
}
