// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/data/detail/decimal.hpp>

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {

/// Reads a file of comma-separated values record by record, the first of which names the columns.
///
/// Fields may be quoted; a quoted field may hold commas, line ends and doubled quotes. Lines end in
/// LF or CRLF, the last one need not; empty lines are skipped, and so is a byte order mark. The
/// file is read in blocks: memory is that of the longest record.
///
/// Errors      format_error, "<file>:<line>:<column>: ...", with lines and bytes of a line counted
///             from 1: no file, an empty file, a repeated column name, a record with too few or too
///             many fields, a quote that is not closed or is followed by text, a record longer than
///             16 MiB, and what the functions below name.
/// Cost        one pass, about 0.2 GB/s.
/// Source      RFC 4180.
class csv_reader {
 public:
  static constexpr std::size_t longest_record = std::size_t{1} << 24;

  /// Opens the file and reads the names.
  explicit csv_reader(std::string file) : name_(std::move(file)) {
    file_.reset(std::fopen(name_.c_str(), "rb"));
    if (!file_) throw format_error(detail::join_text(name_, ": the file can't be opened"));
    fill();
    if (end_ >= 3 && std::memcmp(buffer_.data(), "\xef\xbb\xbf", 3) == 0) begin_ = 3;
    if (!scan_record())
      throw format_error(
          detail::join_text(name_, ":1:1: the file is empty, expected a line of column names"));
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (find_column(text(i))) fail(i, "column \"", text(i), "\" is named twice");
      columns_.emplace_back(text(i));
    }
  }

  const std::string& file() const { return name_; }
  /// The line where the present record starts, from 1.
  std::size_t line() const { return record_line_; }

  /// The position of a column, if the file has it.
  std::optional<std::size_t> find_column(std::string_view name) const {
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (columns_[i] == name) return i;
    return std::nullopt;
  }

  /// The position of a column; without it a format_error that names it.
  std::size_t column(std::string_view name) const {
    if (const auto found = find_column(name)) return *found;
    throw format_error(detail::join_text(name_, ":1:1: column \"", name, "\" is missing"));
  }

  /// Moves on to the next record; false at the end of the file.
  bool next() {
    if (!scan_record()) return false;
    if (fields_.size() < columns_.size())
      fail_at(line_ - 1, record_end_column_, "the row ends after ", fields_.size(), " of ",
              columns_.size(), " fields, before \"", columns_[fields_.size()], "\"");
    if (fields_.size() > columns_.size())
      fail_at(fields_[columns_.size()].line, fields_[columns_.size()].column, "the row has ",
              fields_.size(), " fields, expected ", columns_.size());
    return true;
  }

  /// The field's text without its quotes; valid until `next`.
  std::string_view text(std::size_t column) const {
    FUNNEL_ASSERT(column < fields_.size());
    const field& f = fields_[column];
    return {buffer_.data() + f.begin, f.end - f.begin};
  }

  /// The field as a finite number in [low, high]; format_error if it is not one.
  ///
  /// Whole numbers are `[-]digits`, others `[-]digits[.digits][e[+-]digits]` with a digit on either
  /// side of the point. Blanks, a plus sign in front, hexadecimals, infinity and NaN are errors.
  ///
  /// Numerics    the nearest T, half to even, in any locale: a number too small for T is subnormal or
  ///             0 (-0 with its sign), one past its largest is an error.
  template <class T>
  requires(std::integral<T> || std::same_as<T, float> || std::same_as<T, double>) &&
      (!std::same_as<T, bool>)T number(std::size_t column, T low = std::numeric_limits<T>::lowest(),
                                       T high = std::numeric_limits<T>::max()) const {
    const std::string_view digits = text(column);
    T value{};
    bool is_number, fits = true;
    if constexpr (std::integral<T>) {
      const char* const end = digits.data() + digits.size();
      const auto [rest, error] = std::from_chars(digits.data(), end, value);
      is_number = error != std::errc::invalid_argument && rest == end;
      fits = error == std::errc();
    } else {  // not by std::from_chars: libc++ has it from 20 on, and it fails where 0 is nearest
      detail::decimal decimal;
      is_number = detail::parse_decimal(digits, decimal);
      if (is_number) value = detail::nearest<T>(decimal);
    }
    if (!is_number)
      fail(column, "expected a ", std::integral<T> ? "whole " : "", "number, got \"", digits, "\"");
    if (!fits || value < low || value > high)
      fail(column, "the number ", digits, " is outside [", low, ", ", high, "]");
    return value;
  }

  /// The same, and nothing for an empty field.
  template <class T>
  std::optional<T> optional_number(std::size_t column, T low = std::numeric_limits<T>::lowest(),
                                   T high = std::numeric_limits<T>::max()) const {
    if (text(column).empty()) return std::nullopt;
    return number<T>(column, low, high);
  }

  /// The field as 0 or 1; format_error if it is neither.
  bool flag(std::size_t column) const {
    const std::string_view digit = text(column);
    if (digit != "0" && digit != "1") fail(column, "expected 0 or 1, got \"", digit, "\"");
    return digit == "1";
  }

  /// Throws a format_error that names the field's place and column before the parts.
  template <class... Parts>
  [[noreturn]] void fail(std::size_t column, const Parts&... parts) const {
    const field& f = fields_[column];
    if (column < columns_.size()) fail_at(f.line, f.column, columns_[column], ": ", parts...);
    fail_at(f.line, f.column, parts...);
  }

 private:
  struct field {
    std::size_t begin, end;  // in buffer_, quotes left out
    std::size_t line, column;
    bool doubled_quotes;
  };
  struct close_file {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  template <class... Parts>
  [[noreturn]] void fail_at(std::size_t line, std::size_t column, const Parts&... parts) const {
    throw format_error(detail::join_text(name_, ":", line, ":", column, ": ", parts...));
  }

  void check_length(std::size_t bytes) const {
    if (bytes > longest_record) fail_at(record_line_, 1, "the record is longer than 16 MiB");
  }

  /// Moves what is unread to the front of the buffer and reads the next block behind it.
  void fill() {
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    check_length(end_);
    // A record longer than the buffer is scanned again: doubling keeps that linear.
    const std::size_t block = std::max(std::size_t{1} << 18, end_);
    if (buffer_.size() < end_ + block) buffer_.resize(end_ + block);
    const std::size_t got = std::fread(buffer_.data() + end_, 1, block, file_.get());
    if (got < block) {
      if (std::ferror(file_.get())) fail_at(line_, 1, "the file can't be read");
      last_block_ = true;
    }
    end_ += got;
  }

  /// Splits the next record into fields_; false at the end of the file.
  bool scan_record() {
    for (;;) {
      for (; begin_ < end_; ++line_) {  // empty lines
        if (buffer_[begin_] == '\n')
          ++begin_;
        else if (buffer_[begin_] == '\r' && begin_ + 1 < end_ && buffer_[begin_ + 1] == '\n')
          begin_ += 2;
        else
          break;
      }
      if (last_block_ && begin_ == end_) return false;
      if (const auto after = try_scan()) {
        check_length(*after - begin_);
        begin_ = *after;
        for (field& f : fields_)
          if (f.doubled_quotes) halve_quotes(f);
        return true;
      }
      fill();
    }
  }

  /// Splits the record at begin_ and returns where the next one starts, or nothing if the buffer
  /// holds only a part of it.
  std::optional<std::size_t> try_scan() {
    fields_.clear();
    const char* const bytes = buffer_.data();  // locals: bytes may alias members
    const std::size_t limit = end_;
    record_line_ = line_;
    std::size_t line = line_;
    std::size_t line_begin = begin_;
    std::size_t i = begin_;
    for (;;) {  // a field a turn
      field f{i, i, line, i - line_begin + 1, false};
      const bool quoted = i < limit && bytes[i] == '"';
      if (quoted) {
        for (f.begin = ++i;; ++i) {
          if (i >= limit && last_block_) fail_at(f.line, f.column, "the quote is not closed");
          if (i + 1 >= limit && !last_block_) return std::nullopt;  // "" may be cut in two
          if (bytes[i] == '\n') {
            ++line;
            line_begin = i + 1;
          } else if (bytes[i] == '"') {
            if (i + 1 == limit || bytes[i + 1] != '"') break;
            f.doubled_quotes = true;
            ++i;
          }
        }
        f.end = i++;
      }
      const std::size_t unquoted = i;
      while (i < limit && bytes[i] != ',' && bytes[i] != '\n') ++i;
      if (i == limit && !last_block_) return std::nullopt;
      const bool last = i == limit || bytes[i] == '\n';
      std::size_t end = i;
      if (last && end > unquoted && bytes[end - 1] == '\r') --end;
      if (!quoted) f.end = end;
      if (quoted && end > unquoted)
        fail_at(line, unquoted - line_begin + 1,
                "expected a comma or the line's end after the quote");
      fields_.push_back(f);
      ++i;
      if (last) {
        record_end_column_ = end - line_begin + 1;
        line_ = line + 1;
        return std::min(i, limit);
      }
    }
  }

  void halve_quotes(field& f) {
    std::size_t to = f.begin;
    for (std::size_t from = f.begin; from < f.end; ++from) {
      buffer_[to++] = buffer_[from];
      if (buffer_[from] == '"') ++from;
    }
    f.end = to;
  }

  std::string name_;
  std::unique_ptr<std::FILE, close_file> file_;
  std::string buffer_;
  std::size_t begin_ = 0;  // unread bytes are [begin_, end_)
  std::size_t end_ = 0;
  bool last_block_ = false;
  std::size_t line_ = 1;  // of the byte at begin_
  std::size_t record_line_ = 1;
  std::size_t record_end_column_ = 1;
  std::vector<field> fields_;
  std::vector<std::string> columns_;
};

}  // namespace funnel
