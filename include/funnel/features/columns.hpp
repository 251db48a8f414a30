// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/error.hpp>
#include <funnel/features/hashing.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// What the values of a column are.
enum class value_kind {
  integer,  ///< std::int64_t: ids, times, counts
  number,   ///< float or double; NaN is missing
  text,     ///< strings, as codes and a dictionary
};

namespace detail {

inline const char* kind_name(value_kind kind) {
  return kind == value_kind::integer ? "integers" : kind == value_kind::number ? "numbers" : "text";
}
inline void check_kind(const char* function, value_kind kind, value_kind expected) {
  if (kind != expected)
    fail("funnel::", function, ": the column has ", kind_name(kind), ", expected ",
         kind_name(expected));
}

}  // namespace detail

/// Column: a view of the values of one column, one value per row or one list of values per row.
///
/// Text is stored as one code per value and a dictionary of the different strings. A column copies
/// nothing: the arrays must live as long as it.
class column {
 public:
  column() = default;
  column(std::span<const std::int64_t> values) : kind_(value_kind::integer), integers_(values) {}
  column(std::span<const float> values) : kind_(value_kind::number), floats_(values) {}
  column(std::span<const double> values) : kind_(value_kind::number), doubles_(values) {}
  /// Text: value i is dictionary[codes[i]].
  ///
  /// Errors      std::invalid_argument if a code is not below the size of the dictionary.
  column(std::span<const std::uint32_t> codes, std::span<const std::string> dictionary)
      : kind_(value_kind::text), codes_(codes), dictionary_(dictionary) {
    for (std::size_t i = 0; i < codes.size(); ++i)
      if (codes[i] >= dictionary.size())
        detail::fail("funnel::column: codes[", i, "] is ", codes[i], ", expected below ",
                     dictionary.size(), ", the size of the dictionary");
  }

  /// The same column with missing values: value i is missing where present[i] is 0.
  ///
  /// Errors      std::invalid_argument if `present` does not have one entry per value.
  column with_presence(std::span<const std::uint8_t> present) const {
    detail::check_size("column::with_presence", "present", present.size(), values(), "values");
    column copy = *this;
    copy.present_ = present;
    return copy;
  }
  /// The same values as lists: row i has values offsets[i] to offsets[i + 1] - 1.
  ///
  /// Errors      std::invalid_argument if the offsets decrease or do not span the values.
  column with_lists(std::span<const std::uint64_t> offsets) const {
    constexpr std::string_view name = "column::with_lists";
    detail::check_not_empty(name, "offsets", offsets.size());
    for (std::size_t i = 0; i < offsets.size(); ++i) {
      const std::uint64_t least = i == 0 ? 0 : offsets[i - 1];
      if (offsets[i] < least || (i == 0 && offsets[i] != 0))
        detail::fail("funnel::", name, ": offsets[", i, "] is ", offsets[i], ", expected ",
                     i == 0 ? "" : "at least ", least);
    }
    detail::check_that(name, "the last of offsets", offsets.back(), offsets.back() == values(),
                       values(), ", the number of values");
    column copy = *this;
    copy.offsets_ = offsets;
    return copy;
  }

  value_kind kind() const { return kind_; }
  bool is_list() const { return !offsets_.empty(); }
  std::size_t rows() const { return is_list() ? offsets_.size() - 1 : values(); }
  /// Number of values; of a column of lists, in all lists together.
  std::size_t values() const {
    return integers_.size() + floats_.size() + doubles_.size() + codes_.size();
  }
  /// The values of row i are begin(i) to end(i) - 1.
  std::size_t begin(std::size_t i) const { return is_list() ? offsets_[i] : i; }
  std::size_t end(std::size_t i) const { return is_list() ? offsets_[i + 1] : i + 1; }

  /// Whether value j is there: not marked as missing, and not NaN.
  bool has_value(std::size_t j) const {
    if (!present_.empty() && present_[j] == 0) return false;
    if (kind_ != value_kind::number) return true;
    return !(floats_.empty() ? std::isnan(doubles_[j]) : std::isnan(floats_[j]));
  }
  /// Value j as a number; NaN if it is missing. Of text, NaN.
  double number(std::size_t j) const {
    if (!has_value(j) || kind_ == value_kind::text) return std::numeric_limits<double>::quiet_NaN();
    if (kind_ == value_kind::integer) return static_cast<double>(integers_[j]);
    return floats_.empty() ? doubles_[j] : static_cast<double>(floats_[j]);
  }
  /// Value j as a key, as `category_key`; `missing_key` if it is missing. A number without a
  /// fraction has the key of the integer.
  std::uint64_t key(std::size_t j) const {
    if (!has_value(j)) return missing_key;
    if (kind_ == value_kind::integer) return category_key(integers_[j]);
    if (kind_ == value_kind::text) return category_key(dictionary_[codes_[j]]);
    const double value = number(j);
    constexpr double limit = 0x1p63;
    if (value == std::floor(value) && value >= -limit && value < limit)
      return category_key(static_cast<std::int64_t>(value));
    return category_key(std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  /// Value j of a column of text; std::invalid_argument if the column is of another kind.
  std::string_view text(std::size_t j) const {
    detail::check_kind("column::text", kind_, value_kind::text);
    return dictionary_[codes_[j]];
  }

  std::span<const std::int64_t> integers() const { return integers_; }
  std::span<const std::uint32_t> codes() const { return codes_; }
  std::span<const std::string> dictionary() const { return dictionary_; }

 private:
  friend class column_values;  // whose arrays need no checks

  value_kind kind_ = value_kind::integer;
  std::span<const std::int64_t> integers_;
  std::span<const float> floats_;
  std::span<const double> doubles_;
  std::span<const std::uint32_t> codes_;
  std::span<const std::string> dictionary_;
  std::span<const std::uint8_t> present_;  // empty: all are there
  std::span<const std::uint64_t> offsets_;
};

/// Columns: a view of a table, columns by name with the same number of rows. `column_table` owns
/// its values; arrays of your own become columns with `add`.
class columns {
 public:
  /// Adds a column.
  ///
  /// Errors      std::invalid_argument if there is a column of that name, or the number of rows
  ///             differs from that of the others.
  void add(std::string name, const column& values) {
    if (find(name) != nullptr)
      detail::fail("funnel::columns: there are two columns \"", name, "\", expected one");
    if (!columns_.empty() && values.rows() != rows())
      detail::fail("funnel::columns: column \"", name, "\" has ", values.rows(), " rows, expected ",
                   rows(), " as in \"", columns_.front().first, "\"");
    columns_.emplace_back(std::move(name), values);
  }

  std::size_t rows() const { return columns_.empty() ? 0 : columns_.front().second.rows(); }
  std::size_t size() const { return columns_.size(); }
  const std::string& name(std::size_t i) const { return columns_[i].first; }
  const column& operator[](std::size_t i) const { return columns_[i].second; }

  /// The column of a name, or nullptr.
  const column* find(std::string_view name) const {
    for (const auto& [known, values] : columns_)
      if (known == name) return &values;
    return nullptr;
  }
  /// The column of a name.
  ///
  /// Errors      std::invalid_argument if there is none; the message lists the columns.
  const column& operator[](std::string_view name) const {
    if (const column* found = find(name)) return *found;
    std::string others;
    for (const auto& [known, values] : columns_)
      others += (others.empty() ? "\"" : ", \"") + known + '"';
    detail::fail("funnel::columns: column \"", name, "\" is missing, expected one of ",
                 others.empty() ? "none" : others);
  }

 private:
  std::vector<std::pair<std::string, column>> columns_;
};

}  // namespace funnel
