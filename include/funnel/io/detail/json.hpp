// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/json_text.hpp>
#include <funnel/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace funnel::detail {

/// Reads JSON text of a known structure, strictly. It reads what a safetensors header needs:
/// objects, arrays, strings and whole numbers. It does not recurse, whatever the text holds.
///
/// Errors      format_error "<file>: byte <position in the file>: ..." for anything else.
/// Source      RFC 8259.
class json_reader {
 public:
  /// `text` begins at byte `offset` of the file.
  json_reader(std::string_view text, std::string_view file, std::size_t offset)
      : text_(text), file_(file), offset_(offset) {}

  /// Position in the file of the next byte.
  std::size_t position() const { return offset_ + at_; }

  /// Calls `member(key, position)` for every member of an object; `member` reads its value.
  void object(auto&& member) {
    list('{', '}', [&] {
      space();
      const std::size_t place = position();
      const std::string key = string();
      space();
      expect(':');
      member(key, place);
    });
  }
  /// Calls `element()` for every element of an array; `element` reads it.
  void array(auto&& element) { list('[', ']', element); }

  std::string string() {
    space();
    const std::size_t begin = at_;
    expect('"', "a string");
    std::string value;
    for (;;) {
      if (at_ == text_.size()) refuse(begin, "the string is not closed");
      const auto byte = static_cast<unsigned char>(text_[at_]);
      if (byte == '"') break;
      if (byte < 0x20) refuse(at_, "a control character in a string");
      if (byte == '\\') {
        escape(value);
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0) refuse(at_, "a string that is not UTF-8");
      value += text_.substr(at_, length);
      at_ += length;
    }
    ++at_;
    return value;
  }

  std::uint64_t whole_number() {
    space();
    const std::size_t begin = at_;
    const auto is_digit = [&] {
      return at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9';
    };
    std::uint64_t value = 0;
    for (; is_digit(); ++at_) {
      const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
      if (value > (UINT64_MAX - digit) / 10) refuse(begin, "a number of 2^64 or more");
      value = value * 10 + digit;
    }
    const bool leading_zero = at_ > begin + 1 && text_[begin] == '0';
    if (at_ == begin || leading_zero ||
        (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E')))
      refuse(begin, "expected a whole number of 0 or more");
    return value;
  }

  /// Only spaces may follow.
  void end() {
    space();
    if (at_ < text_.size()) refuse(at_, "expected the end of the header, got ", shown());
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(std::size_t at, const Parts&... parts) const {
    throw format_error(join_text(file_, ": byte ", offset_ + at, ": ", parts...));
  }

  std::string shown() const {
    if (at_ == text_.size()) return "the end of the header";
    const auto byte = static_cast<unsigned char>(text_[at_]);
    if (byte < 0x20 || byte >= 0x7f) return join_text("byte ", static_cast<unsigned>(byte));
    return join_text("'", text_.substr(at_, 1), "'");
  }

  void space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }
  void expect(char c, std::string_view what = {}) {
    if (!next_is(c)) {
      if (!what.empty()) refuse(at_, "expected ", what, ", got ", shown());
      refuse(at_, "expected '", std::string_view(&c, 1), "', got ", shown());
    }
    ++at_;
  }

  void list(char open, char close, auto&& element) {
    space();
    expect(open);
    space();
    if (next_is(close)) {
      ++at_;
      return;
    }
    for (;;) {
      element();
      space();
      if (next_is(close)) break;
      if (!next_is(','))
        refuse(at_, "expected ',' or '", std::string_view(&close, 1), "', got ", shown());
      ++at_;
    }
    ++at_;
  }

  /// Reads four hexadecimal digits.
  std::uint32_t code_unit() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '"';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) refuse(at_, "expected four hexadecimal digits after \\u");
      code = code * 16 + static_cast<std::uint32_t>(digit);
    }
    return code;
  }

  void escape(std::string& value) {
    const std::size_t begin = at_++;
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    if (const std::size_t i = from.find(c); c != '\0' && i != from.npos) {
      value += to[i];
      return;
    }
    if (c != 'u') refuse(begin, "an unknown escape in a string");
    std::uint32_t code = code_unit();
    if (code >= 0xd800 && code <= 0xdfff) {  // half of a character beyond U+FFFF
      const bool paired = code <= 0xdbff && text_.substr(at_).starts_with("\\u");
      if (paired) at_ += 2;
      const std::uint32_t low = paired ? code_unit() : 0;
      if (low < 0xdc00 || low > 0xdfff) refuse(begin, "half of a surrogate pair in a string");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    const auto add = [&](std::uint32_t byte) { value += static_cast<char>(byte); };
    if (code < 0x80) {
      add(code);
    } else if (code < 0x800) {
      add(0xc0 | code >> 6);
    } else if (code < 0x10000) {
      add(0xe0 | code >> 12);
      add(0x80 | (code >> 6 & 0x3f));
    } else {
      add(0xf0 | code >> 18);
      add(0x80 | (code >> 12 & 0x3f));
      add(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80) add(0x80 | (code & 0x3f));
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t offset_;
  std::size_t at_ = 0;
};

}  // namespace funnel::detail
