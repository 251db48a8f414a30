// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/data/detail/log_record.hpp>
#include <funnel/features/row_batch.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

// The rows of one request as bytes, and back.
namespace funnel::detail {

inline void write_rows(const row_batch& rows, const byte_writer& to) {
  for (std::size_t s = 0; s < 4; ++s) {
    const side_values& side = rows.side(s);
    to.size(side.rows);
    to.size(side.categories.size());
    for (const auto& column : side.categories) to.values(std::span<const std::uint32_t>(column));
    to.size(side.lists.size());
    for (const auto& list : side.lists) {
      to.array(list.offsets);
      to.array(list.ids);
    }
    to.array(side.numbers);
  }
  to.size(rows.histories.size());
  for (const history_values& history : rows.histories) {
    to.size(history.fields.size());
    to.size(history.offsets.back());
    for (const auto& field : history.fields) to.values(std::span<const std::uint32_t>(field));
  }
}

/// Errors      format_error if the bytes are not those of one request with `count` rows.
inline void read_rows(byte_reader& from, std::size_t count, row_batch& rows) {
  const auto expect = [](bool fits) {
    if (!fits) throw format_error("the rows of a request do not fit together");
  };
  for (std::size_t s = 0; s < 4; ++s) {
    side_values& side = rows.side(s);
    side.rows = from.size();
    expect(side.rows == (s == 0 || s == 2 ? 1 : count));
    // Columns without rows take no bytes: no more of them than a schema may have.
    const std::size_t categories = from.size();
    expect(categories <= 65536);
    side.categories.resize(categories);
    for (auto& column : side.categories) from.array(column, side.rows);
    side.lists.resize(from.count(8));
    for (auto& list : side.lists) {
      from.array(list.offsets);
      from.array(list.ids);
      expect(list.offsets.size() == side.rows + 1 && list.offsets.front() == 0 &&
             list.offsets.back() == list.ids.size());
      for (std::size_t i = 1; i < list.offsets.size(); ++i)
        expect(list.offsets[i] >= list.offsets[i - 1]);
    }
    from.array(side.numbers);
    expect(side.rows == 0 ? side.numbers.empty() : side.numbers.size() % side.rows == 0);
  }
  rows.histories.resize(from.count(8));
  for (history_values& history : rows.histories) {
    const std::size_t fields = from.size(), events = from.size();
    expect(fields <= 65536);
    history.fields.resize(fields);
    for (auto& field : history.fields) from.array(field, events);
    history.offsets.assign({0, static_cast<std::uint32_t>(events)});
  }
  rows.offsets.assign({0, static_cast<std::uint32_t>(count)});
  rows.step_rows = count;
}

}  // namespace funnel::detail
