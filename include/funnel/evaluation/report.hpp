// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/json_text.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/evaluation/detail/number_text.hpp>
#include <funnel/evaluation/detail/report_names.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// Report: named numbers, in the order in which they were first set. Dots in a name make groups:
/// "rank.click.auc" is the number "auc" of the group "rank.click".
///
///     report numbers;
///     numbers.set("rank.click.auc", .71);
///     numbers.json();   // {"rank": {"click": {"auc": 0.71}}}
///
/// A number may be NaN or infinite: a metric that does not exist is NaN.
class report {
 public:
  struct entry {
    std::string name;
    double value = 0;
  };

  /// Sets a number. A name that is set again keeps its place and gets the new value.
  ///
  /// Errors      std::invalid_argument if the name or a part between dots is empty, if the name is
  ///             not UTF-8, or if it would be both a number and a group ("auc" and "auc.click").
  ///             The report is unchanged then.
  /// Cost        O(numbers).
  void set(std::string_view name, double value) {
    detail::check_report_name(name);
    for (entry& e : entries_) {
      if (e.name == name) {
        e.value = value;
        return;
      }
      if (detail::is_in_group(e.name, name))
        detail::fail("funnel::report::set: name is ", detail::printable(name),
                     ", expected one that is not the group of ", detail::printable(e.name));
      if (detail::is_in_group(name, e.name))
        detail::fail("funnel::report::set: name is ", detail::printable(name),
                     ", expected one outside of ", detail::printable(e.name),
                     ", which is a number");
    }
    entries_.push_back({std::string(name), value});
  }

  /// The number of that name. A name that was never set is an error, so that a typing error is not
  /// taken for a metric that does not exist; `contains` asks.
  ///
  /// Errors      std::invalid_argument if the name was not set.
  double operator[](std::string_view name) const {
    const entry* found = find(name);
    if (found == nullptr)
      detail::fail("funnel::report: name is ", detail::printable(name), ", expected one of the ",
                   entries_.size(), " that were set");
    return found->value;
  }

  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// All numbers, in the order in which they were first set.
  std::span<const entry> entries() const { return entries_; }

  /// Sets all numbers of another report, with `prefix` and a dot before their names; with an empty
  /// prefix, under their own names.
  ///
  /// Errors      as `set`. The report is unchanged then.
  void merge(std::string_view prefix, const report& other) {
    report joined = *this;
    for (const entry& e : other.entries_)
      joined.set(prefix.empty() ? e.name : std::string(prefix) + '.' + e.name, e.value);
    entries_.swap(joined.entries_);
  }

  /// The numbers as nested JSON objects, one number per line. Groups stand where their first number
  /// was set.
  ///
  /// Numerics    the shortest digits that read back as the same number; null if it is NaN or
  ///             infinite.
  /// Source      RFC 8259.
  std::string json() const {
    std::vector<item> items;
    items.reserve(entries_.size());
    for (const entry& e : entries_) items.push_back({e.name, e.value});
    std::string text;
    append_json(items, 0, text);
    return text += '\n';
  }

  /// The numbers as a table for people: one line per group. Groups with the same metrics share a
  /// table, with one column per metric. Each table stands where its first number was set.
  ///
  /// Numerics    rounded to four decimals, or to four digits where a number of the column is above
  ///             10^7 or below 0.001; a column of whole numbers has no decimals; NaN is "-".
  std::string text() const {
    std::string text;
    for (const table& t : tables()) {
      if (!text.empty()) text += '\n';
      append_table(t, text);
    }
    return text;
  }

 private:
  /// A number, with the rest of its name below the group that is being written.
  struct item {
    std::string_view name;
    double value;
  };
  struct row {
    std::string_view group;
    std::vector<item> cells;
  };
  /// Groups with the same metrics.
  struct table {
    std::vector<std::string_view> metrics;
    std::vector<row> rows;
  };

  const entry* find(std::string_view name) const {
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const entry& e) { return e.name == name; });
    return found == entries_.end() ? nullptr : &*found;
  }

  static void append_json(std::span<const item> items, std::size_t depth, std::string& text) {
    struct child {
      std::string_view name;
      std::vector<item> items;  // with an empty name: a number
    };
    std::vector<child> children;
    for (const item& i : items) {
      const std::size_t dot = std::min(i.name.find('.'), i.name.size());
      const std::string_view name = i.name.substr(0, dot);
      auto at = std::find_if(children.begin(), children.end(),
                             [&](const child& c) { return c.name == name; });
      if (at == children.end()) at = children.insert(at, {name, {}});
      at->items.push_back({i.name.substr(std::min(dot + 1, i.name.size())), i.value});
    }
    text += '{';
    for (std::size_t c = 0; c < children.size(); ++c) {
      const child& of = children[c];
      text += c == 0 ? "\n" : ",\n";
      text.append(2 * (depth + 1), ' ');
      detail::append_json_string(text, of.name);
      text += ": ";
      if (of.items.front().name.empty())
        detail::append_json_number(text, of.items.front().value);
      else
        append_json(of.items, depth + 1, text);
    }
    if (!children.empty()) text.append("\n").append(2 * depth, ' ');
    text += '}';
  }

  std::vector<table> tables() const {
    std::vector<row> rows;
    for (const entry& e : entries_) {
      const std::string_view name = e.name;
      const std::size_t dot = name.rfind('.');
      const bool in_group = dot != std::string_view::npos;
      const std::string_view group = in_group ? name.substr(0, dot) : std::string_view();
      auto at =
          std::find_if(rows.begin(), rows.end(), [&](const row& r) { return r.group == group; });
      if (at == rows.end()) at = rows.insert(at, {group, {}});
      at->cells.push_back({in_group ? name.substr(dot + 1) : name, e.value});
    }
    std::vector<table> tables;
    for (row& r : rows) {
      const auto has_metrics = [&](const table& t) {
        return t.metrics.size() == r.cells.size() &&
               std::all_of(r.cells.begin(), r.cells.end(), [&](const item& cell) {
                 return std::find(t.metrics.begin(), t.metrics.end(), cell.name) != t.metrics.end();
               });
      };
      auto at = std::find_if(tables.begin(), tables.end(), has_metrics);
      if (at == tables.end()) {
        at = tables.insert(at, table{});
        for (const item& cell : r.cells) at->metrics.push_back(cell.name);
      }
      const auto place = [&](const item& cell) {
        return std::find(at->metrics.begin(), at->metrics.end(), cell.name);
      };
      std::sort(r.cells.begin(), r.cells.end(),
                [&](const item& a, const item& b) { return place(a) < place(b); });
      at->rows.push_back(std::move(r));
    }
    return tables;
  }

  static void append_table(const table& t, std::string& text) {
    std::size_t name_width = 0;
    for (const row& r : t.rows) name_width = std::max(name_width, detail::width_of(r.group));
    std::vector<std::vector<std::string>> columns(t.metrics.size());
    std::vector<std::size_t> widths(t.metrics.size());
    for (std::size_t c = 0; c < columns.size(); ++c) {
      std::vector<double> values;
      for (const row& r : t.rows) values.push_back(r.cells[c].value);
      columns[c] = detail::column_texts(values);
      widths[c] = detail::width_of(t.metrics[c]);
      for (const std::string& cell : columns[c]) widths[c] = std::max(widths[c], cell.size());
    }
    const auto append_line = [&](std::string_view group, const auto& cell) {
      text.append(group).append(name_width - detail::width_of(group), ' ');
      for (std::size_t c = 0; c < columns.size(); ++c) {
        const std::string_view shown = cell(c);
        text.append(widths[c] - detail::width_of(shown) + 2, ' ').append(shown);
      }
      text += '\n';
    };
    append_line({}, [&](std::size_t c) { return t.metrics[c]; });
    for (std::size_t i = 0; i < t.rows.size(); ++i)
      append_line(t.rows[i].group,
                  [&](std::size_t c) -> std::string_view { return columns[c][i]; });
  }

  std::vector<entry> entries_;
};

}  // namespace funnel
