// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstdint>

namespace funnel {

/// Returns the number of days from 1970-01-01 to a date written as the number yyyymmdd (20220425).
///
/// Errors      none; if the number is not a date (check with `is_date`), the result is meaningless.
/// Source      H. Hinnant, https://howardhinnant.github.io/date_algorithms.html, days_from_civil.
constexpr std::int32_t day_number(std::int32_t date) {
  const std::int32_t month = date / 100 % 100;
  const std::int32_t day = date % 100;
  const std::int32_t year = date / 10000 - (month <= 2);  // from March: leap days are last
  const std::int32_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int32_t year_of_era = year - era * 400;
  const std::int32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const std::int32_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

/// Whether a number yyyymmdd is a calendar date in the years 1 to 9999.
constexpr bool is_date(std::int32_t date) {
  if (date < 10101 || date > 99991231) return false;
  const std::int32_t year = date / 10000, month = date / 100 % 100, day = date % 100;
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  const std::int32_t days = month == 2 ? 28 + leap : 30 + (month + month / 8) % 2;
  return month >= 1 && month <= 12 && day >= 1 && day <= days;
}

/// Returns the date, as yyyymmdd, of a day counted from 1970-01-01; the inverse of `day_number`.
///
/// Errors      std::invalid_argument for a day outside the years 1 to 9999.
constexpr std::int32_t date_of_day(std::int32_t day) {
  constexpr std::int32_t first = day_number(10101), last = day_number(99991231);
  if (day < first || day > last)
    detail::fail("funnel::date_of_day: day is ", day, ", expected ", first, " to ", last);
  day += 719468;
  const std::int32_t era = day / 146097;
  const std::int32_t day_of_era = day - era * 146097;
  const std::int32_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const std::int32_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int32_t shifted_month = (5 * day_of_year + 2) / 153;
  const std::int32_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  const std::int32_t year = year_of_era + era * 400 + (month <= 2);
  return year * 10000 + month * 100 + day_of_year - (153 * shifted_month + 2) / 5 + 1;
}

}  // namespace funnel
