// SPDX-License-Identifier: MIT
#include <funnel/evaluation/report.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>

#include <bit>
#include <clocale>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Reads JSON objects of numbers and null by the grammar of RFC 8259, and nothing else: the numbers
/// by name, with a '\n' between the keys of nested objects, which a JSON string has only escaped.
class json_reader {
 public:
  static std::map<std::string, double> read(const std::string& text) {
    json_reader reader(text);
    reader.object("");
    reader.space();
    if (reader.at_ != text.size()) reader.refuse();
    return reader.numbers_;
  }

 private:
  explicit json_reader(const std::string& text) : text_(text) {}

  [[noreturn]] void refuse() const {
    throw std::runtime_error("no JSON at byte " + std::to_string(at_) + " of " + text_);
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void expect(char c) {
    if (peek() != c) refuse();
    ++at_;
  }
  void space() {
    while (at_ < text_.size() && std::string(" \t\r\n").find(peek()) != std::string::npos) ++at_;
  }
  std::string string() {
    expect('"');
    std::string value;
    while (peek() != '"') {
      if (static_cast<unsigned char>(peek()) < 0x20) refuse();
      if (peek() == '\\') {
        ++at_;
        if (peek() == 'u') {
          const std::string hex = text_.substr(at_ + 1, 4);
          if (hex.size() < 4 || hex.find_first_not_of("0123456789abcdefABCDEF") != hex.npos)
            refuse();
          value += static_cast<char>(std::stoi(hex, nullptr, 16));  // below 0x20 here
          at_ += 5;
          continue;
        }
        if (peek() != '"' && peek() != '\\') refuse();
      }
      value += text_[at_++];
    }
    ++at_;
    return value;
  }
  std::size_t digits() {
    const std::size_t from = at_;
    while (peek() >= '0' && peek() <= '9') ++at_;
    if (at_ == from) refuse();
    return at_ - from;
  }
  double number() {
    if (text_.compare(at_, 4, "null") == 0) return at_ += 4, no_number;
    const std::size_t from = at_;
    if (peek() == '-') ++at_;
    const char first = peek();
    if (digits() > 1 && first == '0') refuse();
    if (peek() == '.') ++at_, digits();
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    return std::strtod(text_.substr(from, at_ - from).c_str(), nullptr);
  }
  void object(const std::string& path) {
    space();
    expect('{');
    space();
    if (peek() == '}') return void(++at_);
    std::map<std::string, bool> keys;
    for (;;) {
      space();
      const std::string key = string();
      if (!keys.emplace(key, true).second) throw std::runtime_error("twice: " + key);
      space();
      expect(':');
      space();
      const std::string name = path.empty() ? key : path + '\n' + key;
      if (peek() == '{')
        object(name);
      else
        numbers_[name] = number();
      space();
      if (peek() == '}') return void(++at_);
      expect(',');
    }
  }

  const std::string& text_;
  std::size_t at_ = 0;
  std::map<std::string, double> numbers_;
};

std::string with_newlines(std::string name) {
  for (char& c : name)
    if (c == '.') c = '\n';
  return name;
}

}  // namespace

TEST_CASE("report: numbers by name, in the order in which they were set") {
  funnel::report numbers;
  numbers.set("rank.click.auc", .75);
  numbers.set("rows", 3);
  numbers.set("rank.click.auc", .5);  // keeps its place
  CHECK(numbers["rank.click.auc"] == .5);
  CHECK(numbers["rows"] == 3);
  REQUIRE(numbers.entries().size() == 2);
  CHECK(numbers.entries()[0].name == "rank.click.auc");
  CHECK(numbers.entries()[1].value == 3);
  CHECK(numbers.contains("rows"));
  CHECK(!numbers.contains("rank.click"));
  CHECK(!numbers.contains("rank.click.au"));
  CHECK(refuses([&] { numbers["rank.clik.auc"]; }, "funnel::report: name is rank.clik.auc",
                "expected one of the 2 that were set"));
}

TEST_CASE("report: JSON, worked by hand") {
  CHECK(funnel::report().json() == "{}\n");
  funnel::report numbers;
  numbers.set("rank.click.auc", .1);
  numbers.set("rows", 1e22);
  numbers.set("rank.like.auc", no_number);
  numbers.set("rank.click.pcoc", -infinity);
  CHECK(numbers.json() == R"({
  "rank": {
    "click": {
      "auc": 0.1,
      "pcoc": null
    },
    "like": {
      "auc": null
    }
  },
  "rows": 1e+22
}
)");
}

TEST_CASE("report: JSON of any names and numbers reads back equal, each name once") {
  funnel::random_generator bits(3);
  const std::vector<std::string> parts{"a", "b",          "click", "\"", "\\",   "\t\x01\x1f",
                                       "é", "\U0001F600", " x",    "A",  "\x7f", "/"};
  for (int round = 0; round < 200; ++round) {
    funnel::report numbers;
    std::map<std::string, double> expected;
    for (int i = 0; i < 40; ++i) {
      std::string name;
      for (std::size_t depth = 1 + funnel::uniform_below(bits, 4); depth > 0; --depth)
        name += parts[funnel::uniform_below(bits, parts.size())] + (depth > 1 ? "." : "");
      const double value = std::bit_cast<double>(bits());
      try {
        numbers.set(name, value);
        expected[with_newlines(name)] = std::isfinite(value) ? value : no_number;
      } catch (const std::invalid_argument&) {  // both a number and a group
      }
    }
    const auto read = json_reader::read(numbers.json());
    CHECK(read.size() == expected.size());
    for (const auto& [name, value] : expected) {
      REQUIRE(read.count(name) == 1);
      CHECK((read.at(name) == value || (std::isnan(value) && std::isnan(read.at(name)))));
    }
  }
}

TEST_CASE("report: a decimal comma in the locale changes nothing") {
  funnel::report numbers;
  numbers.set("a", .25);
  const std::string json = numbers.json(), text = numbers.text();
  for (const char* locale : {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE"})
    if (std::setlocale(LC_ALL, locale) != nullptr) break;
  CHECK(numbers.json() == json);
  CHECK(numbers.text() == text);
  std::setlocale(LC_ALL, "C");
}

TEST_CASE("report: a table per set of metrics, a line per group") {
  CHECK(funnel::report().text().empty());
  funnel::report numbers;
  numbers.set("rank.click.auc", .75);
  numbers.set("rank.click.rows", 120);
  numbers.set("rank.watch.mae", 12.5);
  numbers.set("rank.like.rows", 7);
  numbers.set("rank.like.auc", no_number);
  numbers.set("videos", 3e6);
  numbers.set("rank.watch.gain", 1.25e-5);
  numbers.set("größe.auc", -1.00004);
  numbers.set("größe.rows", 12);
  CHECK(numbers.text() == R"(                auc  rows
rank.click   0.7500   120
rank.like         -     7
größe       -1.0000    12

                mae      gain
rank.watch  12.5000  1.25e-05

   videos
  3000000
)");
}

TEST_CASE("report: merge puts a prefix before every name") {
  funnel::report part, numbers;
  part.set("auc", .75);
  part.set("at.rows", 2);
  numbers.set("users", 9);
  numbers.merge("rank.click", part);
  numbers.merge("", part);
  CHECK(numbers["rank.click.auc"] == .75);
  CHECK(numbers["rank.click.at.rows"] == 2);
  CHECK(numbers["auc"] == .75);
  CHECK(numbers.entries().size() == 5);
  numbers.merge("copy", numbers);
  CHECK(numbers.entries().size() == 10);
  CHECK(numbers["copy.rank.click.auc"] == .75);
  part.set("users.new", 1);
  CHECK(refuses([&] { numbers.merge("", part); }, "funnel::report::set: name is users.new",
                "users, which is a number"));
  CHECK(numbers.entries().size() == 10);
}

TEST_CASE("report: refuses names that JSON could not hold") {
  funnel::report numbers;
  numbers.set("rank.click.auc", 1);
  const auto refused = [&](std::string_view name, std::string_view words) {
    const bool thrown = refuses([&] { numbers.set(name, 2); }, "funnel::report::set: name", words);
    return thrown && numbers.entries().size() == 1 && numbers["rank.click.auc"] == 1;
  };
  CHECK(refused("", "parts that are not empty"));
  CHECK(refused(".a", "parts that are not empty"));
  CHECK(refused("a.", "parts that are not empty"));
  CHECK(refused("a..b", "parts that are not empty"));
  CHECK(refused("rank.click", "not the group of rank.click.auc"));
  CHECK(refused("rank", "not the group of rank.click.auc"));
  CHECK(refused("rank.click.auc.low", "rank.click.auc, which is a number"));
  std::string deep = "a";
  for (int i = 0; i < 63; ++i) deep += ".a";
  funnel::report().set(deep, 1);
  CHECK(refused(deep + ".a", "has 64 dots, expected at most 63"));
  numbers.set("rank.clicks", 1);  // begins with the same letters
  numbers.set("rank.click.auc2", 1);
  CHECK(numbers.entries().size() == 3);
}

TEST_CASE("report: names are UTF-8") {
  funnel::report numbers;
  for (const char* name : {"a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    numbers.set(name, 1);
  for (const char* name : {"\x80", "\xbf", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf", "\xe1\x80",
                           "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf1\x80\x80", "\xf4\x90\x80\x80",
                           "\xf5\x80\x80\x80", "\xff", "a\xc2"})
    CHECK(refuses([&] { numbers.set(name, 1); }, "funnel::report::set", "expected UTF-8"));
}
