// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace funnel::detail {

/// Reads the Python literal that the header of a NumPy file is, strictly: a dictionary of strings,
/// booleans and tuples of whole numbers, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
///
/// Errors      format_error "<file>: byte <position in the file>: ..." for anything else.
class python_literal {
 public:
  /// `text` begins at byte `offset` of the file.
  python_literal(std::string_view text, std::string_view file, std::size_t offset)
      : text_(text), file_(file), offset_(offset) {}

  /// Calls `member(key, position)` for every member; `member` reads its value.
  void dictionary(auto&& member) {
    expect('{');
    while (!skip('}')) {
      space();
      const std::size_t position = offset_ + at_;
      const std::string key = string("expected a string");
      expect(':');
      member(key, position);
      if (skip('}')) break;
      expect(',');
    }
  }
  /// Calls `element()` for every element; `element` reads it.
  void tuple(auto&& element) {
    expect('(');
    bool comma = true;
    std::size_t count = 0;
    while (!skip(')')) {
      if (!comma) expect(',');
      element();
      comma = skip(',');
      ++count;
    }
    if (count == 1 && !comma) refuse("expected a tuple: a single number needs a comma");
  }
  /// A string without escapes; `otherwise` is the error if there is none.
  std::string string(std::string_view otherwise) {
    space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') refuse(otherwise);
    const std::size_t end = text_.find(quote, at_ + 1);
    const std::string_view inside = text_.substr(at_ + 1, end == text_.npos ? end : end - at_ - 1);
    if (end == text_.npos || inside.find_first_of("\\\n") != inside.npos)
      refuse("the string is not closed, or has an escape");
    at_ = end + 1;
    return std::string(inside);
  }
  bool boolean() {
    space();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    refuse("expected True or False");
  }
  std::size_t whole_number() {
    space();
    const std::size_t begin = at_;
    std::size_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<std::size_t>(text_[at_] - '0');
      if (value > (SIZE_MAX - digit) / 10) refuse("a number that is more than memory can have");
      value = value * 10 + digit;
    }
    if (at_ == begin || (at_ > begin + 1 && text_[begin] == '0'))
      refuse("expected a whole number of 0 or more");
    return value;
  }
  /// Only spaces may follow.
  void end() {
    space();
    if (at_ < text_.size()) refuse("expected the end of the header");
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw format_error(join_text(file_, ": byte ", offset_ + at_, ": ", what));
  }
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool skip(char c) {
    space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!skip(c)) refuse(join_text("expected '", std::string_view(&c, 1), "'"));
  }

  std::string_view text_;
  std::string_view file_;
  std::size_t offset_;
  std::size_t at_ = 0;
};

}  // namespace funnel::detail
