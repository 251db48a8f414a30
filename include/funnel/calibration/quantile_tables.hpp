// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/element_of.hpp>
#include <funnel/core/state.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `quantile_tables`.
struct quantile_tables_options {
  /// Parts of equal probability that a table has; 1 to 65536. A table holds one number more. L.
  std::size_t levels = 100;
};

/// Tables of quantiles: the distribution of some values, one table for each group of them.
///
///     q(v)     the share of the values of the group that are below v, in [0, 1]
///     v(q)     the value with this share below it
///
/// A table holds the quantiles at 0, 1/L, ..., 1 of the values that it was fitted to. Between them q
/// and v are linear.
///
/// Order       q and v never fall. A value that is the quantile of several levels, because many
///             rows share it, has the mean of these levels: of watch times of which 40 % are 0, a
///             time of 0 has the quantile 0.2.
/// Errors      std::invalid_argument if a table does not exist, or an option is out of range.
/// Cost        4 (L + 1) bytes per table in float; O(log L) per quantile, O(1) per value.
/// Numerics    values beyond the smallest and the largest one have quantile 0 and 1, and quantiles
///             outside [0, 1] count as 0 and 1. NaN stays NaN; a table that was not fitted returns
///             NaN.
/// Source      docs/formulas.md#quantile-tables.
template <class T = float>
class quantile_tables {
 public:
  /// Without tables; to be loaded.
  quantile_tables() = default;
  /// Makes tables that are not fitted yet.
  explicit quantile_tables(std::size_t tables, const quantile_tables_options& options = {})
      : levels_(check_sizes(tables, options.levels)),
        values_(tables * (options.levels + 1), std::numeric_limits<T>::quiet_NaN()) {}
  quantile_tables(const quantile_tables&) = default;
  quantile_tables(quantile_tables&&) noexcept = default;
  /// Strong guarantee: if memory runs out, this object is unchanged.
  quantile_tables& operator=(const quantile_tables& other) {
    *this = quantile_tables(other);
    return *this;
  }
  quantile_tables& operator=(quantile_tables&&) noexcept = default;

  std::size_t tables() const { return values_.size() / (levels() + 1); }
  std::size_t levels() const { return static_cast<std::size_t>(levels_); }
  bool fitted(std::size_t table) const {
    return !std::isnan(row("quantile_tables::fitted", table).front());
  }

  /// Fits a table to the values of its group.
  ///
  ///     v(j / L) = the value at position j (n - 1) / L of the sorted values, from 0, linear between
  ///
  /// Errors      std::invalid_argument if there are no values or one is not finite. The table is
  ///             unchanged then, and also if memory runs out.
  /// Cost        O(n log n); one copy of the values.
  template <detail::Numbers Values>
  void fit(std::size_t table, const Values& values) {
    constexpr const char* name = "quantile_tables::fit";
    const std::span<T> quantiles = writable_row(name, table);
    const auto given = detail::as_span(values);
    detail::check_not_empty(name, "values", given.size());
    std::vector<T> sorted(given.size());
    std::ranges::transform(given, sorted.begin(), [](auto v) { return static_cast<T>(v); });
    detail::check_finite(name, "values", std::span<const T>(sorted));
    std::ranges::sort(sorted);
    // In integers, so that a value that many rows share keeps its bits at each of its levels.
    const std::size_t last = sorted.size() - 1, parts = levels();
    for (std::size_t j = 0; j <= parts; ++j) {
      const std::size_t rest = last % parts * j;
      quantiles[j] = interpolated(sorted, last / parts * j + rest / parts,
                                  static_cast<double>(rest % parts) / level_count());
    }
  }

  /// The share of the values of a group that are below `value`, in [0, 1].
  T quantile(std::size_t table, T value) const {
    const std::span<const T> quantiles = row("quantile_tables::quantile", table);
    if (std::isnan(value) || std::isnan(quantiles.front()))
      return std::numeric_limits<T>::quiet_NaN();
    const auto [begin, end] = std::equal_range(quantiles.begin(), quantiles.end(), value);
    const auto low = static_cast<std::size_t>(begin - quantiles.begin());
    const auto above = static_cast<std::size_t>(end - quantiles.begin());
    double level = 0;
    if (low < above) {
      level = static_cast<double>(low + above - 1) / 2;  // the mean of levels with this value
    } else if (low == quantiles.size()) {
      level = level_count();
    } else if (low > 0) {
      level = static_cast<double>(low - 1) + part(quantiles[low - 1], value, quantiles[low]);
    }
    return static_cast<T>(level / level_count());
  }

  /// The value of a group that has this share of the values below it.
  T value(std::size_t table, T quantile) const {
    const std::span<const T> quantiles = row("quantile_tables::value", table);
    if (std::isnan(quantile) || std::isnan(quantiles.front()))
      return std::numeric_limits<T>::quiet_NaN();
    const double position = static_cast<double>(std::clamp(quantile, T(0), T(1))) * level_count();
    const double whole = std::floor(position);
    return interpolated(quantiles, static_cast<std::size_t>(whole), position - whole);
  }

  /// See `HasState`. Throws a format_error if what was loaded is not a set of tables.
  void visit_state(auto&& visit) {
    visit("levels", levels_), visit("values", values_);
    if (is_loading(visit)) detail::check_loaded([&] { check_loaded_values(); });
  }

 private:
  static std::uint32_t check_sizes(std::size_t tables, std::size_t levels) {
    detail::check_that("quantile_tables", "levels", levels, levels >= 1 && levels <= 65536,
                       "a number in [1, 65536]");
    detail::check_size_of_32_bits("quantile_tables", "tables", tables);
    return static_cast<std::uint32_t>(levels);
  }
  void check_loaded_values() const {
    check_sizes(0, levels());
    const std::size_t size = levels() + 1;
    detail::check_that("quantile_tables", "the size of values", values_.size(),
                       values_.size() % size == 0, "a multiple of ", size, ", levels + 1");
    for (std::size_t t = 0; t < tables(); ++t) {
      const std::span<const T> quantiles = row("quantile_tables", t);
      if (std::ranges::all_of(quantiles, [](T v) { return std::isnan(v); })) continue;
      detail::check_finite("quantile_tables", "values", quantiles);
      if (!std::ranges::is_sorted(quantiles))
        detail::fail("funnel::quantile_tables: values of table ", t,
                     " fall, expected quantiles that never fall");
    }
  }

  double level_count() const { return static_cast<double>(levels_); }
  std::span<const T> row(const char* function, std::size_t table) const {
    detail::check_below(function, "table", table, tables());
    return std::span<const T>(values_).subspan(table * (levels() + 1), levels() + 1);
  }
  std::span<T> writable_row(const char* function, std::size_t table) {
    detail::check_below(function, "table", table, tables());
    return std::span<T>(values_).subspan(table * (levels() + 1), levels() + 1);
  }

  /// The value that is the fraction `part` of the way from position `low` to the next one.
  static T interpolated(std::span<const T> sorted, std::size_t low, double part) {
    const T next = sorted[std::min(low + 1, sorted.size() - 1)];
    // std::lerp is monotone and stays within the two values.
    return static_cast<T>(
        std::lerp(static_cast<double>(sorted[low]), static_cast<double>(next), part));
  }
  /// Where `value` is between two others, from 0 to 1.
  static double part(T low, T value, T high) {
    const double from = static_cast<double>(low), to = static_cast<double>(high);
    const double x = static_cast<double>(value);
    // Halved if the distance of two doubles overflows.
    return std::isfinite(to - from) ? (x - from) / (to - from)
                                    : (x / 2 - from / 2) / (to / 2 - from / 2);
  }

  std::uint32_t levels_ = quantile_tables_options{}.levels;
  std::vector<T> values_;  // [tables, levels + 1]
};

}  // namespace funnel
