// SPDX-License-Identifier: MIT
#include "files.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>
#include <funnel/data/csv.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using funnel::csv_reader;

namespace {

/// All records of a text, and the line each starts on.
std::vector<std::vector<std::string>> records(const std::string& content,
                                              std::vector<std::size_t>* lines = nullptr) {
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "a,b\n" + content));
  std::vector<std::vector<std::string>> result;
  while (csv.next()) {
    result.push_back({std::string(csv.text(0)), std::string(csv.text(1))});
    if (lines) lines->push_back(csv.line());
  }
  return result;
}

/// What is wrong with a text, without the file's name.
std::string complaint(const std::string& content) {
  const temporary_folder folder;
  const std::string file = folder.write("t.csv", content);
  const std::string text = format_error_of([&] {
    csv_reader csv(file);
    while (csv.next()) {
    }
  });
  REQUIRE(text.starts_with(file + ":"));
  return text.substr(file.size() + 1);
}

using rows = std::vector<std::vector<std::string>>;

}  // namespace

TEST_CASE("csv_reader splits records") {
  CHECK(records("1,2\n3,4\n") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\r\n3,4\r\n") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\n3,4") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\r\n3,4\r") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\r3,4\r") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\r3,4") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\r\r\n3,4\r\r\n") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("1,2\n\r3,4\r\r\r") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("\r").empty());
  CHECK(records("").empty());
  CHECK(records(",\n") == rows{{"", ""}});
  CHECK(records("1,") == rows{{"1", ""}});
  CHECK(records("\n\r\n1,2\n\n\r\n3,4\n\n") == rows{{"1", "2"}, {"3", "4"}});
  CHECK(records("\"a\rb\", c d \n") == rows{{"a\rb", " c d "}});
}

TEST_CASE("csv_reader reads quoted fields") {
  CHECK(records("\"1,2\",\"a \"\"b\"\"\"\n") == rows{{"1,2", "a \"b\""}});
  CHECK(records("\"\",\"\"\"\"\r\n1,\"2\"") == rows{{"", "\""}, {"1", "2"}});
  CHECK(records("\"x\r\ny\n\",2\n3,4\n") == rows{{"x\r\ny\n", "2"}, {"3", "4"}});
  CHECK(records("5\" disk,\"q\"\r") == rows{{"5\" disk", "q"}});
}

TEST_CASE("csv_reader takes names for a file without a line of names") {
  const temporary_folder folder;
  const std::string file = folder.write("t.csv", "\xef\xbb\xbf\n1,2\n3;;;,4\n");
  csv_reader csv(file, {.block_size = 1, .names = {"x", "y"}});
  CHECK(csv.names() == std::vector<std::string>{"x", "y"});
  CHECK(csv.column("y") == 1);
  CHECK(refuses([&] { csv.text(0); }, "funnel::csv_reader", "column is 0"));
  REQUIRE(csv.next());
  CHECK((csv.text(0) == "1" && csv.text(1) == "2" && csv.line() == 2));
  REQUIRE(csv.next());
  CHECK((csv.text(0) == "3;;;" && csv.text(1) == "4"));
  CHECK_FALSE(csv.next());
  CHECK(csv_reader(folder.write("u.csv", "b,a\n")).names() == std::vector<std::string>{"b", "a"});
  CHECK(refuses(
      [&] {
        csv_reader(file, {.names = {"x", "y", "x"}});
      },
      "funnel::csv_reader", "names has \"x\" twice, expected different names"));
  CHECK(format_error_of([&] {
          csv_reader one(file, {.names = {"x"}});
          one.next();
        }) == file + ":2:3: the row has 2 fields, expected 1");
}

TEST_CASE("csv_reader reads other separators") {
  const temporary_folder folder;
  for (const char separator : {'\t', ';', '|', ' ', '~', '\x80', '-'}) {
    CAPTURE(int{separator});
    std::string text = "a,x/\"b/\"/c\n1,2/\"3/4\"/5\r\n//";
    std::ranges::replace(text, '/', separator);
    for (const std::size_t block : {1u, 3u, 4096u}) {
      csv_reader csv(folder.write("t.csv", text), {.block_size = block, .separator = separator});
      CHECK(csv.names() == std::vector<std::string>{"a,x", std::string("b") + separator, "c"});
      REQUIRE(csv.next());
      CHECK(csv.text(0) == "1,2");
      CHECK(csv.text(1) == std::string("3") + separator + "4");
      CHECK(csv.text(2) == "5");
      REQUIRE(csv.next());
      CHECK((csv.text(0).empty() && csv.text(1).empty() && csv.text(2).empty()));
      CHECK_FALSE(csv.next());
    }
  }
  const auto complaint_with = [&](const char* text, char separator) {
    const std::string file = folder.write("t.csv", text);
    return format_error_of([&] { csv_reader(file, {.separator = separator}); }).substr(file.size());
  };
  CHECK(complaint_with("a,b\n1,2\n", ';') ==
        ":1:1: the columns are separated by commas, expected semicolons");
  CHECK(complaint_with("a;b\n", '\t') ==
        ":1:1: the columns are separated by semicolons, expected tabs");
  CHECK(complaint_with("a|b\n", '\x01') ==
        ":1:1: the columns are separated by bars, expected \"\\x01\"");
  const std::string file = folder.write("t.csv", "a,b\n");
  for (const char separator : {'"', '\0', '\n', '\r'})
    CHECK(refuses([&] { csv_reader(file, {.separator = separator}); }, "funnel::csv_reader",
                  ", expected no quote, line end or NUL"));
}

TEST_CASE("csv_reader counts lines") {
  std::vector<std::size_t> lines;
  records("1,2\n\n\"x\n\ny\",4\r\n5,6\n", &lines);
  CHECK(lines == std::vector<std::size_t>{2, 4, 7});
  lines.clear();
  records("1,2\r\r\"x\r\ry\",4\r\n5,\"\r\n\n\r\"\r\r\n\n7,8", &lines);
  CHECK(lines == std::vector<std::size_t>{2, 4, 7, 13});
}

TEST_CASE("csv_reader finds columns by name") {
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "\xef\xbb\xbfid,\"na\"\"me\",x\r\n7,8,9\r\n"));
  CHECK(csv.column("id") == 0);
  CHECK(csv.column("na\"me") == 1);
  CHECK(csv.find_column("x") == 2);
  CHECK_FALSE(csv.find_column("y").has_value());
  CHECK(format_error_of([&] { csv.column("tab"); }) ==
        csv.file() + ":1:1: column \"tab\" is missing; the file has \"id\", \"na\"me\", \"x\"");
  REQUIRE(csv.next());
  CHECK(csv.number<int>(csv.column("x")) == 9);
}

TEST_CASE("csv_reader says which of very many columns is missing, and in no time") {
  const temporary_folder folder;
  std::string header = "c0", row = "0";
  for (int i = 1; i < 80'000; ++i) {
    header += ",c" + std::to_string(i);
    row += "," + std::to_string(i);
  }
  csv_reader csv(folder.write("t.csv", header + "\n" + row + "\n"));
  REQUIRE(csv.next());
  std::size_t wrong = 0;
  for (int i = 0; i < 80'000; ++i)
    wrong += csv.number<int>(csv.column("c" + std::to_string(i))) != i;
  CHECK(wrong == 0);
  const std::string text = format_error_of([&] { csv.column("x"); });
  CHECK(
      text.starts_with(csv.file() + ":1:1: column \"x\" is missing; the file has \"c0\", \"c1\""));
  CHECK(text.find("more", text.size() - 4) != std::string::npos);
  CHECK(text.size() < csv.file().size() + 400);
  CHECK(complaint(header + ",c7,c9,c7\n").ends_with(": column \"c7\" is named twice"));
}

TEST_CASE("csv_reader reads the same in blocks of every size") {
  const std::string content = "\xef\xbb\xbf\"a\"\"\",b\r\n\r\n\"\",\"\"\"\"\r1,"
                              "\"x\"\"\"\"y\"\n\n\"\r\n\",\"\n\r\"\r\r\n,\n\"1"
                              ",2\",\"\"\"\"\"\"\r\n\"ab\"\"\",\"cd\"";
  const rows expected = {{"", "\""}, {"1", "x\"\"y"}, {"\r\n", "\n\r"},
                         {"", ""},   {"1,2", "\"\""}, {"ab\"", "cd"}};
  const std::vector<std::size_t> expected_lines = {3, 4, 6, 11, 12, 13};
  const temporary_folder folder;
  const std::string file = folder.write("t.csv", content);
  for (std::size_t block = 1; block <= content.size() + 2; ++block) {
    // So long a blank line first that what the reader looks at for the format is left behind.
    for (const std::size_t before : {std::size_t{0}, std::size_t{1500}}) {
      const std::string padded = folder.write("padded.csv", "a\",b\n" + std::string(before, '\n') +
                                                                content.substr(content.find('\r')));
      csv_reader csv(padded, {.block_size = block});
      rows read;
      std::vector<std::size_t> lines;
      while (csv.next()) {
        read.push_back({std::string(csv.text(0)), std::string(csv.text(1))});
        lines.push_back(csv.line() - before - 1);
      }
      CHECK(read == expected);
      CHECK(lines == expected_lines);
    }
    csv_reader csv(file, {.block_size = block});
    CHECK(csv.find_column("a\"") == 0);
    CHECK(csv.find_column("b") == 1);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      REQUIRE(csv.next());
      CHECK(csv.text(1) == expected[i][1]);
      CHECK(csv.line() == expected_lines[i]);
    }
    CHECK_FALSE(csv.next());
    CHECK_FALSE(csv.next());
  }
  CHECK(refuses([&] { csv_reader(file, {.block_size = 0}); }, "funnel::csv_reader",
                "block_size is 0, expected 1 to"));
  CHECK(refuses([&] { csv_reader(file, {.block_size = std::numeric_limits<std::size_t>::max()}); },
                "funnel::csv_reader",
                "block_size is 18446744073709551615, expected 1 to 16777216"));
}

TEST_CASE("csv_reader finds the same mistake in blocks of every size") {
  const temporary_folder folder;
  const std::string lead(700, '\n');
  for (const char* content : {"1\n", "1,2,3\n", "\"1,2", "\"1\"\"", "\"1\"\"\n,2\n\n", "\"1\"2,3\n",
                              "1,\"2\r\n\"\n\"\" ,4\n"}) {
    const std::string file = folder.write("t.csv", "a,b\n" + lead + "5,6\r\n" + content);
    const auto mistake = [&](std::size_t block) {
      return format_error_of([&] {
        csv_reader csv(file, {.block_size = block});
        while (csv.next()) {
        }
      });
    };
    const std::string expected = mistake(1 << 18);
    CHECK(expected.starts_with(file + ":70"));
    for (std::size_t block = 1; block < 24; ++block) CHECK(mistake(block) == expected);
  }
}

TEST_CASE("csv_reader reads random records whatever the blocks cut") {
  // Random records of many lengths put every kind of byte on the border of a block.
  funnel::random_generator bits(5);
  const std::vector<std::string> pieces = {"\"\"", ",", "\n", "\r\n", "word", "\r", "7", " "};
  rows expected;
  std::string content;
  while (content.size() < 1'500'000) {
    std::vector<std::string> row(2);
    for (std::size_t f = 0; f < 2; ++f) {
      std::string raw;
      for (std::size_t k = funnel::uniform_below(bits, 12); k > 0; --k) {
        const std::string& piece = pieces[funnel::uniform_below(bits, pieces.size())];
        raw += piece;
        row[f] += piece == "\"\"" ? "\"" : piece;
      }
      content += "\"" + raw + "\"" + (f == 0 ? "," : funnel::bernoulli(bits, .5) ? "\n" : "\r\n");
    }
    expected.push_back(row);
  }
  CHECK(records(content) == expected);
}

TEST_CASE("csv_reader reads records longer than a block") {
  const std::string longer(700'000, 'x');
  CHECK(records(longer + ",\"" + longer + "\"\n1,2\n") == rows{{longer, longer}, {"1", "2"}});
}

TEST_CASE("csv_reader names the place of a broken record") {
  CHECK(complaint("") == "1:1: the file is empty, expected a line of column names");
  CHECK(complaint("\n\n") == "1:1: the file is empty, expected a line of column names");
  CHECK(complaint("a,b,a\n") == "1:5: column \"a\" is named twice");
  CHECK(complaint("a,b\n1,2\n3\n") == "3:2: the row ends after 1 of 2 fields, before \"b\"");
  CHECK(complaint("a,b\n1,2\n123") == "3:4: the row ends after 1 of 2 fields, before \"b\"");
  CHECK(complaint("a,b\n\"1\n2\"\r\n") == "3:3: the row ends after 1 of 2 fields, before \"b\"");
  CHECK(complaint("a,b\r\n1,2,3\r\n") == "2:5: the row has 3 fields, expected 2");
  CHECK(complaint("a,b\n1,2\n1,\"2\n\n") == "3:3: the quote is not closed");
  CHECK(complaint("a,b\n1,\"") == "2:3: the quote is not closed");
  CHECK(complaint("a,b\n1,\"2\"3\n") == "2:6: expected a comma or the line's end after the quote");
  CHECK(complaint("a,b\n\"1\n\"x,2\n") ==
        "3:2: expected a comma or the line's end after the quote");
  CHECK(complaint("a,b\n" + std::string(csv_reader::longest_record + (1 << 19), 'x')) ==
        "2:1: the record is longer than 16 MiB");
  CHECK(format_error_of([] { csv_reader csv("no/such/file.csv"); }) ==
        "no/such/file.csv: the file can't be opened");
  const temporary_folder folder;
  CHECK(format_error_of([&] { csv_reader csv(folder.path()); }) ==
        folder.path() + ":1:1: the file can't be read");
}

TEST_CASE("csv_reader says what a file is that holds no comma-separated text") {
  using namespace std::string_literals;
  const auto is = [](const std::string& content, const std::string& what) {
    const std::string text = complaint(content);
    const bool says = text.starts_with("1:1: the file is " + what);
    if (!says) UNSCOPED_INFO(text);
    return says;
  };
  CHECK(is("\x1f\x8b\x08\0\0\0"s, "compressed by gzip"));
  CHECK(is("BZh91AY&SY\1\2"s, "compressed by bzip2"));
  CHECK(is("\xfd\x37zXZ\0\0"s, "compressed by xz"));
  CHECK(is("\x28\xb5\x2f\xfd\1"s, "compressed by zstd"));
  CHECK(is("PK\x03\x04\x14\0"s, "a zip archive or an Excel workbook"));
  CHECK(is("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"s, "an Excel workbook"));
  CHECK(is("PAR1\x15\x04"s, "a Parquet file"));
  CHECK(is("Obj\x01\x04"s, "an Avro file"));
  CHECK(is("data/"s + std::string(252, '\0') + "ustar\0"s + "00", "a tar archive"));
  CHECK(is("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
           "a Git LFS pointer"));
  CHECK(is("\xff\xfe"
           "a\0,\0b\0\n\0"s,
           "UTF-16"));
  CHECK(is("\xfe\xff\0a\0,\0b\0\n"s, "UTF-16"));
  CHECK(is("a\0,\0b\0\n\0"s, "UTF-16"));
  CHECK(is("\0a\0,\0b\0\n"s, "UTF-16"));
  CHECK(is("\xff\xfe\0\0a\0\0\0"s, "UTF-32"));
  CHECK(is("\n <!DOCTYPE html>\n<html>", "an HTML page"));
  CHECK(is("\xef\xbb\xbf<HTML><body>", "an HTML page"));
  CHECK(is("<title>404 Not Found</title>", "an HTML page"));
  CHECK(is("<?xml version=\"1.0\"?>", "an XML document"));
  CHECK(is("{\"a\": 1}", "JSON"));
  CHECK(is("[\n  {\"a\": 1}", "JSON"));
  CHECK(is("[1, 2]", "JSON"));
  CHECK(is("sep=,\na,b\n", "made for Excel"));
  CHECK(is("\xef\xbb\xbfSEP=;\r\na;b\r\n", "made for Excel"));
  CHECK(is("\"sep=,\"\na,b\n", "made for Excel"));
  CHECK(complaint("a\tb\n1\t2\n") == "1:1: the columns are separated by tabs, expected commas");
  CHECK(complaint("\n\na;b;c\n1;2,5;3\n") ==
        "3:1: the columns are separated by semicolons, expected commas");
  CHECK(complaint("\"a\";\"b\"\n\"1\";\"2\"\n") ==
        "1:1: the columns are separated by semicolons, expected commas");
  CHECK(complaint("a|b|c,d\n") == "1:1: the columns are separated by bars, expected commas");
}

TEST_CASE("csv_reader takes names for what they are") {
  const temporary_folder folder;
  for (const char* name :
       {"PAR1",    "BZh",    "BZh9",  "ARROW1",    "FEA1",    "PK",      "[id]",
        "{x}",     "<user>", "sep=",  "separator", "sep=x,y", "\"a;b\"", "\"a\tb\"",
        "version", "7z",     "x;y,z", "%",         "\xff",    "caf\xe9"}) {
    csv_reader csv(folder.write("t.csv", std::string(name) + "\n"));
    CHECK_FALSE(csv.next());
  }
}

TEST_CASE("csv_reader refuses NUL bytes") {
  using namespace std::string_literals;
  const std::string text = "a NUL byte: the file is damaged, binary or UTF-16, expected text";
  CHECK(complaint("a,b\n1,2\n3\0,4\n"s) == "3:2: " + text);
  CHECK(complaint("a,b\n1,\"2\n\0\"\n"s) == "3:1: " + text);
  CHECK(complaint("a,b\n1,2\n"s + std::string(100, '\0')) == "3:1: " + text);
  CHECK(complaint(std::string(1000, '\0')) == "1:1: " + text);
  CHECK(complaint("a,b\0"s) == "1:4: " + text);
}

TEST_CASE("csv_reader shows no more of a field than a line can hold, and no control characters") {
  CHECK(complaint("a,\x1b[31m\x7f,a\n") == "1:10: column \"a\" is named twice");
  CHECK(complaint("\x1b\x7f,\x1b\x7f\n") == "1:4: column \"\\x1b\\x7f\" is named twice");
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "n\n" + std::string(1'000'000, '7') + "\n"));
  REQUIRE(csv.next());
  const std::string shown = std::string(60, '7') + "...";
  CHECK(format_error_of([&] { csv.number<std::uint8_t>(0); }) ==
        csv.file() + ":2:1: n: the number " + shown + " is outside [0, 255]");
  CHECK(format_error_of([&] { csv.flag(0); }) ==
        csv.file() + ":2:1: n: expected 0 or 1, got \"" + shown + "\"");
}

TEST_CASE("csv_reader has a record only where next gave one") {
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "a,b\n1,2\n3\n"));
  const auto none = [&] {
    return refuses([&] { csv.text(0); }, "funnel::csv_reader",
                   "column is 0, expected one of the record's 0");
  };
  CHECK(none());
  REQUIRE(csv.next());
  CHECK(refuses([&] { csv.number<int>(2); }, "funnel::csv_reader",
                "column is 2, expected one of the record's 2"));
  CHECK(refuses([&] { csv.fail(2, "x"); }, "funnel::csv_reader", "column is 2"));
  for (int again = 0; again < 2; ++again) {
    CHECK(format_error_of([&] { csv.next(); }) ==
          csv.file() + ":3:2: the row ends after 1 of 2 fields, before \"b\"");
    CHECK(none());
  }
  csv_reader short_one(folder.write("t.csv", "a\n1\n"));
  REQUIRE(short_one.next());
  CHECK_FALSE(short_one.next());
  CHECK(refuses([&] { short_one.text(0); }, "funnel::csv_reader", "column is 0"));
}

TEST_CASE("csv_reader: at its end when moved from") {
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "a,b\n1,2\n3,4\n" + std::string(2000, '\n')),
                 {.block_size = 4});
  REQUIRE(csv.next());
  csv_reader taken = std::move(csv);
  CHECK(taken.text(1) == "2");
  CHECK_FALSE(csv.next());  // NOLINT(bugprone-use-after-move): what this is about
  CHECK(refuses([&] { csv.text(0); }, "funnel::csv_reader", "column is 0"));
  REQUIRE(taken.next());
  CHECK(taken.text(1) == "4");
  CHECK_FALSE(taken.next());
}

TEST_CASE("csv_reader reads numbers and names the place of what is none") {
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "n,x\n-7,2.5e3\n300,inf\n,\n1.0,nan\n 1,abc\n1,+1\n0x1,1e999"
                                       "\n99999999999999999999,2\n"));
  const auto number = [&](auto type, std::size_t column, auto... range) {
    return [&csv, column, range...] { return csv.number<decltype(type)>(column, range...); };
  };
  const auto complaint = [&](auto&& read) {
    return format_error_of(read).substr(csv.file().size() + 1);
  };
  REQUIRE(csv.next());
  CHECK(csv.number<int>(0) == -7);
  CHECK(csv.number<double>(0) == -7);
  CHECK(csv.number<double>(1) == 2500);
  CHECK(csv.number<float>(1) == 2500);
  CHECK(complaint(number(0, 0, 0)) == "2:1: n: the number -7 is outside [0, 2147483647]");
  CHECK(complaint(number(std::uint32_t{0}, 0)) ==
        "2:1: n: the number -7 is outside [0, 4294967295]");
  CHECK(complaint(number(0, 1)) == "2:4: x: expected a whole number, got \"2.5e3\"");
  CHECK(complaint(number(0.0, 1, 0.0, 10.0)) == "2:4: x: the number 2.5e3 is outside [0, 10]");
  CHECK(complaint([&] { csv.flag(0); }) == "2:1: n: expected 0 or 1, got \"-7\"");
  REQUIRE(csv.next());
  CHECK(complaint(number(std::uint8_t{0}, 0)) == "3:1: n: the number 300 is outside [0, 255]");
  CHECK(complaint(number(0.0, 1)) == "3:5: x: expected a number, got \"inf\"");
  REQUIRE(csv.next());
  CHECK_FALSE(csv.optional_number<int>(0).has_value());
  CHECK(complaint(number(0, 0)) == "4:1: n: expected a whole number, got \"\"");
  REQUIRE(csv.next());
  CHECK(csv.optional_number<double>(0) == 1);
  CHECK(complaint(number(0, 0)) == "5:1: n: expected a whole number, got \"1.0\"");
  CHECK(complaint(number(0.0, 1)) == "5:5: x: expected a number, got \"nan\"");
  REQUIRE(csv.next());
  CHECK(complaint(number(0, 0)) == "6:1: n: expected a whole number, got \" 1\"");
  CHECK(complaint(number(0.0, 1)) == "6:4: x: expected a number, got \"abc\"");
  REQUIRE(csv.next());
  CHECK(csv.flag(0));
  CHECK(complaint(number(0, 1)) == "7:3: x: expected a whole number, got \"+1\"");
  REQUIRE(csv.next());
  CHECK(complaint(number(0, 0)) == "8:1: n: expected a whole number, got \"0x1\"");
  CHECK(complaint(number(0.0, 1)).starts_with("8:5: x: the number 1e999 is outside ["));
  REQUIRE(csv.next());
  CHECK(complaint(number(std::int64_t{0}, 0)).starts_with("9:1: n: the number 9999999"));
}

TEST_CASE("csv_reader rounds a number that is too small, and refuses one that is too large") {
  const temporary_folder folder;
  csv_reader csv(folder.write("t.csv", "x\n1e-46\n-1e-400\n1e-40\n1e39\n-1e309\n.5\n5.\n-0\n"));
  const auto value = [&]<class T>(T) {
    REQUIRE(csv.next());
    return csv.number<T>(0);
  };
  CHECK(value(0.0f) == 0);
  CHECK(std::signbit(value(0.0)));
  CHECK(value(0.0f) == 1e-40f);
  CHECK(format_error_of([&] { value(0.0f); }) ==
        csv.file() + ":5:1: x: the number 1e39 is outside [-3.40282347e+38, 3.40282347e+38]");
  CHECK(csv.number<double>(0) == 1e39);
  // Not even where the range would hold infinity, and never in a range of NaN.
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(format_error_of([&] { csv.number<float>(0, 0, infinity); }) ==
        csv.file() + ":5:1: x: the number 1e39 is outside [0, inf]");
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(format_error_of([&] { csv.number<double>(0, nan, nan); }).empty());
  CHECK(format_error_of([&] { value(0.0); }).find("the number -1e309 is outside [") !=
        std::string::npos);
  CHECK(value(0.0) == .5);
  CHECK(value(0.0f) == 5);
  CHECK(std::signbit(value(0.0f)));
  CHECK(csv.number<int>(0) == 0);
}

TEST_CASE("csv_reader takes nothing but a number") {
  for (const char* text : {"inf", "-inf", "infinity", "nan", "NaN", "0x1p3", "+1", "1e", "1e+", ".",
                           "-", " 1", "1 ", "1 2", "1_000", "1d0"}) {
    const temporary_folder folder;
    csv_reader csv(folder.write("t.csv", "x\n" + std::string(text) + "\n"));
    REQUIRE(csv.next());
    CHECK(format_error_of([&] { csv.number<double>(0); }) ==
          csv.file() + ":2:1: x: expected a number, got \"" + text + "\"");
    CHECK(format_error_of([&] { csv.number<int>(0); }) ==
          csv.file() + ":2:1: x: expected a whole number, got \"" + text + "\"");
  }
}
