// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/float16.hpp>
#include <funnel/data/detail/parse_number.hpp>
#include <funnel/data/detail/parse_time.hpp>
#include <funnel/features/column_table.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

// The two structures of the Arrow C data interface. Their names, their members and the name of the
// guard are given by the interface, so that every header of a program may declare them.
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE  // NOLINT(readability-identifier-naming): the standard's guard

extern "C" {

struct ArrowSchema {  // NOLINT(readability-identifier-naming): the name is the standard's
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {  // NOLINT(readability-identifier-naming)
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

}  // extern "C"

#endif

namespace funnel::detail {

/// Throws a format_error about a column.
template <class... Parts>
[[noreturn]] void arrow_fail(const std::string& column, const Parts&... parts) {
  throw format_error(
      join_text("funnel::read_arrow: column \"", printable(column), "\": ", parts...));
}

/// The format of a schema, as text.
inline std::string_view arrow_format(const ArrowSchema& schema) {
  return schema.format == nullptr ? std::string_view() : schema.format;
}

/// Whether value i of an array is not null.
inline bool arrow_valid(const ArrowArray& array, std::int64_t i) {
  if (array.null_count == 0 || array.n_buffers < 1 || array.buffers[0] == nullptr) return true;
  const std::int64_t at = array.offset + i;
  return (static_cast<const std::uint8_t*>(array.buffers[0])[at / 8] >> (at % 8) & 1) != 0;
}

/// Value i of a buffer, which need not be aligned.
template <class T>
T arrow_value(const void* buffer, std::int64_t i) {
  T value;
  std::memcpy(&value, static_cast<const char*>(buffer) + i * std::int64_t{sizeof(T)}, sizeof(T));
  return value;
}

/// Checks the numbers of an array; its first buffer, the validity, may be missing.
inline void check_arrow_array(const ArrowArray& array, std::int64_t buffers,
                              const std::string& column) {
  constexpr std::int64_t most = std::int64_t{1} << 56;  // sums and bytes stay in 64 bits
  if (array.length < 0 || array.offset < 0 || array.length > most || array.offset > most)
    arrow_fail(column, "the array has ", array.length, " values from value ", array.offset, " on");
  if (array.n_buffers != buffers)
    arrow_fail(column, "the array has ", array.n_buffers, " buffers, expected ", buffers);
  // The last buffer, of bytes of text, may be missing if there are none.
  for (std::int64_t i = 1; i < buffers && i < 2 && array.length > 0; ++i)
    if (array.buffers[i] == nullptr) arrow_fail(column, "buffer ", i, " is missing");
}

/// The type of values that are not lists.
struct arrow_type {
  value_kind kind = value_kind::integer;
  /// The format in one letter: as in the interface, but D for days, T for other times.
  char code = 0;
  /// Ticks per second of a time.
  std::int64_t unit = 1;

  /// Throws a format_error for a type that is not supported. The kind is that of the dictionary.
  arrow_type(const ArrowSchema& schema, const std::string& column) {
    const std::string_view format = arrow_format(schema);
    if (format.size() == 1 && std::string_view("nbcCsSiIlLefguU").find(format[0]) != format.npos) {
      code = format[0];
      if (code == 'e' || code == 'f' || code == 'g') kind = value_kind::number;
      if (code == 'u' || code == 'U') kind = value_kind::text;
    } else if (format == "tdD") {
      code = 'D';
    } else if (format == "tdm") {
      code = 'T';
      unit = 1000;
    } else if (format.size() >= 4 && format.starts_with("ts") && format[3] == ':' &&
               std::string_view("smun").find(format[2]) != format.npos) {
      code = 'T';
      unit = format[2] == 's'   ? 1
             : format[2] == 'm' ? 1000
             : format[2] == 'u' ? 1'000'000
                                : 1'000'000'000;
    } else {
      arrow_fail(
          column, "the type \"", printable(format),
          "\" is not supported, expected integers, floating-point numbers, bool, utf8, dates, "
          "timestamps, dictionaries or lists of these");
    }
    if (schema.dictionary == nullptr) return;
    if (std::string_view("cCsSiIlL").find(code) == std::string_view::npos)
      arrow_fail(column, "the indices of a dictionary have the type \"", printable(format),
                 "\", expected integers");
    kind = arrow_type(*schema.dictionary, column).kind;
  }
};

/// The values of an array that is no list.
class arrow_values {
 public:
  arrow_values(const ArrowSchema& schema, const ArrowArray& array, const std::string& column,
               std::int64_t ticks)
      : type_(schema, column), array_(array), column_(column), ticks_(ticks) {
    check_arrow_array(array,
                      type_.code == 'n'                        ? 0
                      : type_.code == 'u' || type_.code == 'U' ? 3
                                                               : 2,
                      column);
    if (schema.dictionary == nullptr) return;
    if (array.dictionary == nullptr) arrow_fail(column, "the array has no dictionary");
    if (schema.dictionary->dictionary != nullptr)
      arrow_fail(column, "the dictionary has a dictionary itself, expected values");
    dictionary_ =
        std::make_unique<arrow_values>(*schema.dictionary, *array.dictionary, column, ticks);
  }

  /// Appends value i, or a missing one.
  void append(std::int64_t i, column_values& to) const {
    if (type_.code == 'n' || !arrow_valid(array_, i)) return to.push_back_missing();
    if (dictionary_) {
      const std::int64_t index = integer(i);
      if (index < 0 || index >= dictionary_->array_.length)
        arrow_fail(column_, "index ", index, " of row ", i, " is not in the dictionary, which has ",
                   dictionary_->array_.length, " values");
      return dictionary_->append(index, to);
    }
    if (type_.kind == value_kind::integer)
      to.push_back(integer(i));
    else if (type_.kind == value_kind::number)
      to.push_back(number(i));
    else
      to.push_back(text(i));
  }

 private:
  template <class T>
  T value(std::int64_t i) const {
    return arrow_value<T>(array_.buffers[1], array_.offset + i);
  }

  std::int64_t integer(std::int64_t i) const {
    switch (type_.code) {
    case 'b': {
      const std::int64_t at = array_.offset + i;
      return static_cast<const std::uint8_t*>(array_.buffers[1])[at / 8] >> (at % 8) & 1;
    }
    case 'c':
      return value<std::int8_t>(i);
    case 'C':
      return value<std::uint8_t>(i);
    case 's':
      return value<std::int16_t>(i);
    case 'S':
      return value<std::uint16_t>(i);
    case 'i':
      return value<std::int32_t>(i);
    case 'I':
      return value<std::uint32_t>(i);
    case 'L': {
      const auto large = value<std::uint64_t>(i);
      if (large > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
        arrow_fail(column_, "row ", i, " is ", large,
                   ", expected below 2^63: cast the column to int64 or text first");
      return static_cast<std::int64_t>(large);
    }
    case 'D':
      return in_ticks(std::int64_t{value<std::int32_t>(i)} * 86'400, 1, i);
    case 'T':
      return in_ticks(value<std::int64_t>(i), type_.unit, i);
    default:
      return value<std::int64_t>(i);
    }
  }

  /// A time of `unit` per second in ticks, rounded down.
  std::int64_t in_ticks(std::int64_t time, std::int64_t unit, std::int64_t i) const {
    if (ticks_ <= unit) {  // both are powers of ten
      const std::int64_t parts = unit / ticks_;
      return time / parts - (time % parts < 0 ? 1 : 0);
    }
    const std::int64_t factor = ticks_ / unit;
    const std::int64_t most = std::numeric_limits<std::int64_t>::max() / factor;
    if (time > most || time < -most)
      arrow_fail(column_, "row ", i, " is the time ", time, " in 1/", unit,
                 " s, which is outside 64 bits in 1/", ticks_, " s");
    return time * factor;
  }

  double number(std::int64_t i) const {
    if (type_.code == 'e') return static_cast<double>(to_float(value<float16>(i)));
    if (type_.code == 'f') return static_cast<double>(value<float>(i));
    return value<double>(i);
  }

  std::string_view text(std::int64_t i) const {
    const bool large = type_.code == 'U';
    const std::int64_t begin = large ? value<std::int64_t>(i) : value<std::int32_t>(i);
    const std::int64_t end = large ? value<std::int64_t>(i + 1) : value<std::int32_t>(i + 1);
    const auto* const bytes = static_cast<const char*>(array_.buffers[2]);
    if (begin < 0 || end < begin || (bytes == nullptr && end > begin))
      arrow_fail(column_, "the text of row ", i, " is from byte ", begin, " to byte ", end);
    if (begin == end) return {};
    return {bytes + begin, static_cast<std::size_t>(end - begin)};
  }

  arrow_type type_;
  const ArrowArray& array_;
  const std::string& column_;
  std::int64_t ticks_;
  std::unique_ptr<arrow_values> dictionary_;
};

}  // namespace funnel::detail
