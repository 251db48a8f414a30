// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/features/columns.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace funnel {

/// The values of one column of a `column_table`. Filled value by value, or by moving arrays in.
class column_values {
 public:
  explicit column_values(value_kind kind) : kind_(kind) {}

  value_kind kind() const { return kind_; }

  /// Appends a value; std::invalid_argument if it is not of the column's kind.
  void push_back(std::int64_t value) {
    detail::check_kind("column_values::push_back", kind_, value_kind::integer);
    integers_.push_back(value);
    mark(true);
  }
  void push_back(double value) {
    detail::check_kind("column_values::push_back", kind_, value_kind::number);
    numbers_.push_back(value);
    mark(true);
  }
  void push_back(std::string_view value) {
    detail::check_kind("column_values::push_back", kind_, value_kind::text);
    codes_.push_back(code_of(value));
    mark(true);
  }
  /// Appends a missing value.
  void push_back_missing() {
    if (kind_ == value_kind::integer) integers_.push_back(0);
    if (kind_ == value_kind::number) numbers_.push_back(std::numeric_limits<double>::quiet_NaN());
    if (kind_ == value_kind::text) codes_.push_back(code_of({}));
    mark(false);
  }
  /// Makes it a column of lists, even if no row comes.
  void make_lists() {
    if (offsets_.empty()) offsets_.push_back(0);
  }
  /// Ends the list of a row: the values since the last call are its values. A column in which this
  /// is called for each row is a column of lists.
  void end_list() {
    make_lists();
    offsets_.push_back(count());
  }

  /// The values, as a view.
  column view() const {
    column values;
    values.kind_ = kind_;
    values.integers_ = integers_;
    values.doubles_ = numbers_;
    values.codes_ = codes_;
    values.dictionary_ = dictionary_;
    if (missing_ > 0) values.present_ = present_;
    values.offsets_ = offsets_;
    return values;
  }

 private:
  std::size_t count() const { return present_.size(); }
  void mark(bool there) {
    present_.push_back(there ? 1 : 0);
    missing_ += there ? 0 : 1;
  }
  std::uint32_t code_of(std::string_view value) {
    const auto [place, is_new] =
        codes_of_.try_emplace(std::string(value), static_cast<std::uint32_t>(dictionary_.size()));
    if (is_new) dictionary_.emplace_back(value);
    return place->second;
  }

  value_kind kind_;
  std::vector<std::int64_t> integers_;
  std::vector<double> numbers_;
  std::vector<std::uint32_t> codes_;
  std::vector<std::string> dictionary_;
  std::unordered_map<std::string, std::uint32_t> codes_of_;
  std::vector<std::uint8_t> present_;
  std::size_t missing_ = 0;
  std::vector<std::uint64_t> offsets_;
};

namespace detail {

template <class V>
inline constexpr bool is_optional = false;
template <class V>
inline constexpr bool is_optional<std::optional<V>> = true;

template <class V>
concept CellText = std::convertible_to<const V&, std::string_view>;

template <class V>
inline constexpr bool is_list_of_values =
    !is_optional<V> && !CellText<V> && !std::integral<V> && !std::floating_point<V>;

/// The kind of column that holds values of type V: the value of a callback.
template <class V>
constexpr value_kind kind_of_value() {
  if constexpr (is_optional<V>) {
    return kind_of_value<typename V::value_type>();
  } else if constexpr (CellText<V>) {
    return value_kind::text;
  } else if constexpr (std::integral<V>) {
    return value_kind::integer;
  } else if constexpr (std::floating_point<V>) {
    return value_kind::number;
  } else {
    return kind_of_value<std::remove_cvref_t<decltype(*std::declval<const V&>().begin())>>();
  }
}

template <class V>
void append_value(column_values& to, const V& value) {
  if constexpr (is_optional<V>) {
    if (value) return append_value(to, *value);
    to.push_back_missing();
  } else if constexpr (CellText<V>) {
    to.push_back(std::string_view(value));
  } else if constexpr (std::integral<V>) {
    to.push_back(static_cast<std::int64_t>(value));
  } else if constexpr (std::floating_point<V>) {
    to.push_back(static_cast<double>(value));
  } else {
    for (const auto& element : value)
      append_value<std::remove_cvref_t<decltype(*value.begin())>>(to, element);
    to.end_list();
  }
}

}  // namespace detail

/// Column table: named columns that own their values. Readers of files return one; rows of your own
/// become one by a callback per column.
///
/// Cost        8 bytes per integer or number and 4 per text, plus 1; each different string once.
class column_table {
 public:
  /// Adds a column of `rows` values; value i is `value_of(i)`: an integer, a bool, a floating-point
  /// number, a string, a std::optional of one of these (empty: missing), or a range of values, which
  /// makes a column of lists.
  ///
  /// Errors      std::invalid_argument if there is a column of that name, or the number of rows
  ///             differs from that of the others; the table is unchanged then.
  template <class ValueOf>
  void add(std::string name, std::size_t rows, const ValueOf& value_of) {
    using value = std::remove_cvref_t<decltype(value_of(std::size_t{}))>;
    column_values values(detail::kind_of_value<value>());
    if constexpr (detail::is_list_of_values<value>) values.make_lists();
    for (std::size_t i = 0; i < rows; ++i) detail::append_value<value>(values, value_of(i));
    add(std::move(name), std::move(values));
  }
  /// Adds a column of a range of values, as above.
  template <class Values>
  requires requires(const Values& values) { values.size(), values[0]; }
  void add(std::string name, const Values& values) {
    add(std::move(name), values.size(),
        [&](std::size_t i) -> std::remove_cvref_t<decltype(values[0])> { return values[i]; });
  }
  /// Adds a column that was filled before.
  void add(std::string name, column_values values) {
    for (const auto& column : columns_)
      if (column.first == name)
        detail::fail("funnel::column_table: there are two columns \"", name, "\", expected one");
    const std::size_t added = values.view().rows();
    if (!columns_.empty() && added != rows())
      detail::fail("funnel::column_table: column \"", name, "\" has ", added, " rows, expected ",
                   rows(), " as in \"", columns_.front().first, '"');
    columns_.emplace_back(std::move(name), std::move(values));
  }

  std::size_t rows() const { return columns_.empty() ? 0 : columns_.front().second.view().rows(); }

  /// The columns, as a view. It stays valid when columns are added, and does not have them: new
  /// columns can be computed from a view of the same table.
  columns view() const {
    columns all;
    for (const auto& [name, values] : columns_) all.add(name, values.view());
    return all;
  }
  operator columns() const { return view(); }

 private:
  // No vector: views point into the values, which must not move when columns are added.
  std::deque<std::pair<std::string, column_values>> columns_;
};

/// Copies some rows of all columns, in the order of `rows`: for the parts of a split, such as
/// `split_by_time`.
///
/// Errors      std::invalid_argument if a row is not below from.rows().
/// Cost        O(values that are copied); a text is looked up by its characters.
inline column_table select_rows(const columns& from, std::span<const std::uint32_t> rows) {
  for (const std::uint32_t row : rows)
    detail::check_below("select_rows", "a row", row, from.rows());
  column_table selected;
  for (std::size_t c = 0; c < from.size(); ++c) {
    const column& values = from[c];
    column_values to(values.kind());
    if (values.is_list()) to.make_lists();
    for (const std::uint32_t row : rows) {
      for (std::size_t j = values.begin(row); j < values.end(row); ++j) {
        if (!values.has_value(j))
          to.push_back_missing();
        else if (values.kind() == value_kind::integer)
          to.push_back(values.integers()[j]);
        else if (values.kind() == value_kind::number)
          to.push_back(values.number(j));
        else
          to.push_back(values.text(j));
      }
      if (values.is_list()) to.end_list();
    }
    selected.add(from.name(c), std::move(to));
  }
  return selected;
}

}  // namespace funnel
