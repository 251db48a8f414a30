// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/detail/file_format.hpp>
#include <funnel/data/detail/parse_number.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `csv_reader`.
struct csv_options {
  /// Number of bytes to read from the file at a time, 1 to 16 MiB.
  std::size_t block_size = std::size_t{1} << 18;
  /// What separates the fields, such as '\t' or ';'; not a quote, a line end or NUL.
  char separator = ',';
  /// Names of the columns of a file without a line of names; its first record is data then.
  std::vector<std::string> names = {};
};

/// Reads a CSV file (comma-separated values) record by record. The first record names the columns.
///
/// Fields may be quoted; a quoted field may contain commas, line ends and doubled quotes. Lines end
/// in LF, CRLF or CR (optional after the last line). Empty lines and a UTF-8 byte order mark are
/// skipped. Other bytes are kept, in any encoding, except NUL, which is an error. The file is read
/// in blocks: memory is that of the longest record, plus about 100 bytes per column.
///
/// Errors      format_error "<file>:<line>:<column>: ...", lines and bytes counted from 1, for: a
///             missing or empty file, another format (compressed, UTF-16, HTML, JSON, tabs or
///             semicolons instead of commas, ...), a repeated column name, too few or too many
///             fields, a quote that is not closed or is followed by text, a NUL byte, a record
///             longer than 16 MiB, and what the functions below name. After an error the reader is
///             before the faulty record. std::invalid_argument for a block size out of range, and
///             for a column that the current record does not have; there is no current record
///             before the first `next`, at the end and after an error.
/// Cost        one pass, about 0.5 GB/s.
/// Source      RFC 4180.
class csv_reader {
 public:
  static constexpr std::size_t longest_record = std::size_t{1} << 24;

  /// Opens the file and reads the column names.
  explicit csv_reader(std::string file, const csv_options& options = {})
      : name_(std::move(file)), block_(options.block_size), separator_(options.separator) {
    detail::check_that("csv_reader", "block_size", block_, block_ > 0 && block_ <= longest_record,
                       "1 to ", longest_record);
    detail::check_that("csv_reader", "separator", int{separator_},
                       separator_ != '"' && separator_ != '\0' && !is_line_end(separator_),
                       "no quote, line end or NUL");
    file_.reset(std::fopen(name_.c_str(), "rb"));
    if (!file_) throw format_error(detail::join_text(name_, ": the file can't be opened"));
    while (file_ && end_ < detail::format_bytes) fill();
    const std::string_view head(buffer_.data(), end_);
    if (const auto format = detail::foreign_format(head); !format.empty())
      fail_at(1, 1, "the file is ", format);
    if (head.starts_with("\xef\xbb\xbf")) begin_ = 3;
    if (!find_record())
      fail_at(1, 1, "the file is empty, expected ",
              options.names.empty() ? "a line of column names" : "rows");
    if (options.names.empty()) {
      const record names = scan_record();
      check_separator(names);
      go_past(names);
      for (std::size_t i = 0; i < fields_.size(); ++i) columns_.emplace_back(text(i));
    } else {
      columns_ = options.names;
    }
    sort_columns();
    present_ = 0;
  }

  const std::string& file() const { return name_; }
  /// The names of the columns.
  const std::vector<std::string>& names() const { return columns_; }
  /// The line where the current record starts, from 1.
  std::size_t line() const { return record_line_; }

  /// Returns the index of a column, or nothing if the file does not have it.
  std::optional<std::size_t> find_column(std::string_view name) const {
    const auto name_of = [&](std::size_t i) -> std::string_view { return columns_[i]; };
    const auto found = std::ranges::lower_bound(sorted_, name, {}, name_of);
    if (found == sorted_.end() || columns_[*found] != name) return std::nullopt;
    return *found;
  }

  /// Returns the index of a column; throws a format_error if the file does not have it.
  std::size_t column(std::string_view name) const {
    if (const auto found = find_column(name)) return *found;
    std::string others;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (others.size() > 200) {
        others += detail::join_text(" and ", columns_.size() - i, " more");
        break;
      }
      others += detail::join_text(i == 0 ? "" : ", ", "\"", detail::printable(columns_[i]), "\"");
    }
    fail_at(1, 1, "column \"", detail::printable(name), "\" is missing; the file has ", others);
  }

  /// Reads the next record; false at the end of the file.
  bool next() {
    present_ = 0;
    if (!find_record()) return false;
    go_past(scan_record());
    return true;
  }

  /// Returns the field's text without its quotes; valid until `next`.
  std::string_view text(std::size_t column) const {
    const field& f = at(column);
    return {buffer_.data() + f.begin, f.end - f.begin};
  }

  /// Returns the field as a finite number in [low, high]; throws a format_error if it is not one.
  ///
  /// Integers are `[-]digits`, others `[-]digits[.digits][e[+-]digits]` with a digit before or
  /// after the point. Blanks, a leading plus sign, hexadecimal numbers, infinity and NaN are
  /// errors.
  ///
  /// Numerics    the nearest T, half to even, in any locale: a number too small for T becomes
  ///             subnormal or 0 (-0 keeps its sign), one beyond the largest T is an error.
  template <class T>
  requires(std::integral<T> || std::same_as<T, float> || std::same_as<T, double>) &&
      (!std::same_as<T, bool>)T number(std::size_t column, T low = std::numeric_limits<T>::lowest(),
                                       T high = std::numeric_limits<T>::max()) const {
    const std::string_view digits = text(column);
    const auto [value, is_number, fits] = detail::parse_number<T>(digits);
    if (!is_number)
      fail(column, "expected a ", std::integral<T> ? "whole " : "", "number, got \"",
           detail::printable(digits), "\"");
    if (!fits || !(value >= low && value <= high))
      fail(column, "the number ", detail::printable(digits), " is outside [", low, ", ", high, "]");
    return value;
  }

  /// The same, but returns nothing for an empty field.
  template <class T>
  std::optional<T> optional_number(std::size_t column, T low = std::numeric_limits<T>::lowest(),
                                   T high = std::numeric_limits<T>::max()) const {
    if (text(column).empty()) return std::nullopt;
    return number<T>(column, low, high);
  }

  /// Returns the field as 0 or 1; throws a format_error if it is neither.
  bool flag(std::size_t column) const {
    const std::string_view digit = text(column);
    if (digit != "0" && digit != "1")
      fail(column, "expected 0 or 1, got \"", detail::printable(digit), "\"");
    return digit == "1";
  }

  /// Throws a format_error: file, line, column and column name, followed by the parts.
  template <class... Parts>
  [[noreturn]] void fail(std::size_t column, const Parts&... parts) const {
    const field& f = at(column);
    fail_at(f.line, f.column, detail::printable(columns_[column]), ": ", parts...);
  }

 private:
  struct field {
    std::size_t begin, end;  // in buffer_, without quotes
    std::size_t line, column;
    bool doubled_quotes;
  };
  /// A record that is split into fields_ but not yet consumed.
  struct record {
    std::size_t after;       // where the next record begins
    std::size_t fields;      // number of fields; fields_ holds at most one too many
    std::size_t line;        // of its end
    std::size_t end_column;  // of its end
  };
  struct close_file {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  template <class... Parts>
  [[noreturn]] void fail_at(std::size_t line, std::size_t column, const Parts&... parts) const {
    throw format_error(detail::join_text(name_, ":", line, ":", column, ": ", parts...));
  }

  const field& at(std::size_t column) const {
    if (column >= present_)
      detail::fail("funnel::csv_reader: column is ", column, ", expected one of the record's ",
                   present_);
    return fields_[column];
  }

  void sort_columns() {
    sorted_.resize(columns_.size());
    std::iota(sorted_.begin(), sorted_.end(), std::size_t{0});
    std::ranges::sort(sorted_, {}, [&](std::size_t i) {
      return std::pair<std::string_view, std::size_t>(columns_[i], i);
    });
    std::size_t repeated = columns_.size();  // the first column that repeats a name
    for (std::size_t i = 1; i < sorted_.size(); ++i)
      if (columns_[sorted_[i]] == columns_[sorted_[i - 1]])
        repeated = std::min(repeated, sorted_[i]);
    if (repeated == columns_.size()) return;
    if (fields_.empty())
      detail::fail("funnel::csv_reader: names has \"", columns_[repeated],
                   "\" twice, expected different names");
    const field& f = fields_[repeated];
    fail_at(f.line, f.column, "column \"", detail::printable(columns_[repeated]),
            "\" is named twice");
  }

  /// Rejects column names in which another separator is more frequent, outside quotes.
  void check_separator(const record& names) const {
    for (const char other : {',', '\t', ';', '|'}) {
      std::ptrdiff_t found = 0;
      for (const field& f : fields_)
        if (f.begin == begin_ || buffer_[f.begin - 1] != '"')
          found += std::count(buffer_.data() + f.begin, buffer_.data() + f.end, other);
      if (other != separator_ && static_cast<std::size_t>(found) >= names.fields)
        fail_separator(other);
    }
  }

  [[noreturn]] void fail_separator(char other) const {
    fail_at(line_, 1, "the columns are separated by ", detail::separator_name(other), ", expected ",
            detail::separator_name(separator_));
  }

  void check_length(std::size_t bytes) const {
    if (bytes > longest_record) fail_at(line_, 1, "the record is longer than 16 MiB");
  }

  /// Moves the unread bytes to the front of the buffer and reads the next block after them.
  void fill() {
    check_length(end_ - begin_);
    if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ = end_ - begin_;
    begin_ = 0;
    // A record longer than the buffer is scanned again: doubling keeps that linear.
    const std::size_t block = std::max<std::size_t>(block_, end_);
    if (buffer_.size() < end_ + block) buffer_.resize(end_ + block);
    const std::size_t got = std::fread(buffer_.data() + end_, 1, block, file_.get());
    end_ = end_ + got;
    if (got < block) {
      if (std::ferror(file_.get())) fail_at(line_, 1, "the file can't be read");
      file_.reset();
    }
  }

  /// Skips empty lines; false at the end of the file.
  bool find_record() {
    for (;;) {
      if (begin_ == end_ && !file_) return false;
      if (begin_ < end_ && !is_line_end(buffer_[begin_])) return true;
      if (const auto after = after_line_end(begin_)) {
        begin_ = *after;
        ++line_;
      } else {
        fill();
      }
    }
  }

  static bool is_line_end(char c) { return c == '\n' || c == '\r'; }

  /// The position after the line end at i; nothing if the buffer does not hold all of it.
  std::optional<std::size_t> after_line_end(std::size_t i) const {
    if (i < end_ && buffer_[i] == '\n') return i + 1;
    if (i + 1 < end_) return buffer_[i + 1] == '\n' ? i + 2 : i + 1;
    if (!file_) return end_;
    return std::nullopt;
  }

  /// Splits the record at begin_ into fields_; reads more of the file if needed.
  record scan_record() {
    for (;;) {
      if (const auto found = try_scan()) {
        check_length(found->after - begin_);
        return *found;
      }
      fill();
    }
  }

  /// The same, but returns nothing if the buffer holds only a part of the record.
  std::optional<record> try_scan() {
    fields_.clear();
    const char* const bytes = buffer_.data();  // locals: bytes may alias members
    const std::size_t limit = end_;
    const char separator = separator_;
    const auto highest = std::max(static_cast<unsigned char>(separator), std::uint8_t{'\r'});
    const auto ends_field = [&](char c) { return c == separator || is_line_end(c) || c == '\0'; };
    const std::size_t columns = columns_.empty() ? longest_record : columns_.size();
    std::size_t line = line_;
    std::size_t line_begin = begin_;
    std::size_t i = begin_;
    for (std::size_t fields = 1;; ++fields) {  // one field per iteration
      field f{i, i, line, i - line_begin + 1, false};
      const bool quoted = i < limit && bytes[i] == '"';
      if (quoted) {
        for (f.begin = ++i;; ++i) {
          if (i >= limit && file_) return std::nullopt;
          if (i >= limit) fail_at(f.line, f.column, "the quote is not closed");
          if (static_cast<unsigned char>(bytes[i]) > '"') continue;
          if (bytes[i] == '"') {
            // If the block ends between the two quotes of "", the code below finds the record
            // incomplete.
            if (i + 1 == limit || bytes[i + 1] != '"') break;
            f.doubled_quotes = true;
            ++i;
          } else if (is_line_end(bytes[i])) {
            if (bytes[i] == '\r' || bytes[i - 1] != '\r') ++line;
            line_begin = i + 1;
          } else if (bytes[i] == '\0') {
            fail_nul(line, i - line_begin + 1);
          }
        }
        f.end = i++;
      }
      const std::size_t unquoted = i;
      while (i < limit && (static_cast<unsigned char>(bytes[i]) > highest || !ends_field(bytes[i])))
        ++i;
      if (i == limit && file_) return std::nullopt;
      if (i < limit && bytes[i] == '\0') fail_nul(line, i - line_begin + 1);
      if (!quoted) f.end = i;
      if (quoted && i > unquoted) {
        const char other = bytes[unquoted];
        if (columns_.empty() && std::strchr(",\t;|", other)) fail_separator(other);
        fail_at(line, unquoted - line_begin + 1, "expected ",
                separator == ',' ? "a comma" : "a separator", " or the line's end after the quote");
      }
      // Not push_back(f): g++ would store f and load it back, which costs as much as the rest.
      if (fields <= columns + 1) fields_.emplace_back() = f;
      if (i == limit || bytes[i] != separator) {
        const auto after = after_line_end(i);
        if (!after) return std::nullopt;
        return record{*after, fields, line, i - line_begin + 1};
      }
      ++i;
    }
  }

  [[noreturn]] void fail_nul(std::size_t line, std::size_t column) const {
    fail_at(line, column, "a NUL byte: the file is damaged, binary or UTF-16, expected text");
  }

  /// Makes the scanned record the current one; throws if it does not fit the column names.
  void go_past(const record& r) {
    if (!columns_.empty() && r.fields < columns_.size())
      fail_at(r.line, r.end_column, "the row ends after ", r.fields, " of ", columns_.size(),
              " fields, before \"", detail::printable(columns_[r.fields]), "\"");
    if (!columns_.empty() && r.fields > columns_.size()) {
      const field extra = fields_[columns_.size()];
      fail_at(extra.line, extra.column, "the row has ", r.fields, " fields, expected ",
              columns_.size());
    }
    for (field& f : fields_)
      if (f.doubled_quotes) halve_quotes(f);
    present_ = fields_.size();
    begin_ = r.after;
    record_line_ = line_;
    line_ = r.line + 1;
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
  std::size_t block_;
  char separator_;
  std::unique_ptr<std::FILE, close_file> file_;  // null after the last block
  std::string buffer_;
  detail::owned_size begin_;  // unread bytes are [begin_, end_)
  detail::owned_size end_;
  std::size_t line_ = 1;  // of the byte at begin_
  std::size_t record_line_ = 1;
  std::vector<field> fields_;   // of the record scanned last
  detail::owned_size present_;  // number of fields of the current record
  std::vector<std::string> columns_;
  std::vector<std::size_t> sorted_;  // indices of columns_, sorted by name
};

}  // namespace funnel
