// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/features/columns.hpp>
#include <funnel/features/detail/event_queue.hpp>
#include <funnel/features/detail/feature_plan.hpp>
#include <funnel/features/detail/side_reader.hpp>
#include <funnel/features/hashing.hpp>
#include <funnel/features/schema.hpp>
#include <funnel/features/vocabulary.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel::detail {

/// A log with its tables: the cells of each side of each row, and the rows by request.
class log_reader {
 public:
  static constexpr std::size_t no_row = ~std::size_t{0};

  /// `known_users` and `known_items` tell that the values of users or items are known already: then
  /// their columns may be missing.
  ///
  /// Errors      std::invalid_argument as `fit_schema`.
  log_reader(const schema& features, const columns& log, const columns& users, const columns& items,
             bool known_users = false, bool known_items = false)
      : options_(features.options()), rows_(log.rows()), events_(features, log) {
    if (rows_ == 0) fail("funnel::fit_schema: the log has 0 rows, expected 1 or more");
    check_size_of_32_bits("fit_schema", "rows of the log", rows_);
    for (std::size_t i = 0; i < rows_; ++i) events_.check(i);
    read_entities(features, user_side, log, users, known_users, "the user table");
    read_entities(features, item_side, log, items, known_items, "the item table");
    of_[context_side] = columns_of_side(features, context_side, log, "the log");
    of_[cross_side] = columns_of_side(features, cross_side, log, "the log");
    for (const std::string& label : options_.labels) labels_.push_back(&number_column(log, label));
    group(log);
  }

  std::size_t rows() const { return rows_; }
  std::size_t requests() const { return offsets_.size() - 1; }
  /// The rows of the log of request r, in their order.
  std::span<const std::uint32_t> rows_of(std::size_t r) const {
    return std::span(order_).subspan(offsets_[r], offsets_[r + 1] - offsets_[r]);
  }
  std::span<const std::uint32_t> offsets() const { return offsets_; }
  std::span<const std::uint32_t> order() const { return order_; }
  std::int64_t time(std::size_t r) const { return times_[r]; }
  const action_columns& events() const { return events_; }
  std::span<const column* const> labels() const { return labels_; }

  /// Whether the values of users or items come from a table, not from the log.
  bool has_table(std::size_t side) const { return side < 2 && has_table_[side]; }
  std::size_t table_rows(std::size_t side) const { return table_ids_[side].size(); }
  std::uint64_t table_id(std::size_t side, std::size_t row) const { return table_ids_[side][row]; }
  row_cells table_cells(std::size_t side, std::size_t row) const { return {of_[side], row}; }

  /// The row of the columns of a side that belongs to row i of the log; no_row if its table does
  /// not have it.
  std::size_t side_row(std::size_t side, std::size_t i) const {
    if (!has_table(side)) return i;
    const std::uint32_t row =
        known_[side].find(side == user_side ? events_.user(i) : events_.item(i));
    return row == 0 ? no_row : last_row_[side][row];
  }
  row_cells cells(std::size_t side, std::size_t row) const { return {of_[side], row}; }

  /// The share of rows of the log in which a column of a side has a value.
  double coverage(std::size_t side, std::size_t c) const {
    std::size_t present = 0;
    const column& values = *of_[side][c];
    for (std::size_t i = 0; i < rows_; ++i) {
      const std::size_t row = side_row(side, i);
      if (row == no_row) continue;
      for (std::size_t j = values.begin(row); j < values.end(row); ++j)
        if (values.has_value(j)) {
          ++present;
          break;
        }
    }
    return static_cast<double>(present) / static_cast<double>(rows_);
  }

 private:
  const column& number_column(const columns& log, const std::string& name) const {
    const column& values = log[name];
    if (values.is_list() || values.kind() == value_kind::text)
      fail("funnel::fit_schema: label \"", name, "\" is ", values.is_list() ? "a list" : "text",
           ", expected one number per row");
    return values;
  }

  /// Finds the columns of users or items: those of their table, else of the log, else none if their
  /// values are known.
  void read_entities(const schema& features, std::size_t side, const columns& log,
                     const columns& table, bool known, std::string_view what) {
    has_table_[side] = table.size() > 0;
    if (has_table_[side]) {
      of_[side] = columns_of_side(features, side, table, what);
      index(table[side == user_side ? options_.user : options_.item], what, side);
      return;
    }
    const std::vector<std::string>& needed = features.plan().of[side].columns;
    const bool in_log = std::ranges::all_of(
        needed, [&](const std::string& name) { return log.find(name) != nullptr; });
    has_table_[side] = known && !in_log;  // a table without rows: what is known stays
    if (!has_table_[side]) of_[side] = columns_of_side(features, side, log, "the log");
  }

  /// The row of each id of a table; the last one if an id is repeated.
  void index(const column& ids, std::string_view what, std::size_t side) {
    last_row_[side].push_back(no_row);
    for (std::size_t i = 0; i < ids.rows(); ++i) {
      const std::uint64_t id = ids.key(ids.begin(i));
      if (id == missing_key)
        fail("funnel::fit_schema: row ", i, " of ", what, " has no id, expected one");
      const std::uint32_t row = known_[side].add(id);
      if (row == last_row_[side].size()) last_row_[side].push_back(i);
      last_row_[side][row] = i;
      table_ids_[side].push_back(id);
    }
  }

  /// Orders the rows by request, and the requests by time. A request has the time of its first row.
  void group(const columns& log) {
    std::vector<std::uint32_t> request_of(rows_);
    std::iota(request_of.begin(), request_of.end(), 0u);
    std::vector<std::uint32_t> first(request_of);  // of each request, the row with the least time
    if (!options_.request.empty()) {
      const column& requests = log[options_.request];
      vocabulary known;
      first.clear();
      for (std::uint32_t i = 0; i < rows_; ++i) {
        const std::uint64_t key = requests.key(requests.begin(i));
        if (key == missing_key)
          fail("funnel::fit_schema: row ", i, " of the log has no \"", options_.request,
               "\", expected a request");
        const std::uint32_t r = known.add(key) - 1;
        request_of[i] = r;
        if (r == first.size()) first.push_back(i);
        if (events_.user(i) != events_.user(first[r]))
          fail("funnel::fit_schema: rows ", first[r], " and ", i,
               " of the log are of one request and of two users, expected one user");
        if (events_.time(i) < events_.time(first[r])) first[r] = i;
      }
    }
    std::vector<std::int64_t> times(first.size());
    for (std::size_t r = 0; r < times.size(); ++r) times[r] = events_.time(first[r]);
    std::vector<std::uint32_t> by_time(first.size());
    std::iota(by_time.begin(), by_time.end(), 0u);
    if (!std::ranges::is_sorted(times))
      std::ranges::sort(by_time, {}, [&](std::uint32_t r) { return std::pair(times[r], r); });
    std::vector<std::uint32_t> rank(first.size());
    for (std::uint32_t k = 0; k < by_time.size(); ++k) rank[by_time[k]] = k;
    offsets_.assign(first.size() + 1, 0);
    for (std::uint32_t i = 0; i < rows_; ++i) ++offsets_[rank[request_of[i]] + 1];
    std::partial_sum(offsets_.begin(), offsets_.end(), offsets_.begin());
    std::vector<std::uint32_t> next(offsets_.begin(), offsets_.end() - 1);
    order_.resize(rows_);
    for (std::uint32_t i = 0; i < rows_; ++i) order_[next[rank[request_of[i]]]++] = i;
    for (const std::uint32_t r : by_time) times_.push_back(times[r]);
  }

  const schema_options& options_;
  std::size_t rows_;
  action_columns events_;
  std::array<bool, 2> has_table_{};
  std::array<std::vector<const column*>, sides> of_;
  std::array<vocabulary, 2> known_;
  std::array<std::vector<std::size_t>, 2> last_row_;
  std::array<std::vector<std::uint64_t>, 2> table_ids_;
  std::vector<const column*> labels_;
  std::vector<std::uint32_t> order_;    // rows of the log by request
  std::vector<std::uint32_t> offsets_;  // [requests + 1]
  std::vector<std::int64_t> times_;     // [requests]
};

}  // namespace funnel::detail
