// SPDX-License-Identifier: MIT
#include <funnel/features/columns.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using funnel::column;
using funnel::columns;

TEST_CASE("a column reads the caller's integers, numbers and text") {
  const std::vector<std::int64_t> ids{7, -3};
  const std::vector<float> prices{1.5f, std::numeric_limits<float>::quiet_NaN(), 3};
  const std::vector<double> exact{0x1p60};
  const std::vector<std::string> words{"ios", "42"};
  const std::vector<std::uint32_t> codes{1, 0, 0};
  const column integers(ids), numbers(prices), doubles(exact), text(codes, words);
  CHECK(integers.rows() == 2);
  CHECK(integers.number(1) == -3);
  CHECK(integers.key(1) == funnel::category_key(std::int64_t{-3}));
  CHECK(numbers.number(0) == 1.5);
  CHECK(!numbers.has_value(1));
  CHECK(std::isnan(numbers.number(1)));
  CHECK(numbers.key(1) == funnel::missing_key);
  CHECK(numbers.key(2) == 3);
  CHECK(numbers.key(0) != numbers.key(2));
  CHECK(doubles.key(0) == std::uint64_t{1} << 60);
  CHECK(text.rows() == 3);
  CHECK(text.text(1) == "ios");
  CHECK(text.key(0) == 42);
  CHECK(text.key(1) == funnel::category_key(std::string_view("ios")));
  CHECK(text.text(0) == "42");
  CHECK(std::isnan(text.number(0)));
}

TEST_CASE("integers and numbers are not read as text") {
  const std::vector<std::int64_t> ids{7};
  const std::vector<double> prices{1.5};
  CHECK(refuses([&] { column(ids).text(0); }, "funnel::column::text", "integers, expected text"));
  CHECK(refuses([&] { column(prices).text(0); }, "funnel::column::text", "numbers, expected text"));
}

TEST_CASE("values marked as missing have no number and no key") {
  const std::vector<std::int64_t> ids{7, 8};
  const std::vector<std::uint8_t> present{0, 1};
  const column c = column(ids).with_presence(present);
  CHECK(!c.has_value(0));
  CHECK(std::isnan(c.number(0)));
  CHECK(c.key(0) == funnel::missing_key);
  CHECK(c.key(1) == 8);
}

TEST_CASE("a column of lists has one list per row") {
  const std::vector<std::int64_t> tags{1, 2, 3};
  const std::vector<std::uint64_t> offsets{0, 2, 2, 3};
  const column c = column(tags).with_lists(offsets);
  CHECK(c.is_list());
  CHECK(c.rows() == 3);
  CHECK(c.values() == 3);
  CHECK(c.begin(1) == 2);
  CHECK(c.end(1) == 2);
  CHECK(c.end(2) == 3);
}

TEST_CASE("columns have unique names and as many rows as the first") {
  const std::vector<std::int64_t> two{1, 2}, three{1, 2, 3};
  columns table;
  table.add("user_id", column(two));
  CHECK(refuses([&] { table.add("user_id", column(two)); }, "funnel::column",
                "two columns \"user_id\""));
  CHECK(refuses([&] { table.add("age", column(three)); }, "funnel::column",
                "\"age\" has 3 rows, expected 2"));
  CHECK(table.size() == 1);
  CHECK(refuses([&] { table["age"]; }, "funnel::column",
                "\"age\" is missing, expected one of \"user_id\""));
  CHECK(table.find("age") == nullptr);
  CHECK(table["user_id"].rows() == 2);
}

TEST_CASE("codes, presence and offsets that do not fit are refused") {
  const std::vector<std::string> words{"a"};
  const std::vector<std::uint32_t> codes{0, 1};
  CHECK(
      refuses([&] { column(codes, words); }, "funnel::column", "codes[1] is 1, expected below 1"));
  const std::vector<std::int64_t> values{1, 2};
  const std::vector<std::uint8_t> present{1};
  CHECK(refuses([&] { column(values).with_presence(present); }, "funnel::column", "present has 1"));
  const std::vector<std::uint64_t> falling{0, 2, 1}, late{1, 2}, short_of{0, 1}, none;
  CHECK(refuses([&] { column(values).with_lists(falling); }, "funnel::column",
                "offsets[2] is 1, expected at least 2"));
  CHECK(refuses([&] { column(values).with_lists(late); }, "funnel::column",
                "offsets[0] is 1, expected 0"));
  CHECK(refuses([&] { column(values).with_lists(short_of); }, "funnel::column",
                "the last of offsets is 1, expected 2"));
  CHECK(refuses([&] { column(values).with_lists(none); }, "funnel::column", "offsets"));
}
