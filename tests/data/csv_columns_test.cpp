// SPDX-License-Identifier: MIT
#include <funnel/data/csv_columns.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

using funnel::column;
using funnel::csv_type;
using funnel::value_kind;

namespace {

struct file_of {
  temporary_folder folder;
  std::string path;

  explicit file_of(const std::string& text) : path(folder.write("t.csv", text)) {}
};

funnel::column_table read(const std::string& text,
                          const funnel::csv_columns_options& options = {}) {
  const file_of file(text);
  return funnel::read_csv(file.path, options);
}

/// The message of the format_error, from the place on.
std::string complaint(const std::string& text, const funnel::csv_columns_options& options = {}) {
  const file_of file(text);
  const std::string message = format_error_of([&] { funnel::read_csv(file.path, options); });
  return message.starts_with(file.path + ":") ? message.substr(file.path.size() + 1) : message;
}

/// The values of a column as text; "-" for a missing one.
std::vector<std::string> texts(const column& c) {
  std::vector<std::string> all;
  for (std::size_t j = 0; j < c.values(); ++j) {
    if (!c.has_value(j))
      all.emplace_back("-");
    else if (c.kind() == value_kind::text)
      all.emplace_back(c.text(j));
    else if (c.kind() == value_kind::integer)
      all.push_back(std::to_string(c.integers()[j]));
    else
      all.push_back(funnel::detail::join_text(c.number(j)));
  }
  return all;
}

value_kind kind_of(const std::vector<std::string>& values) {
  std::string text = "x,y\n";
  for (const std::string& value : values) text += value + ",1\n";
  return read(text).view()["x"].kind();
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("read_csv: a worked example") {
  const auto table = read("user,item,price,genres,title,note\n"
                          "7,41,9.5,Action|Comedy,\"Up, up\",\n"
                          "-8,,10,Drama,x,\n"
                          "7,40,,,\"\",\n",
                          {.lists = {{"genres", '|'}}});
  const funnel::columns c = table;
  CHECK(c.rows() == 3);
  REQUIRE(c.size() == 6);
  CHECK((c.name(0) == "user" && c.name(5) == "note"));
  CHECK(c["user"].kind() == value_kind::integer);
  CHECK(texts(c["user"]) == strings{"7", "-8", "7"});
  CHECK(texts(c["item"]) == strings{"41", "-", "40"});
  CHECK(c["price"].kind() == value_kind::number);
  CHECK(texts(c["price"]) == strings{"9.5", "10", "-"});
  CHECK(c["genres"].is_list());
  CHECK(texts(c["genres"]) == strings{"Action", "Comedy", "Drama"});
  CHECK((c["genres"].begin(1) == 2 && c["genres"].end(1) == 3 && c["genres"].end(2) == 3));
  CHECK(c["title"].kind() == value_kind::text);
  CHECK(texts(c["title"]) == strings{"Up, up", "x", "-"});
  CHECK(c["note"].kind() == value_kind::integer);  // no values
  CHECK(texts(c["note"]) == strings{"-", "-", "-"});
  CHECK(read("a,b\n").view().rows() == 0);
  CHECK(read("a,b\n").view().size() == 2);
}

TEST_CASE("read_csv infers the narrowest type that keeps every value") {
  using enum value_kind;
  CHECK(kind_of({"1", "-2", "0", "-0"}) == integer);
  CHECK(kind_of({"9223372036854775807", "-9223372036854775808"}) == integer);
  CHECK(kind_of({"1", "2.5"}) == number);
  CHECK(kind_of({"1", "2."}) == number);
  CHECK(kind_of({".5", "-.5", "0.5", "0e1", "1E-3", "1e+3"}) == number);
  CHECK(kind_of({"1", "nan"}) == number);
  CHECK(kind_of({"NaN", "NaN"}) == number);
  CHECK(kind_of({"1e-999"}) == number);
  CHECK(kind_of({"100000000000000000000.5"}) == number);
  for (const char* value : {"x",
                            "+1",
                            "1,5",
                            "0x1",
                            "1e",
                            "inf",
                            "1e999",
                            "007",
                            "-07",
                            "00",
                            "00.5",
                            "1 2",
                            "--1",
                            "-",
                            ".",
                            "2022-01-01",
                            "true",
                            "NAN",
                            "9223372036854775808",
                            "-9223372036854775809",
                            "18446744073709551615",
                            "null"}) {
    CAPTURE(value);
    const std::string quoted = std::string("\"") + value + "\"";
    CHECK(kind_of({quoted}) == text);
    CHECK(kind_of({"1", quoted}) == text);
    CHECK(kind_of({"1.5", quoted}) == text);
    CHECK(kind_of({quoted, "1.5"}) == text);
    CHECK(texts(read("x,y\n1.50,1\n" + quoted + ",1\n").view()["x"]) == strings{"1.50", value});
  }
  CHECK(texts(read("x,y\n1,1\nnan,1\n").view()["x"]) == strings{"1", "-"});
  CHECK(texts(read("x,y\nb,1\nnan,1\n").view()["x"]) == strings{"b", "nan"});
}

TEST_CASE("read_csv reads again where a late value does not fit the first rows") {
  for (const std::size_t place : {0u, 1u, 998u, 999u, 1000u, 1001u, 4000u}) {
    std::string text = "a,b,c,d,e\n";
    for (std::size_t i = 0; i < 5000; ++i) {
      const std::string number = std::to_string(i);
      text += i == place ? "007,0.25,x|y,,1"
                         : number + "," + number + "," + number + "," + number + ",1";
      text += '\n';
    }
    const auto table = read(text, {.lists = {{"c", '|'}}});
    const funnel::columns c = table;
    REQUIRE(c.rows() == 5000);
    CHECK(c["a"].kind() == value_kind::text);
    CHECK(c["b"].kind() == value_kind::number);
    CHECK(c["c"].kind() == value_kind::text);
    CHECK(c["d"].kind() == value_kind::integer);
    CHECK(c["c"].values() == 5001);
    CHECK(c["a"].text(place) == "007");
    CHECK(c["b"].number(place) == .25);
    CHECK(!c["d"].has_value(place));
    for (const std::size_t i : {5u, 997u, 1002u, 4999u}) {
      CHECK(c["a"].text(i) == std::to_string(i));
      CHECK(c["b"].number(i) == static_cast<double>(i));
      CHECK(c["c"].text(c["c"].begin(i)) == std::to_string(i));
      CHECK(c["d"].integers()[i] == static_cast<std::int64_t>(i));
    }
  }
}

TEST_CASE("read_csv takes types, names, missing values and blanks as told") {
  const std::string text = "1, a ,?,07\n2,b\t, 2.50,8\n";
  const auto table = read(text, {.names = {"id", "word", "x", "code"},
                                 .types = {{"code", csv_type::integer}, {"id", csv_type::number}},
                                 .missing = {"?"}});
  const funnel::columns c = table;
  CHECK(c.rows() == 2);
  CHECK(c["id"].kind() == value_kind::number);
  CHECK(texts(c["word"]) == strings{"a", "b"});
  CHECK(texts(c["x"]) == strings{"-", "2.5"});
  CHECK(c["x"].kind() == value_kind::number);
  CHECK(texts(c["code"]) == strings{"7", "8"});

  const auto raw = read(text, {.names = {"id", "word", "x", "code"}, .trim = false});
  CHECK(texts(raw.view()["word"]) == strings{" a ", "b\t"});
  CHECK(texts(raw.view()["x"]) == strings{"?", " 2.50"});

  const auto some = read("a, b ,c\n1,2,3\n", {.columns = {"c", "b", "c"}});
  REQUIRE(some.view().size() == 2);
  CHECK((some.view().name(0) == "b" && some.view().name(1) == "c"));
  CHECK(texts(some.view()["c"]) == strings{"3"});

  const auto forced =
      read("a,b,c\n7,,nan\n",
           {.types = {{"a", csv_type::text}, {"b", csv_type::text}, {"c", csv_type::number}}});
  CHECK(forced.view()["a"].kind() == value_kind::text);
  CHECK(texts(forced.view()["a"]) == strings{"7"});
  CHECK((forced.view()["b"].kind() == value_kind::text && !forced.view()["b"].has_value(0)));
  CHECK(!forced.view()["c"].has_value(0));
}

TEST_CASE("read_csv reads tables separated by tabs") {
  const auto table = read("a b\tc\n1\tx, y\n2.5\t\n", {.separator = '\t'});
  CHECK(texts(table.view()["a b"]) == strings{"1", "2.5"});
  CHECK(texts(table.view()["c"]) == strings{"x, y", "-"});
}

TEST_CASE("read_csv reads lists") {
  const auto table = read("a,b\n"
                          "1|2,\"20,39, 67\"\n"
                          "3,\n"
                          ",7\n"
                          "|4|,?\n"
                          "NA,\"8,?,,9\"\n",
                          {.lists = {{"a", '|'}, {"b", ','}}, .missing = {"?", "NA"}});
  const funnel::columns c = table;
  CHECK(c.rows() == 5);
  CHECK((c["a"].kind() == value_kind::integer && c["b"].kind() == value_kind::integer));
  CHECK(texts(c["a"]) == strings{"1", "2", "3", "-", "4", "-"});
  CHECK(texts(c["b"]) == strings{"20", "39", "67", "7", "8", "-", "-", "9"});
  const auto sizes = [](const column& of) {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < of.rows(); ++i) all.push_back(of.end(i) - of.begin(i));
    return all;
  };
  CHECK(sizes(c["a"]) == std::vector<std::size_t>{2, 1, 0, 3, 0});
  CHECK(sizes(c["b"]) == std::vector<std::size_t>{3, 0, 1, 0, 4});
  const auto none = read("a\n\"\"\n", {.lists = {{"a", '|'}}});
  CHECK((none.view()["a"].is_list() && none.view().rows() == 1));
  CHECK(texts(read("a,b\n5|x,1\n6,1\n", {.types = {{"a", csv_type::text}}, .lists = {{"a", '|'}}})
                  .view()["a"]) == strings{"5", "x", "6"});
}

TEST_CASE("read_csv reads times") {
  const auto table = read("t\n2022-04-25\n\n1970-01-01 00:00:02.5\n\"\"\n",
                          {.types = {{"t", csv_type::time}}, .ticks_per_second = 1000});
  const column t = table.view()["t"];
  CHECK(t.kind() == value_kind::integer);
  CHECK(texts(t) == strings{"1650844800000", "2500", "-"});
  CHECK(complaint("a,t\n1,2022-04-31\n", {.types = {{"t", csv_type::time}}}) ==
        "2:3: t: expected a date or time, as in 2022-04-25 or 2022-04-25 18:30:00, got "
        "\"2022-04-31\"");
}

TEST_CASE("read_csv says what is wrong, and where") {
  CHECK(complaint("a,b\n1,2\n3,x\n", {.types = {{"b", csv_type::integer}}}) ==
        "3:3: b: expected a whole number, got \"x\"");
  CHECK(complaint("a,b\n1,2.5\n", {.types = {{"b", csv_type::integer}}}) ==
        "2:3: b: expected a whole number, got \"2.5\"");
  CHECK(complaint("a,b\n1,2\n1,9223372036854775808\n", {.types = {{"b", csv_type::integer}}}) ==
        "3:3: b: the number 9223372036854775808 is too large");
  CHECK(complaint("a,b\n1,1e999\n", {.types = {{"b", csv_type::number}}}) ==
        "2:3: b: the number 1e999 is too large");
  CHECK(complaint("a,b\n1,x\n", {.types = {{"b", csv_type::number}}}) ==
        "2:3: b: expected a number, got \"x\"");
  CHECK(complaint("a,b\n1,1|x\n", {.types = {{"b", csv_type::integer}}, .lists = {{"b", '|'}}}) ==
        "2:3: b: expected a whole number, got \"x\"");
  const std::string missing = "1:1: column \"c\" is missing; the file has \"a\", \"b\"";
  CHECK(complaint("a,b\n", {.columns = {"c"}}) == missing);
  CHECK(complaint("a,b\n", {.types = {{"c", csv_type::text}}}) == missing);
  CHECK(complaint("a,b\n", {.lists = {{"c", '|'}}}) == missing);
  CHECK(complaint("a, a\n") == "1:1: column \"a\" is named twice");
  CHECK(complaint("a,b\n1\n") == "2:2: the row ends after 1 of 2 fields, before \"b\"");
  CHECK(complaint("1,2\n3\n", {.names = {"x", "y"}}) ==
        "2:2: the row ends after 1 of 2 fields, before \"y\"");
  CHECK(complaint("", {.names = {"x", "y"}}) == "1:1: the file is empty, expected rows");
  CHECK(complaint("a;b\n1;2\n") == "1:1: the columns are separated by semicolons, expected commas");
  CHECK(format_error_of([] { funnel::read_csv("no such file.csv"); }) ==
        "no such file.csv: the file can't be opened");

  const file_of file("a,b\n1,2\n");
  const auto refused = [&](const funnel::csv_columns_options& options, const char* words) {
    return refuses([&] { funnel::read_csv(file.path, options); }, "funnel::", words);
  };
  CHECK(refused({.types = {{"a", csv_type::text}, {"a", csv_type::number}}},
                "types has \"a\" twice, expected one type per column"));
  CHECK(refused({.lists = {{"a", '|'}, {"a", ';'}}},
                "lists has \"a\" twice, expected one separator per column"));
  CHECK(refused({.names = {"x", "x"}}, "names has \"x\" twice, expected different names"));
  for (const std::int64_t unit :
       {std::int64_t{0}, std::int64_t{-1000}, std::int64_t{60}, std::int64_t{10'000'000'000}})
    CHECK(refused({.ticks_per_second = unit}, "expected a power of ten up to 1000000000"));
  CHECK(refused({.block_size = 0}, "block_size is 0"));
}

namespace {

/// The kind of a column by regular expressions, over all its values that are not missing.
value_kind kind_by_patterns(const strings& values) {
  static const std::regex whole("-?(0|[1-9][0-9]{0,17})");
  static const std::regex number("-?((0|[1-9][0-9]*)(\\.[0-9]*)?|\\.[0-9]+)(e[+-]?[0-9]+)?|nan");
  const auto all = [&](const std::regex& pattern) {
    for (const std::string& value : values)
      if (!value.empty() && !std::regex_match(value, pattern)) return false;
    return true;
  };
  return all(whole) ? value_kind::integer : all(number) ? value_kind::number : value_kind::text;
}

}  // namespace

TEST_CASE("read_csv agrees with patterns and strtod on random tables, in blocks of any size") {
  funnel::random_generator bits(5);
  const strings parts{"", "1", "-1", "07", "12", "0", "2.5", "nan", "-.5", "3e2", "x", "1.2.3"};
  for (std::size_t round = 0; round < 300; ++round) {
    const std::size_t rows = funnel::uniform_below(bits, 12), cols = 1 + round % 4;
    std::vector<strings> values(cols);
    std::string text;
    for (std::size_t j = 0; j < cols; ++j) {
      const std::size_t range = 1 + funnel::uniform_below(bits, parts.size());
      for (std::size_t i = 0; i < rows; ++i)
        values[j].push_back(parts[funnel::uniform_below(bits, range)]);
      text += (j == 0 ? "c" : ",c") + std::to_string(j);
    }
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < cols; ++j) text += (j == 0 ? "\n\"" : ",\"") + values[j][i] + '"';
    const auto table = read(text, {.block_size = 1 + funnel::uniform_below(bits, 40)});
    const funnel::columns c = table;
    REQUIRE(c.rows() == rows);
    for (std::size_t j = 0; j < cols; ++j) {
      REQUIRE(c[j].kind() == kind_by_patterns(values[j]));
      for (std::size_t i = 0; i < rows; ++i) {
        const std::string& value = values[j][i];
        const bool missing = value.empty() || (value == "nan" && c[j].kind() == value_kind::number);
        REQUIRE(c[j].has_value(i) == !missing);
        if (missing) continue;
        if (c[j].kind() == value_kind::text)
          CHECK(c[j].text(i) == value);
        else
          CHECK(c[j].number(i) == std::strtod(value.c_str(), nullptr));
      }
    }
  }
}

TEST_CASE("read_csv reads ml-latest-small") {
  const std::string ratings = data_file("ml-latest-small/ratings.csv");
  const std::string movies = data_file("ml-latest-small/movies.csv");
  if (ratings.empty() || movies.empty()) return;
  const auto rated = funnel::read_csv(ratings);
  CHECK(rated.rows() == 100'836);
  CHECK(rated.view()["userId"].kind() == value_kind::integer);
  CHECK(rated.view()["rating"].kind() == value_kind::number);
  const auto known = funnel::read_csv(movies, {.lists = {{"genres", '|'}}});
  CHECK(known.rows() == 9'742);
  const column genres = known.view()["genres"];
  CHECK(genres.is_list());
  CHECK(std::set<std::string>(genres.dictionary().begin(), genres.dictionary().end()).size() == 20);
}
