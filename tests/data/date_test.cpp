// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <funnel/data/date.hpp>

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
  int year = 1599, month = 12, day = 31;
  for (std::int32_t n = day_number(15991231); n < day_number(24010101); ++n) {
    const std::int32_t date = year * 10000 + month * 100 + day;
    if (date_of_day(n) != date || day_number(date) != n) FAIL("day " << n << " is not " << date);
    if (++day > days_in(year, month)) {
      day = 1;
      if (++month > 12) month = 1, ++year;
    }
  }
}

TEST_CASE("is_date knows what is no date") {
  STATIC_REQUIRE(is_date(20240229));
  STATIC_REQUIRE(is_date(10101));
  for (const std::int32_t wrong :
       {0, -20220425, 20230229, 20220431, 20221301, 20220400, 20220001, 20220432, 100000101})
    CHECK_FALSE(is_date(wrong));
}
