// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/date.hpp>
#include <funnel/core/error.hpp>
#include <funnel/features/bucketize.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/entity_table.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/geohash.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/schema.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace funnel::detail {

/// Quotient of two numbers, rounded down; b > 0.
constexpr std::int64_t floor_divided(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

/// Local time in seconds since 1970-01-01.
inline std::int64_t local_seconds(const schema_options& options, std::int64_t time) {
  return floor_divided(time, options.ticks_per_second) + options.utc_offset;
}

/// The first time at which an event is visible.
inline std::int64_t visible_at(const schema_options& options, std::int64_t time) {
  if (!options.delay.until_midnight) return time + options.delay.ticks + 1;
  const std::int64_t day = floor_divided(local_seconds(options, time), 86400);
  return ((day + 1) * 86400 - options.utc_offset) * options.ticks_per_second;
}

/// Cells of one row of some columns, as `read_side` reads them: a missing value is NaN or missing_key.
/// All values of a column that is null are missing.
struct row_cells {
  std::span<const column* const> columns;
  std::size_t row;

  std::size_t count(std::size_t c) const {
    return columns[c] == nullptr ? 0 : columns[c]->end(row) - columns[c]->begin(row);
  }
  double number(std::size_t c, std::size_t j = 0) const {
    if (columns[c] == nullptr) return std::numeric_limits<double>::quiet_NaN();
    return columns[c]->number(columns[c]->begin(row) + j);
  }
  std::uint64_t key(std::size_t c, std::size_t j = 0) const {
    return columns[c] == nullptr ? missing_key : columns[c]->key(columns[c]->begin(row) + j);
  }
  /// A time; no_time if it is missing.
  std::int64_t time(std::size_t c) const {
    if (columns[c] == nullptr) return no_time;
    const column& values = *columns[c];
    const std::size_t j = values.begin(row);
    if (!values.has_value(j)) return no_time;
    if (values.kind() == value_kind::integer) return values.integers()[j];
    const double value = values.number(j);
    return value >= -0x1p53 && value <= 0x1p53 ? static_cast<std::int64_t>(std::floor(value))
                                               : no_time;
  }
};

/// The category of a local time: 0 if it is missing.
inline std::uint32_t hour_code(const schema_options& options, std::int64_t time) {
  if (time == no_time) return 0;
  const std::int64_t local = local_seconds(options, time);
  return static_cast<std::uint32_t>(1 + floor_divided(local, 3600) -
                                    24 * floor_divided(local, 86400));
}
/// 1 for Monday to 7 for Sunday; 0 if the time is missing.
inline std::uint32_t weekday_code(const schema_options& options, std::int64_t time) {
  if (time == no_time) return 0;
  const std::int64_t day = floor_divided(local_seconds(options, time), 86400) + 3;
  return static_cast<std::uint32_t>(1 + day - 7 * floor_divided(day, 7));
}
inline bool is_holiday(const schema_options& options, std::int64_t time,
                       std::span<const std::int32_t> holidays) {
  const std::int64_t day = floor_divided(local_seconds(options, time), 86400);
  return std::ranges::any_of(holidays, [&](std::int32_t date) { return day_number(date) == day; });
}

/// A number as it is before scaling; infinite numbers count as missing.
inline float raw_number(double value, bool log1p) {
  if (!std::isfinite(value)) return std::numeric_limits<float>::quiet_NaN();
  const double number = log1p ? (value > 0 ? std::log1p(value) : 0) : value;
  constexpr double most = static_cast<double>(std::numeric_limits<float>::max());
  return static_cast<float>(std::clamp(number, -most, most));
}

inline std::uint32_t bucket_code(const schema& features, const category_plan& c, double value) {
  const std::size_t bounds = features.plan().tables[c.table].bounds;
  return bucket_of(raw_number(value, false), features.values().bounds[bounds]);
}

/// The row of a key in the table of a category or list.
inline std::uint32_t table_row(const schema& features, std::size_t table, std::uint64_t key) {
  if (key == missing_key) return 0;
  const table_plan& plan = features.plan().tables[table];
  if (plan.vocabulary != no_index) return features.values().vocabularies[plan.vocabulary].find(key);
  return hash_row(key, static_cast<std::uint32_t>(plan.fixed_rows));
}

/// The key of a place; missing_key outside the ranges of latitude and longitude.
inline std::uint64_t place_key(double latitude, double longitude, std::size_t length) {
  const bool valid = std::abs(latitude) <= 90 && std::abs(longitude) <= 180;  // false for NaN
  return valid ? geohash_cell(latitude, longitude, length) : missing_key;
}

/// Computes the category, the simple numbers and the rest of one row of a side. `item_row(key)` is
/// the row of an item of a given history.
///
/// Errors      std::invalid_argument if a vector has another size.
template <class Cells, class ItemRow>
void read_side(const schema& features, std::size_t side, const Cells& cells, std::int64_t time,
               const ItemRow& item_row, side_record& to) {
  const schema_options& options = features.options();
  const side_plan& plan = features.plan().of[side];
  const auto time_of_column = [&](std::size_t c) { return c == no_index ? time : cells.time(c); };
  for (std::size_t i = 0; i < plan.categories.size(); ++i) {
    const category_plan& c = plan.categories[i];
    std::uint32_t& code = to.codes[i];
    switch (c.source) {
    case category_source::vocabulary:
    case category_source::hash:
      code = table_row(features, c.table, cells.key(c.column));
      break;
    case category_source::bucket:
      code = c.column == no_index ? 0 : bucket_code(features, c, cells.number(c.column));
      break;
    case category_source::place:
      code = table_row(features, c.table,
                       place_key(cells.number(c.column), cells.number(c.column2), c.length));
      break;
    case category_source::hour:
      code = hour_code(options, time_of_column(c.column));
      break;
    case category_source::weekday:
      code = weekday_code(options, time_of_column(c.column));
      break;
    case category_source::activity:
      code = 0;
      break;
    }
  }
  for (const number_plan& n : plan.numbers) {
    float& number = to.numbers[n.offset];
    if (n.source == number_source::column) {
      number = raw_number(cells.number(n.column), n.log1p);
      to.numbers[n.missing_offset] = std::isnan(number) ? 1.f : 0.f;
    } else if (n.source != number_source::age) {
      const std::int64_t when = time_of_column(n.column);
      const bool weekend = n.source == number_source::weekend;
      number =
          when == no_time ? 0.f
          : (weekend ? weekday_code(options, when) >= 6 : is_holiday(options, when, n.holidays))
              ? 1.f
              : 0.f;
    }
  }
  for (std::size_t i = 0; i < plan.ages.size(); ++i) to.times[i] = cells.time(plan.ages[i]);
  for (const vector_plan& v : plan.vectors) {
    const std::size_t count = cells.count(v.column);
    if (count != 0 && count != v.size)
      fail("funnel::schema: a row of the vector \"", v.name, "\" has ", count,
           " numbers, expected ", v.size);
    for (std::size_t j = 0; j < v.size; ++j) {
      const float number = count == 0 ? 0.f : raw_number(cells.number(v.column, j), false);
      to.vectors[v.offset - plan.scaled_width + j] = std::isnan(number) ? 0.f : number;
    }
  }
  for (std::size_t i = 0; i < plan.lists.size(); ++i) {
    const list_plan& l = plan.lists[i];
    to.lists[i].clear();
    for (std::size_t j = 0, n = cells.count(l.column); j < n; ++j) {
      const std::uint64_t key = cells.key(l.column, j);
      if (key == missing_key) continue;
      to.lists[i].push_back(l.table == no_index ? item_row(key)
                                                : table_row(features, l.table, key));
    }
  }
  for (std::size_t i = 0; i < plan.keys.size(); ++i) {
    const key_plan& k = plan.keys[i];
    to.keys[i] = k.category == no_index ? cells.key(k.column) : to.codes[k.category];
  }
}

/// The values of a user or an item of which only the id is known.
inline void read_id(const schema& features, std::size_t side, std::uint64_t id, side_record& to) {
  const side_plan& plan = features.plan().of[side];
  const std::string& id_name =
      side == user_side ? features.options().user : features.options().item;
  const std::size_t id_column = id_name.empty() ? no_index : plan.keys[0].column;
  for (std::size_t i = 0; i < plan.categories.size(); ++i) {
    const category_plan& c = plan.categories[i];
    const bool keyed = c.source == category_source::vocabulary || c.source == category_source::hash;
    to.codes[i] = keyed && c.column == id_column ? table_row(features, c.table, id) : 0;
  }
  for (const number_plan& n : plan.numbers)
    if (n.missing_offset != no_index) to.numbers[n.missing_offset] = 1;
  if (id_column != no_index) to.keys[0] = id;
}

/// Whether all values of a user or an item follow from the id, as `read_id` sets them.
inline bool has_only_id(const side_plan& plan) {
  const auto is_known = [](const category_plan& c) {
    return c.source == category_source::vocabulary || c.source == category_source::hash ||
           c.source == category_source::activity;
  };
  return plan.columns.size() <= 1 && plan.numbers.empty() && plan.ages.empty() &&
         plan.vectors.empty() && plan.lists.empty() &&
         std::ranges::all_of(plan.categories, is_known);
}

/// The columns that a side reads.
///
/// Errors      std::invalid_argument if one is missing, is a list where one value is expected, or
///             is text where numbers are.
inline std::vector<const column*> columns_of_side(const schema& features, std::size_t side,
                                                  const columns& from, std::string_view what) {
  const side_plan& plan = features.plan().of[side];
  const std::string& of = features.options().name;
  std::vector<const column*> found;
  for (const std::string& name : plan.columns) {
    const column* c = from.find(name);
    if (c == nullptr)
      fail("funnel::schema \"", of, "\": column \"", name, "\" of ", side_names[side],
           " is missing, expected it in ", what);
    found.push_back(c);
  }
  const auto check = [&](std::size_t c, bool list, bool is_number) {
    if (c == no_index) return;
    if (!list && found[c]->is_list())
      fail("funnel::schema \"", of, "\": column \"", plan.columns[c], "\" of ", what,
           " has lists, expected one value per row");
    if (is_number && found[c]->kind() == value_kind::text)
      fail("funnel::schema \"", of, "\": column \"", plan.columns[c], "\" of ", what,
           " is text, expected numbers");
  };
  for (const category_plan& c : plan.categories) {
    const bool keyed = c.source == category_source::vocabulary || c.source == category_source::hash;
    check(c.column, false, !keyed);
    check(c.column2, false, true);
  }
  for (const number_plan& n : plan.numbers) check(n.column, false, true);
  for (const std::size_t c : plan.ages) check(c, false, true);
  for (const vector_plan& v : plan.vectors) check(v.column, true, true);
  for (const key_plan& k : plan.keys) check(k.column, false, false);
  return found;
}

}  // namespace funnel::detail
