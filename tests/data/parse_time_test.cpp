// SPDX-License-Identifier: MIT
#include <funnel/data/detail/parse_time.hpp>

#include "support/catch.hpp"

#include <funnel/core/random.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

using funnel::detail::parse_time;

TEST_CASE("parse_time reads dates and times") {
  CHECK(parse_time("1970-01-01", 1) == 0);
  CHECK(parse_time("1970/01/02", 1) == 86'400);
  CHECK(parse_time("1969-12-31", 1) == -86'400);
  CHECK(parse_time("2022-04-25 18:30", 1) == 1'650'911'400);
  CHECK(parse_time("2022-04-25T18:30:05", 1) == 1'650'911'405);
  CHECK(parse_time("2022-04-25T18:30:05Z", 1) == 1'650'911'405);
  CHECK(parse_time("2022-04-25T18:30:05+02:30", 1) == 1'650'911'405 - 9000);
  CHECK(parse_time("2022-04-25 18:30-01:00", 1) == 1'650'911'400 + 3600);
  CHECK(parse_time("2022-04-25 18:30:05.999", 1) == 1'650'911'405);
  CHECK(parse_time("2022-04-25 18:30:05.999", 1000) == 1'650'911'405'999);
  CHECK(parse_time("2022-04-25 18:30:05.0129Z", 1000) == 1'650'911'405'012);
  CHECK(parse_time("2022-04-25 18:30:05.5", 1'000'000'000) == 1'650'911'405'500'000'000);
  CHECK(parse_time("2022-04-25 18:30:05.123456789123", 1'000'000'000) == 1'650'911'405'123'456'789);
  CHECK(parse_time("1969-12-31 23:59:59.75", 1000) == -250);
  CHECK(parse_time("2000-02-29", 1) == 951'782'400);
  CHECK(parse_time("9999-12-31 23:59:59", 1) == 253'402'300'799);
  CHECK(parse_time("0001-01-01", 1) == -62'135'596'800);
}

TEST_CASE("parse_time refuses what is no time") {
  for (const char* text : {"",
                           "2022",
                           "2022-04",
                           "2022-4-25",
                           "2022-04-31",
                           "2022-02-29",
                           "2022-13-01",
                           "2022-00-10",
                           "0000-01-01",
                           "20220425",
                           "2022-04/25",
                           "2022-04-25 ",
                           "2022-04-25 18",
                           "2022-04-25 18:3",
                           "2022-04-25 24:00",
                           "2022-04-25 18:60",
                           "2022-04-25 18:30:60",
                           "2022-04-25x18:30",
                           "2022-04-25 18:30:05.",
                           "2022-04-25 18:30:05,5",
                           "2022-04-25 18:30Zx",
                           "2022-04-25 18:30+2",
                           "2022-04-25 18:30+02",
                           "2022-04-25 18:30+02:60",
                           "2022-04-25 18:30 +02:00",
                           " 2022-04-25",
                           "2022-04-25T",
                           "2022-04-25Z",
                           "-022-04-25",
                           "2022-04-2a",
                           "22-04-25",
                           "+2022-04-25"}) {
    CAPTURE(text);
    CHECK(parse_time(text, 1) == std::nullopt);
  }
  // Nanoseconds of the year 9999 are more than 64 bits.
  CHECK(parse_time("9999-12-31", 1'000'000'000) == std::nullopt);
  CHECK(parse_time("0001-01-01", 1'000'000'000) == std::nullopt);
  CHECK(parse_time("2262-01-01", 1'000'000'000) == 9'214'646'400'000'000'000);
}

TEST_CASE("parse_time is the inverse of printing") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 2000; ++round) {
    const auto day = static_cast<std::int32_t>(funnel::uniform_below(bits, 200'000)) - 100'000;
    const auto second = static_cast<int>(funnel::uniform_below(bits, 86'400));
    const auto ms = static_cast<int>(funnel::uniform_below(bits, 1000));
    const std::int32_t date = funnel::date_of_day(day);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", date / 10000,
                  date / 100 % 100, date % 100, second / 3600, second / 60 % 60, second % 60, ms);
    CHECK(parse_time(text, 1000) == (std::int64_t{day} * 86'400 + second) * 1000 + ms);
  }
}
