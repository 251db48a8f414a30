// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/schema_options.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace funnel::detail {

/// The first part of planning: options, keys, tables, and the features that are read from columns.
class column_planner {
 protected:
  explicit column_planner(const schema_options& options) : options_(options) {
    check_options();
    keep_keys();
    for (std::size_t side = 0; side < sides; ++side)
      for (const feature& f : options_.of(side)) {
        check_name(side, f);
        std::visit([&](const auto& kind) { add_simple(side, kind); }, f);
      }
    share_tables();
  }

  template <class... Parts>
  [[noreturn]] void refuse(std::size_t side, std::string_view name, const Parts&... parts) const {
    // `parts` say what is expected.
    throw std::invalid_argument(
        join_text("funnel::schema: ", side_names[side], ", \"", name, "\": ", parts...));
  }
  std::size_t& width(std::size_t side) { return plan_.of[side].width; }
  std::size_t take(std::size_t side, std::size_t count) {
    return std::exchange(width(side), width(side) + count);
  }

  void check_options() const {
    const auto needed = [&](std::string_view argument, const std::string& column, bool is_needed,
                            std::string_view by) {
      if (column.empty() && is_needed)
        fail("funnel::schema: ", argument, " is empty, expected a column name: ", by, " need it");
    };
    needed("user", options_.user, !options_.of_user.empty() || !options_.user_keys.empty(),
           "features of the user");
    needed("item", options_.item, !options_.of_item.empty() || !options_.item_keys.empty(),
           "features of the item");
    bool reads_time = false;
    for (std::size_t side = 0; side < sides; ++side)
      for (const feature& f : options_.of(side))
        reads_time = reads_time || std::visit([](const auto& kind) { return needs_time(kind); }, f);
    needed("time", options_.time, reads_time, "ages, times, counters and histories");
    check_that("schema", "delay", options_.delay.ticks, options_.delay.ticks >= 0, "0 or more");
    check_that("schema", "ticks_per_second", options_.ticks_per_second,
               options_.ticks_per_second >= 1 && options_.ticks_per_second <= 1'000'000'000,
               "1 to 1000000000");
    check_that("schema", "utc_offset", options_.utc_offset,
               options_.utc_offset >= -86400 && options_.utc_offset <= 86400, "-86400 to 86400");
    check_that("schema", "number_limit", options_.number_limit, options_.number_limit > 0,
               "a number above 0");
  }

  template <class Kind>
  static bool needs_time(const Kind& kind) {
    if constexpr (requires { kind.keys; } || std::is_same_v<Kind, age> ||
                  std::is_same_v<Kind, history>)
      return true;
    else if constexpr (std::is_same_v<Kind, time_of>)
      return kind.column.empty();
    else
      return false;
  }

  // A category and a number may have one name: two inputs of one column. Keys and tables, which are
  // found by name, are those of the category.
  static constexpr int is_number = 1, is_category = 2, is_other = 4;
  template <class Kind>
  static int name_kind(const Kind& kind) {
    if constexpr (std::is_same_v<Kind, number>)
      return kind.as == number_as::bucketized ? is_category : is_number;
    else
      return std::is_same_v<Kind, category> ? is_category : is_other;
  }
  void check_name(std::size_t side, const feature& f) {
    const std::string name(name_of(f));
    if (name.empty())
      fail("funnel::schema: ", side_names[side], " has a feature without a name, expected one");
    int& kinds = known_[{side, name}];
    const int kind = std::visit([](const auto& of) { return name_kind(of); }, f);
    if (kinds != 0 && kinds + kind != is_number + is_category)
      refuse(
          side, name,
          "there are two features of this name, expected one, or a category and a number that is "
          "not bucketized");
    kinds += kind;
  }

  /// Keys that features may count by: ids and the columns that are declared.
  void keep_keys() {
    if (!options_.user.empty()) keep_key(user_side, options_.user);
    if (!options_.item.empty()) keep_key(item_side, options_.item);
    for (const std::string& name : options_.user_keys) keep_key(user_side, name);
    for (const std::string& name : options_.item_keys) keep_key(item_side, name);
    for (const std::string& name : options_.context_keys) keep_key(context_side, name);
  }
  std::size_t keep_key(std::size_t side, const std::string& name, std::size_t category = no_index) {
    side_plan& plan = plan_.of[side];
    for (std::size_t k = 0; k < plan.keys.size(); ++k)
      if (plan.keys[k].name == name) {
        if (category != no_index) plan.keys[k].category = category;
        return k;
      }
    plan.keys.push_back({name, plan.column(name), category});
    return plan.keys.size() - 1;
  }

  void check_drop_rate(std::size_t side, std::string_view name, double drop_rate) const {
    if (!(drop_rate >= 0 && drop_rate < 1))
      refuse(side, name, "drop_rate is ", drop_rate, ", expected a number in [0, 1)");
  }

  // Tables

  std::size_t add_table(std::size_t side, table_plan table) {
    // Users and items may both have a "country"; files know tables by name.
    if (std::ranges::find(plan_.tables, table.name, &table_plan::name) != plan_.tables.end())
      table.name = join_text(side_names[side], ".", table.name);
    plan_.tables.push_back(std::move(table));
    return plan_.tables.size() - 1;
  }
  template <class Kind>
  std::size_t table_of(std::size_t side, const Kind& kind, std::string_view name) {
    if constexpr (requires { kind.share; }) {
      if (!kind.share.empty()) return no_index;  // found by share_tables
    }
    table_plan table{.name = std::string(name), .dim = kind.dim};
    if constexpr (requires { kind.hash_rows; }) {
      if (kind.hash_rows == 1) refuse(side, name, "hash_rows is 1, expected 0, or 2 or more");
      table.fixed_rows = kind.hash_rows;
    }
    table.min_count = kind.min_count;
    if (table.fixed_rows == 0) table.vocabulary = plan_.vocabularies++;
    return add_table(side, std::move(table));
  }
  /// Finds the tables of the features that share one.
  void share_tables() {
    for (std::size_t side = 0; side < sides; ++side) {
      for (const feature& f : options_.of(side)) {
        std::visit(
            [&](const auto& kind) {
              if constexpr (requires { kind.share; }) {
                if (!kind.share.empty()) share_table(side, kind.column, kind.share);
              }
            },
            f);
      }
    }
  }
  void share_table(std::size_t side, const std::string& name, const std::string& from) {
    std::size_t table = no_index;
    for (const side_plan& other : plan_.of) {
      for (const category_plan& c : other.categories)
        if (c.name == from &&
            (c.source == category_source::vocabulary || c.source == category_source::hash))
          table = c.table;
      for (const list_plan& l : other.lists)
        if (l.name == from && l.table != no_index) table = l.table;
    }
    if (table == no_index || from == name)
      refuse(side, name, "share is \"", from, "\", expected a category with a table of its own");
    for (category_plan& c : plan_.of[side].categories)
      if (c.name == name) {
        c.table = table;
        c.source = plan_.tables[table].vocabulary == no_index ? category_source::hash
                                                              : category_source::vocabulary;
      }
    for (list_plan& l : plan_.of[side].lists)
      if (l.name == name) l.table = table;
  }

  // Features of columns

  void add_simple(std::size_t side, const category& f) {
    check_drop_rate(side, f.column, f.drop_rate);
    side_plan& plan = plan_.of[side];
    plan.categories.push_back(
        {.name = f.column,
         .source = f.hash_rows > 0 ? category_source::hash : category_source::vocabulary,
         .table = table_of(side, f, f.column),
         .column = plan.column(f.column),
         .drop_rate = f.drop_rate});
    keep_key(side, f.column);
  }
  void add_simple(std::size_t side, const category_list& f) {
    side_plan& plan = plan_.of[side];
    plan.lists.push_back({f.column, table_of(side, f, f.column), plan.column(f.column)});
  }
  void add_simple(std::size_t side, const number& f) {
    check_drop_rate(side, f.column, f.drop_rate);
    side_plan& plan = plan_.of[side];
    if (f.as == number_as::bucketized) {
      add_bucket(side, f, f.column, plan.column(f.column), no_index, f.drop_rate);
      keep_key(side, f.column, plan.categories.size() - 1);
      return;
    }
    add_number(side, f.column,
               {.name = f.column, .source = number_source::column, .column = plan.column(f.column)},
               f.as);
    plan.numbers.back().drop_rate = f.drop_rate;
  }
  void add_simple(std::size_t side, const vector_of& f) {
    if (f.size == 0 || f.size > 65536)
      refuse(side, f.column, "size is ", f.size, ", expected 1 to 65536");
    plan_.of[side].vectors.push_back({f.column, plan_.of[side].column(f.column), f.size, 0});
  }
  void add_simple(std::size_t side, const place& f) {
    if (f.longitude.empty()) refuse(side, f.latitude, "longitude is empty, expected a column name");
    if (f.length < 1 || f.length > 12)
      refuse(side, f.latitude, "length is ", f.length, ", expected 1 to 12");
    side_plan& plan = plan_.of[side];
    plan.categories.push_back({.name = f.latitude,
                               .source = category_source::place,
                               .table = table_of(side, f, f.latitude),
                               .column = plan.column(f.latitude),
                               .column2 = plan.column(f.longitude),
                               .length = f.length});
  }
  void add_simple(std::size_t side, const time_of& f) {
    side_plan& plan = plan_.of[side];
    if (f.column.empty() && side != context_side)
      refuse(side, "time", "the time of the row is of the request, expected in of_context");
    const std::string name = f.column.empty() ? "time" : f.column;
    const std::size_t column = f.column.empty() ? no_index : plan.column(f.column);
    const auto add = [&](category_source source, const char* part, std::size_t rows) {
      const std::string full = name + "." + part;
      plan.categories.push_back(
          {.name = full,
           .source = source,
           .table = add_table(side, {.name = full, .fixed_rows = rows, .dim = f.dim}),
           .column = column});
    };
    if (f.hour) add(category_source::hour, "hour", 25);
    if (f.weekday) add(category_source::weekday, "weekday", 8);
    if (f.weekend)
      add_number(side, name,
                 {.name = name + ".weekend", .source = number_source::weekend, .column = column},
                 number_as::raw);
    if (f.holidays.empty()) return;
    add_number(side, name,
               {.name = name + ".holiday",
                .source = number_source::holiday,
                .column = column,
                .holidays = f.holidays},
               number_as::raw);
    std::ranges::sort(plan.numbers.back().holidays);
  }
  void add_simple(std::size_t side, const age& f) {
    side_plan& plan = plan_.of[side];
    const std::size_t kept = plan.ages.size();
    plan.ages.push_back(plan.column(f.column));
    if (f.as == number_as::bucketized) return add_bucket(side, f, f.column, no_index, kept, 0);
    add_number(side, f.column, {.name = f.column, .source = number_source::age, .age = kept}, f.as);
  }
  void add_simple(std::size_t, const auto&) {}  // a counter or a history

  template <class Kind>
  void add_bucket(std::size_t side, const Kind& f, const std::string& name, std::size_t column,
                  std::size_t age, double drop_rate) {
    if (f.buckets < 2 || f.buckets > 65536)
      refuse(side, name, "buckets is ", f.buckets, ", expected 2 to 65536");
    const std::size_t table = add_table(
        side, {.name = name, .bounds = plan_.bounds++, .fixed_rows = f.buckets + 1, .dim = f.dim});
    plan_.of[side].categories.push_back({.name = name,
                                         .source = category_source::bucket,
                                         .table = table,
                                         .column = column,
                                         .age = age,
                                         .drop_rate = drop_rate});
  }
  void add_number(std::size_t side, std::string_view name, number_plan planned, number_as as) {
    if (as > number_as::bucketized)
      refuse(side, name, "number_as is ", static_cast<int>(as), ", expected below 4");
    planned.log1p = as == number_as::log1p;
    planned.scaled = as != number_as::raw;
    planned.offset = take(side, 1);
    if (planned.source == number_source::column || planned.source == number_source::age)
      planned.missing_offset = take(side, 1);
    plan_.of[side].numbers.push_back(std::move(planned));
  }

  const schema_options& options_;
  feature_plan plan_;

 private:
  std::map<std::pair<std::size_t, std::string>, int> known_;  // what has the name: sum of is_...
};

}  // namespace funnel::detail
