// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/date.hpp>

#include <cstdint>
#include <limits>
#include <string>

using funnel::date_of_day;
using funnel::day_number;
using funnel::is_date;

TEST_CASE("day_number counts from 1970-01-01") {
  STATIC_REQUIRE(day_number(19700101) == 0);
  STATIC_REQUIRE(day_number(19700102) == 1);
  STATIC_REQUIRE(day_number(19691231) == -1);
  STATIC_REQUIRE(day_number(20220425) == 19107);  // 1650844800 s
  STATIC_REQUIRE(day_number(20000301) - day_number(20000228) == 2);
  STATIC_REQUIRE(day_number(19000301) - day_number(19000228) == 1);
}

TEST_CASE("date_of_day takes every day to the next date of the calendar") {
  const auto days_in = [](int year, int month) {
    constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
  };
  int year = 1, month = 1, day = 1;
  for (std::int32_t n = day_number(10101); n <= day_number(99991231); ++n) {
    const std::int32_t date = year * 10000 + month * 100 + day;
    if (date_of_day(n) != date || day_number(date) != n) FAIL("day " << n << " is not " << date);
    if (++day > days_in(year, month)) {
      day = 1;
      if (++month > 12) month = 1, ++year;
    }
  }
  CHECK(year == 10000);
}

TEST_CASE("date_of_day refuses days outside of the years 1 to 9999") {
  STATIC_REQUIRE(date_of_day(-719162) == 10101);
  STATIC_REQUIRE(date_of_day(2932896) == 99991231);
  using limits = std::numeric_limits<std::int32_t>;
  for (const std::int32_t day :
       {limits::min(), limits::min() + 1, -719163, 2932897, limits::max() - 719468, limits::max()})
    CHECK(refuses([&] { date_of_day(day); }, "funnel::date_of_day",
                  "day is " + std::to_string(day) + ", expected -719162 to 2932896"));
}

TEST_CASE("day_number gives every number a day") {
  // What is no date has no right day, but neither does it overflow.
  using limits = std::numeric_limits<std::int32_t>;
  for (const std::int32_t date : {limits::min(), limits::min() + 1, -1, 0, 99, limits::max()}) {
    const std::int32_t day = day_number(date);
    CHECK(day > -100'000'000);
    CHECK(day < 100'000'000);
  }
}

TEST_CASE("is_date knows what is no date") {
  STATIC_REQUIRE(is_date(20240229));
  STATIC_REQUIRE(is_date(10101));
  STATIC_REQUIRE(is_date(99991231));
  STATIC_REQUIRE(is_date(20000229));
  STATIC_REQUIRE_FALSE(is_date(19000229));
  using limits = std::numeric_limits<std::int32_t>;
  for (const std::int32_t wrong :
       {0, -20220425, 20230229, 20220431, 20221301, 20220400, 20220001, 20220432, 100000101, 1231,
        10100, 10001, 99991232, limits::min(), limits::max()})
    CHECK_FALSE(is_date(wrong));
  // Every number that is a date is one that comes back.
  std::int32_t dates = 0;
  for (std::int32_t year = 0; year <= 10000; ++year)
    for (std::int32_t month = 0; month <= 13; ++month)
      for (std::int32_t day = 0; day <= 32; ++day) {
        const std::int32_t date = year * 10000 + month * 100 + day;
        if (!is_date(date)) continue;
        ++dates;
        if (date_of_day(day_number(date)) != date) FAIL(date << " does not come back");
      }
  CHECK(dates == day_number(99991231) - day_number(10101) + 1);
}
