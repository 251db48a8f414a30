// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/sequence/event_embedding.hpp>
#include <funnel/sequence/history_event.hpp>
#include <funnel/sequence/time_bucket.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel::detail {

/// Rows of the tables of an `event_embedding` of item, category, action and time; 0 rows of actions or
/// time: there is no such table.
struct event_tables {
  std::size_t items, categories, actions, time_buckets;

  /// The row of an id; ids that the table does not have, such as those of new items, are row 0.
  static std::uint32_t row(std::uint32_t id, std::size_t rows) { return id < rows ? id : 0; }
};

/// Columns of m events in an arena, filled one event after another.
class event_rows {
 public:
  event_rows(arena& memory, std::size_t m, const event_tables& tables)
      : tables_(tables), items_(memory.allocate<std::uint32_t>(m)),
        categories_(memory.allocate<std::uint32_t>(m)), actions_(memory.allocate<std::uint32_t>(m)),
        times_(memory.allocate<std::uint32_t>(m)) {}

  void add(const history_event& event, std::int64_t now) {
    items_[size_] = event_tables::row(event.item, tables_.items);
    categories_[size_] = event_tables::row(event.category, tables_.categories);
    actions_[size_] = event_tables::row(event.action, tables_.actions);
    if (tables_.time_buckets > 0)
      times_[size_] = time_bucket(now, event.time, tables_.time_buckets);
    ++size_;
  }
  /// Columns for `event_embedding`, whose fields are `fields`.
  funnel::event_columns columns(std::span<std::span<const std::uint32_t>, 2> fields) const {
    fields[0] = {items_, size_};
    fields[1] = {categories_, size_};
    return {.fields = fields,
            .actions = {actions_, tables_.actions > 0 ? size_ : 0},
            .time_buckets = {times_, tables_.time_buckets > 0 ? size_ : 0}};
  }

 private:
  event_tables tables_;
  std::size_t size_ = 0;
  std::uint32_t* items_;
  std::uint32_t* categories_;
  std::uint32_t* actions_;
  std::uint32_t* times_;
};

}  // namespace funnel::detail
