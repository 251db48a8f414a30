// SPDX-License-Identifier: MIT
#include <funnel/io/detail/json.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using funnel::detail::json_reader;

namespace {

using members = std::vector<std::pair<std::string, std::string>>;

members texts_of(std::string_view json) {
  members found;
  json_reader reader(json, "f", 100);
  reader.object(
      [&](const std::string& key, std::size_t) { found.emplace_back(key, reader.string()); });
  reader.end();
  return found;
}
std::string string_of(std::string_view json) {
  json_reader reader(json, "f", 0);
  std::string text = reader.string();
  reader.end();
  return text;
}
std::uint64_t number_of(std::string_view json) {
  json_reader reader(json, "f", 0);
  const std::uint64_t number = reader.whole_number();
  reader.end();
  return number;
}
std::string error_of(std::string_view json) {
  return format_error_of([&] { texts_of(json); });
}

}  // namespace

TEST_CASE("json: objects and arrays, with spaces anywhere") {
  CHECK(texts_of("{}").empty());
  CHECK(texts_of(" { \"a\" : \"b\" , \"\":\"\\n\"\t}\r\n ") == members{{"a", "b"}, {"", "\n"}});
  json_reader reader("[1, 20 ,3] ", "f", 0);
  std::vector<std::uint64_t> numbers;
  reader.array([&] { numbers.push_back(reader.whole_number()); });
  reader.end();
  CHECK(numbers == std::vector<std::uint64_t>{1, 20, 3});
}

TEST_CASE("json: strings") {
  CHECK(string_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(string_of(R"("\u0041\u00e9\u20AC\ud83d\ude00")") ==
        "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(string_of(R"("\u0000")") == std::string(1, '\0'));
  const std::string utf8 = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f";
  CHECK(string_of("\"" + utf8 + "\"") == utf8);
  for (const std::string_view bad : {"",
                                     "a",
                                     "\"",
                                     "\"a",
                                     "\"\\",
                                     "\"\\\"",
                                     "\"\\x\"",
                                     "\"\\u12\"",
                                     "\"\\u12g4\"",
                                     "\"\\ud800\"",
                                     "\"\\ud800\\u0041\"",
                                     "\"\\udc00\"",
                                     "\"\\ud800\\",
                                     "\"\n\"",
                                     "\"\x1f\"",
                                     "\"\x80\"",
                                     "\"\xc1\x81\"",
                                     "\"\xe0\x80\x80\"",
                                     "\"\xed\xa0\x80\"",
                                     "\"\xf0\x80\x80\x80\"",
                                     "\"\xf4\x90\x80\x80\"",
                                     "\"\xf5\x80\x80\x80\"",
                                     "\"\xc3\"",
                                     "'a'",
                                     "\"a\"b"}) {
    INFO(bad);
    CHECK(!format_error_of([&] { string_of(bad); }).empty());
  }
}

TEST_CASE("json: a text that is written is read again") {
  const std::string text = std::string("\0\x1f\"\\/ab\x7f\xc3\xa9", 11);
  std::string json;
  funnel::detail::append_json_string(json, text);
  CHECK(string_of(json) == text);
}

TEST_CASE("json: whole numbers") {
  CHECK(number_of("0") == 0);
  CHECK(number_of(" 18446744073709551615 ") == UINT64_MAX);
  for (const std::string_view bad :
       {"", "-1", "+1", "01", "00", "1.0", "1e3", "1E3", ".5", "0x1", "18446744073709551616",
        "99999999999999999999", "\"1\"", "1 2"})
    CHECK(!format_error_of([&] { number_of(bad); }).empty());
}

TEST_CASE("json: errors say where") {
  CHECK(error_of("") == "f: byte 100: expected '{', got the end of the header");
  CHECK(error_of("{\"a\":1}") == "f: byte 105: expected a string, got '1'");
  CHECK(error_of("{\"a\" \"b\"}") == "f: byte 105: expected ':', got '\"'");
  CHECK(error_of("{\"a\":\"b\" \"c\"}") == "f: byte 109: expected ',' or '}', got '\"'");
  CHECK(error_of("{\"a\":\"b\",}") == "f: byte 109: expected a string, got '}'");
  CHECK(error_of("{\"a\":\"b\"}x") == "f: byte 109: expected the end of the header, got 'x'");
  CHECK(error_of("{\"a\":\"b\xff\"}") == "f: byte 107: a string that is not UTF-8");
  CHECK(error_of("{\x01") == "f: byte 101: expected a string, got byte 1");
}
