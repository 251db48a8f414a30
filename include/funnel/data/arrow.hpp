// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/data/detail/arrow_values.hpp>
#include <funnel/features/column_table.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `read_arrow`.
struct arrow_options {
  /// Columns to read; empty: all.
  std::vector<std::string> columns = {};
  /// Unit of times: dates and timestamps become ticks since 1970-01-01 UTC, 1 for seconds, 1000 for
  /// milliseconds; a power of ten up to 10^9. A part of a tick is cut off.
  std::int64_t ticks_per_second = 1;
};

namespace detail {

/// Releases a structure of the C data interface at the end of a scope, once.
template <class Structure>
class arrow_release {
 public:
  explicit arrow_release(Structure& structure) : structure_(structure) {}
  arrow_release(const arrow_release&) = delete;
  arrow_release& operator=(const arrow_release&) = delete;
  ~arrow_release() {
    if (structure_.release != nullptr) structure_.release(&structure_);
    structure_.release = nullptr;
  }

 private:
  Structure& structure_;
};

/// Releases all batches that are not released.
struct arrow_batches {
  std::span<ArrowArray> batches;

  explicit arrow_batches(std::span<ArrowArray> all) : batches(all) {}
  arrow_batches(const arrow_batches&) = delete;
  arrow_batches& operator=(const arrow_batches&) = delete;
  ~arrow_batches() {
    for (ArrowArray& batch : batches) arrow_release release(batch);
  }
};

/// A list array: where the list of each row begins and ends among the values of its child.
class arrow_lists {
 public:
  static bool is_list(std::string_view format) {
    return format == "+l" || format == "+L" || format.starts_with("+w:");
  }

  arrow_lists(const ArrowSchema& schema, const ArrowArray& array, const std::string& column)
      : array_(array), column_(column), format_(arrow_format(schema)) {
    if (schema.n_children != 1 || array.n_children != 1)
      arrow_fail(column, "a list has ", array.n_children, " children, expected 1");
    if (format_.starts_with("+w:")) {
      const auto size = parse_number<std::int64_t>(format_.substr(3));
      if (!size.is_number || !size.fits || size.value < 0)
        arrow_fail(column, "the type \"", printable(format_), "\" has no length of lists");
      length_ = size.value;
    }
    check_arrow_array(array, length_ < 0 ? 2 : 1, column);
  }

  bool has(std::int64_t i) const { return arrow_valid(array_, i); }

  /// The values of row i, as positions in the child.
  std::pair<std::int64_t, std::int64_t> values(std::int64_t i) const {
    const std::int64_t at = array_.offset + i, values = array_.children[0]->length;
    std::int64_t begin = 0, end = 0;
    if (length_ >= 0) {
      if (length_ > 0 && at >= values / length_) fail_row(i);
      return {at * length_, (at + 1) * length_};
    }
    const void* const offsets = array_.buffers[1];
    if (format_ == "+l") {
      begin = arrow_value<std::int32_t>(offsets, at);
      end = arrow_value<std::int32_t>(offsets, at + 1);
    } else {
      begin = arrow_value<std::int64_t>(offsets, at);
      end = arrow_value<std::int64_t>(offsets, at + 1);
    }
    if (begin < 0 || end < begin || end > values) fail_row(i);
    return {begin, end};
  }

 private:
  [[noreturn]] void fail_row(std::int64_t i) const {
    arrow_fail(column_, "the list of row ", i, " is not in the values, of which there are ",
               array_.children[0]->length);
  }

  const ArrowArray& array_;
  const std::string& column_;
  std::string_view format_;
  std::int64_t length_ = -1;  // of each list, if all are equally long
};

/// Appends rows of one column of a batch.
inline void append_arrow(const ArrowSchema& schema, const ArrowArray& array, std::int64_t begin,
                         std::int64_t count, const std::string& column, std::int64_t ticks,
                         column_values& to) {
  if (!arrow_lists::is_list(arrow_format(schema))) {
    const arrow_values values(schema, array, column, ticks);
    for (std::int64_t i = begin; i < begin + count; ++i) values.append(i, to);
    return;
  }
  const arrow_lists lists(schema, array, column);
  const arrow_values values(*schema.children[0], *array.children[0], column, ticks);
  for (std::int64_t i = begin; i < begin + count; ++i) {
    if (lists.has(i)) {
      const auto [first, end] = lists.values(i);
      for (std::int64_t k = first; k < end; ++k) values.append(k, to);
    }
    to.end_list();
  }
}

/// The columns of a schema that are read.
struct arrow_column {
  std::string name;
  std::int64_t child;
  column_values values;
};

inline std::vector<arrow_column> arrow_columns_of(const ArrowSchema& schema,
                                                  const arrow_options& options) {
  if (arrow_format(schema) != "+s")
    throw format_error(join_text("funnel::read_arrow: the schema has the type \"",
                                 printable(arrow_format(schema)),
                                 "\", expected \"+s\", the type of a record batch"));
  std::map<std::string, std::int64_t, std::less<>> places;
  for (std::int64_t i = 0; i < schema.n_children; ++i) {
    const char* const name = schema.children[i]->name;
    const std::string text = name == nullptr ? "" : name;
    if (!places.emplace(text, i).second)
      throw format_error(
          join_text("funnel::read_arrow: there are two columns \"", printable(text), "\""));
  }
  std::vector<bool> chosen(places.size(), options.columns.empty());
  for (const std::string& name : options.columns) {
    const auto found = places.find(name);
    if (found == places.end()) {
      std::string names;
      for (const auto& place : places)
        names += join_text(names.empty() ? "\"" : ", \"", printable(place.first), "\"");
      throw format_error(join_text("funnel::read_arrow: column \"", printable(name),
                                   "\" is missing; the batch has ", names));
    }
    chosen[static_cast<std::size_t>(found->second)] = true;
  }
  std::vector<arrow_column> columns;
  for (std::int64_t i = 0; i < schema.n_children; ++i) {
    if (!chosen[static_cast<std::size_t>(i)]) continue;
    const ArrowSchema& field = *schema.children[i];
    const std::string name = field.name == nullptr ? "" : field.name;
    const bool list = arrow_lists::is_list(arrow_format(field));
    if (list && field.n_children != 1)
      arrow_fail(name, "a list has ", field.n_children, " children, expected 1");
    columns.push_back(
        {name, i, column_values(arrow_type(list ? *field.children[0] : field, name).kind)});
  }
  return columns;
}

}  // namespace detail

/// Copies Arrow record batches of one schema into a table of columns. Whoever makes Arrow data, such
/// as pyarrow, Polars, DuckDB or Spark, exports batches by the C data interface.
///
/// Takes the schema and the batches over: each is released once, also after an error.
///
/// Shapes      the rows of all batches one after another; a column per field, in the order of the
///             schema.
/// Units       integers, bool, dates and timestamps become integers, floating-point numbers become
///             double, utf8 and large_utf8 text. Dates and timestamps are ticks since 1970-01-01
///             UTC, see `arrow_options`. Dictionaries are decoded. A list, large_list or
///             fixed_size_list of these becomes a column of lists; a list that is null is empty.
/// Errors      std::invalid_argument if the schema or a batch is released already, or the options
///             are out of range. format_error, with the column, for another type, unsigned integers
///             of 2^63 or more, times outside 64 bits, columns of the options that are not there,
///             and arrays that are not of the schema or not in themselves right: numbers of children
///             and buffers, offsets, dictionary indices. Buffers are taken to be as long as the
///             arrays say, because the interface does not tell their length.
/// Cost        O(values), one copy.
/// Source      Apache Arrow, C data interface,
///             https://arrow.apache.org/docs/format/CDataInterface.html.
inline column_table read_arrow(ArrowSchema& schema, std::span<ArrowArray> batches,
                               const arrow_options& options = {}) {
  const detail::arrow_release release_schema(schema);
  const detail::arrow_batches release_batches(batches);
  detail::check_ticks_per_second("read_arrow", options.ticks_per_second);
  if (schema.release == nullptr)
    detail::fail("funnel::read_arrow: schema is released, expected one that is not");
  for (std::size_t b = 0; b < batches.size(); ++b)
    if (batches[b].release == nullptr)
      detail::fail("funnel::read_arrow: batches[", b, "] is released, expected one that is not");
  std::vector<detail::arrow_column> columns = detail::arrow_columns_of(schema, options);
  for (std::size_t b = 0; b < batches.size(); ++b) {
    const ArrowArray& batch = batches[b];
    const auto fail_batch = [&](const auto&... parts) {
      throw format_error(detail::join_text("funnel::read_arrow: batches[", b, "] ", parts...));
    };
    if (batch.n_children != schema.n_children)
      fail_batch("has ", batch.n_children, " columns, expected ", schema.n_children);
    if (batch.length < 0 || batch.offset < 0)
      fail_batch("has ", batch.length, " rows from row ", batch.offset, " on");
    for (std::int64_t i = 0; i < batch.length; ++i)
      if (!detail::arrow_valid(batch, i)) fail_batch("has no row ", i, ": it is null");
    for (detail::arrow_column& c : columns) {
      const ArrowArray& array = *batch.children[c.child];
      if (array.length < batch.offset || array.length - batch.offset < batch.length)
        detail::arrow_fail(c.name, "has ", array.length, " rows, expected ",
                           batch.offset + batch.length);
      detail::append_arrow(*schema.children[c.child], array, batch.offset, batch.length, c.name,
                           options.ticks_per_second, c.values);
    }
  }
  column_table table;
  for (detail::arrow_column& c : columns) table.add(std::move(c.name), std::move(c.values));
  return table;
}

/// The same for one batch.
inline column_table read_arrow(ArrowSchema& schema, ArrowArray& batch,
                               const arrow_options& options = {}) {
  return read_arrow(schema, std::span(&batch, 1), options);
}

}  // namespace funnel
