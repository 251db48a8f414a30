// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/features/bucketize.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/log_reader.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/features/vocabulary.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace funnel::detail {

/// The age of a time at another, in hours; NaN if one is missing.
inline double age_in_hours(const schema_options& options, std::int64_t time, std::int64_t since) {
  if (since == no_time || time == no_time) return std::numeric_limits<double>::quiet_NaN();
  return (static_cast<double>(time) - static_cast<double>(since)) /
         (3600 * static_cast<double>(options.ticks_per_second));
}

/// The vocabularies and bucket boundaries of the rows of a log. Means and factors are those that
/// change nothing.
inline fitted_values fit_values(const schema& features, const log_reader& log) {
  const feature_plan& plan = features.plan();
  fitted_values values;
  std::vector<std::vector<std::uint64_t>> ids(plan.vocabularies);
  std::vector<std::vector<float>> numbers(plan.bounds);
  const auto vocabulary_of = [&](std::size_t table) {
    return table == no_index ? no_index : plan.tables[table].vocabulary;
  };
  // The category of the item's id, which the items of given histories count for, too.
  std::size_t item_ids = no_index;
  for (const category_plan& c : plan.of[item_side].categories)
    if (c.source == category_source::vocabulary && c.name == features.options().item)
      item_ids = vocabulary_of(c.table);

  for (std::size_t side = 0; side < sides; ++side) {
    const side_plan& of = plan.of[side];
    for (std::size_t i = 0; i < log.rows(); ++i) {
      const std::size_t row = log.side_row(side, i);
      if (row == log_reader::no_row) continue;
      const row_cells cells = log.cells(side, row);
      const auto add = [&](std::size_t vocabulary, std::uint64_t key) {
        if (vocabulary != no_index && key != missing_key) ids[vocabulary].push_back(key);
      };
      for (const category_plan& c : of.categories) {
        if (c.source == category_source::vocabulary) {
          add(vocabulary_of(c.table), cells.key(c.column));
        } else if (c.source == category_source::place) {
          add(vocabulary_of(c.table),
              place_key(cells.number(c.column), cells.number(c.column2), c.length));
        } else if (c.source == category_source::bucket) {
          const double value = c.age == no_index
                                   ? cells.number(c.column)
                                   : age_in_hours(features.options(), log.events().time(i),
                                                  cells.time(of.ages[c.age]));
          numbers[plan.tables[c.table].bounds].push_back(raw_number(value, false));
        }
      }
      for (const list_plan& l : of.lists)
        for (std::size_t j = 0, n = cells.count(l.column); j < n; ++j)
          add(l.table == no_index ? item_ids : vocabulary_of(l.table), cells.key(l.column, j));
    }
  }
  for (std::size_t v = 0; v < ids.size(); ++v) {
    std::size_t min_count = 1;
    for (const table_plan& table : plan.tables)
      if (table.vocabulary == v) min_count = table.min_count;
    values.vocabularies.emplace_back(ids[v], vocabulary_options{.min_count = min_count});
    std::vector<std::uint64_t>().swap(ids[v]);
  }
  for (std::size_t b = 0; b < numbers.size(); ++b) {
    std::size_t buckets = 2;
    for (const table_plan& table : plan.tables)
      if (table.bounds == b) buckets = table.fixed_rows - 1;
    values.bounds.push_back(quantile_boundaries(numbers[b], buckets));
  }
  for (std::size_t side = 0; side < sides; ++side) {
    values.means[side].assign(plan.of[side].scaled_width, 0);
    values.factors[side].assign(plan.of[side].scaled_width, 1);
  }
  return values;
}

}  // namespace funnel::detail
