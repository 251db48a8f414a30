// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/csv.hpp>
#include <funnel/data/detail/parse_number.hpp>
#include <funnel/data/detail/parse_time.hpp>
#include <funnel/features/column_table.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Types of columns of a CSV file.
enum class csv_type {
  integer,  ///< whole numbers in 64 bits with sign
  number,   ///< numbers with or without a fraction; "nan" is missing
  text,
  /// Dates and times, as in 2022-04-25 or 2022-04-25 18:30:00, which become integers.
  time,
};

/// Options of `read_csv`.
struct csv_columns_options {
  /// Names of the columns of a file without a line of names.
  std::vector<std::string> names = {};
  /// What separates the fields, such as '\t' or ';'.
  char separator = ',';
  /// Columns to read; empty: all.
  std::vector<std::string> columns = {};
  /// Types of columns that are not to be inferred, such as {"postcode", csv_type::text}.
  std::vector<std::pair<std::string, csv_type>> types = {};
  /// Columns of lists and the separator of their values, such as {"genres", '|'}.
  std::vector<std::pair<std::string, char>> lists = {};
  /// Texts that stand for a missing value, such as "?" or "NULL", besides the empty field.
  std::vector<std::string> missing = {};
  /// Whether blanks and tabs before and after a value or a name are not part of it.
  bool trim = true;
  /// Unit of `csv_type::time`: 1 for seconds since 1970-01-01 UTC, 1000 for milliseconds; a power
  /// of ten up to 10^9.
  std::int64_t ticks_per_second = 1;
  /// Number of bytes to read at a time; see `csv_options`.
  std::size_t block_size = csv_options{}.block_size;
};

namespace detail {

/// A value with the type that a column needs to hold it.
struct inferred_value {
  csv_type type;
  std::int64_t integer = 0;  // if that is the type
  double number = 0;         // if that is the type; NaN if missing
};

/// Infers the type of a value, given that the column has a value of type `least`: integer, number or
/// text, each of which can hold what the ones before it can.
inline inferred_value infer_value(csv_type least, std::string_view value) {
  const auto is_digit = [&](std::size_t i) {
    return i < value.size() && value[i] >= '0' && value[i] <= '9';
  };
  const std::size_t first = value.starts_with('-') ? 1 : 0;
  // Leading zeros are part of a postcode or an id, which is not a number.
  if (least == csv_type::text || (is_digit(first + 1) && value[first] == '0'))
    return {csv_type::text};
  if (least == csv_type::integer) {
    const auto whole = parse_number<std::int64_t>(value);
    if (whole.is_number && whole.fits) return {csv_type::integer, whole.value};
  }
  // An integer that 64 bits cannot hold is an id too: a number would not keep its digits.
  if (value.size() >= 19 && value.find_first_not_of("0123456789", first) == value.npos &&
      !parse_number<std::int64_t>(value).fits)
    return {csv_type::text};
  if (value == "nan" || value == "NaN")
    return {csv_type::number, 0, std::numeric_limits<double>::quiet_NaN()};
  const auto number = parse_number<double>(value);
  if (number.is_number && number.fits) return {csv_type::number, 0, number.value};
  return {csv_type::text};
}

/// Reads the columns of a CSV file. Types are inferred from its first rows; if a later value does
/// not fit, the file is read to its end for the types and then again for the values.
class csv_columns_reader {
 public:
  csv_columns_reader(std::string file, const csv_columns_options& options)
      : file_(std::move(file)), options_(options) {
    check_ticks_per_second("read_csv", options.ticks_per_second);
    choose_columns(open());
  }

  column_table read() && {
    constexpr std::size_t first_rows = 1000, all = std::numeric_limits<std::size_t>::max();
    read_rows(first_rows, false);
    while (!read_rows(all, true)) continue;
    column_table table;
    for (wanted_column& c : columns_) table.add(std::move(c.name), std::move(c.values));
    return table;
  }

 private:
  struct wanted_column {
    std::string name;
    std::size_t index = 0;  // in the file
    csv_type type = csv_type::integer;
    bool inferred = true;
    std::optional<char> separator = {};
    column_values values = column_values(value_kind::integer);
    bool fits = true;  // of the values so far, the type
  };

  csv_reader open() const {
    return csv_reader(file_, {.block_size = options_.block_size,
                              .separator = options_.separator,
                              .names = options_.names});
  }

  std::string_view trimmed(std::string_view text) const {
    constexpr const char* blanks = " \t";
    if (!options_.trim) return text;
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
  }

  void choose_columns(const csv_reader& csv) {
    std::map<std::string_view, std::size_t> places;
    for (std::size_t i = 0; i < csv.names().size(); ++i) {
      const std::string_view name = trimmed(csv.names()[i]);
      if (!places.emplace(name, i).second)
        throw format_error(
            join_text(file_, ":1:1: column \"", printable(name), "\" is named twice"));
      columns_.push_back({.name = std::string(name), .index = i});
    }
    const auto place_of = [&](std::string_view name) {
      const auto found = places.find(name);
      return found != places.end() ? found->second : csv.column(name);  // which throws
    };
    for (const auto& [name, type] : options_.types) {
      wanted_column& c = columns_[place_of(name)];
      if (!c.inferred)
        fail("funnel::read_csv: types has \"", name, "\" twice, expected one type per column");
      c.type = type;
      c.inferred = false;
    }
    for (const auto& [name, separator] : options_.lists) {
      wanted_column& c = columns_[place_of(name)];
      if (c.separator)
        fail("funnel::read_csv: lists has \"", name, "\" twice, expected one separator per column");
      c.separator = separator;
    }
    if (options_.columns.empty()) return;
    std::vector<bool> chosen(columns_.size());
    for (const std::string& name : options_.columns) chosen[place_of(name)] = true;
    std::erase_if(columns_, [&](const wanted_column& c) { return !chosen[c.index]; });
  }

  /// Reads up to `most` rows into the columns; false if types were widened, so that the columns are
  /// not complete.
  bool read_rows(std::size_t most, bool keep) {
    for (wanted_column& c : columns_) {
      c.values = column_values(c.type == csv_type::number ? value_kind::number
                               : c.type == csv_type::text ? value_kind::text
                                                          : value_kind::integer);
      c.fits = keep || !c.inferred;
    }
    csv_reader csv = open();
    for (std::size_t row = 0; row < most && csv.next(); ++row)
      for (wanted_column& c : columns_) {
        if (!keep && !c.inferred) continue;
        if (c.separator)
          take_list(csv, c);
        else
          take_value(csv, c, csv.text(c.index));
      }
    return std::ranges::all_of(columns_, &wanted_column::fits);
  }

  void take_list(const csv_reader& csv, wanted_column& c) {
    std::string_view rest = trimmed(csv.text(c.index));
    for (bool more = !is_missing(rest); more;) {
      const std::size_t length = rest.find(*c.separator);
      take_value(csv, c, rest.substr(0, length));
      more = length != rest.npos;
      rest.remove_prefix(more ? length + 1 : rest.size());
    }
    if (c.fits) c.values.end_list();
  }

  bool is_missing(std::string_view value) const {
    return value.empty() || std::ranges::find(options_.missing, value) != options_.missing.end();
  }

  void take_value(const csv_reader& csv, wanted_column& c, std::string_view text) {
    const std::string_view value = trimmed(text);
    if (is_missing(value)) {
      if (c.fits) c.values.push_back_missing();
      return;
    }
    if (!c.inferred) return append_as_told(csv, c, value);
    const inferred_value parsed = infer_value(c.type, value);
    c.fits = c.fits && parsed.type == c.type;
    c.type = parsed.type;
    if (!c.fits) return;
    if (c.type == csv_type::integer)
      c.values.push_back(parsed.integer);
    else if (c.type == csv_type::text)
      c.values.push_back(value);
    else
      append_number(c, parsed.number);
  }

  static void append_number(wanted_column& c, double value) {
    if (std::isnan(value))
      c.values.push_back_missing();
    else
      c.values.push_back(value);
  }

  void append_as_told(const csv_reader& csv, wanted_column& c, std::string_view value) const {
    if (c.type == csv_type::text) {
      c.values.push_back(value);
    } else if (c.type == csv_type::integer) {
      c.values.push_back(number_or_fail<std::int64_t>(csv, c, value));
    } else if (c.type == csv_type::number) {
      const bool nan = value == "nan" || value == "NaN";
      append_number(c, nan ? std::nan("") : number_or_fail<double>(csv, c, value));
    } else if (const auto ticks = parse_time(value, options_.ticks_per_second)) {
      c.values.push_back(*ticks);
    } else {
      csv.fail(c.index, "expected a date or time, as in 2022-04-25 or 2022-04-25 18:30:00, got \"",
               printable(value), "\"");
    }
  }

  template <class T>
  static T number_or_fail(const csv_reader& csv, const wanted_column& c, std::string_view value) {
    const auto parsed = parse_number<T>(value);
    if (!parsed.is_number)
      csv.fail(c.index, "expected a ", std::integral<T> ? "whole " : "", "number, got \"",
               printable(value), "\"");
    if (!parsed.fits) csv.fail(c.index, "the number ", printable(value), " is too large");
    return parsed.value;
  }

  std::string file_;
  const csv_columns_options& options_;
  std::vector<wanted_column> columns_;
};

}  // namespace detail

/// Reads a CSV file into a table of columns.
///
/// The type of a column is inferred from all its values: integer if they are whole numbers of 64
/// bits, otherwise number if they are numbers, otherwise text. Values with leading zeros, such as
/// 01234, and integers of more than 64 bits are texts, because as numbers they would lose digits.
/// An empty field is a missing value, "nan" among numbers too. A column without values is of
/// integers. A column of lists has a list per row; an empty field is an empty list, and an empty
/// element a missing value.
///
/// Shapes      a row per record, a column per name, in the order of the file.
/// Units       `csv_type::time` gives integers, ticks since 1970-01-01 UTC; times of day without an
///             offset are taken as UTC.
/// Errors      format_error "<file>:<line>:<column>: ..." for all that `csv_reader` refuses, for
///             names that are equal after trimming, values that do not have the type they are told
///             to have, and columns of the options that the file does not have.
///             std::invalid_argument for options that are out of range or name a column twice.
/// Cost        one pass over the file if the first 1000 rows show the types, otherwise two; it is
///             opened again for each, so it cannot be a pipe. Memory is that of the table.
/// Numerics    numbers are the nearest double in any locale, as `csv_reader::number`.
/// Source      RFC 4180; RFC 3339.
inline column_table read_csv(std::string file, const csv_columns_options& options = {}) {
  return detail::csv_columns_reader(std::move(file), options).read();
}

}  // namespace funnel
