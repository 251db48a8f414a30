// SPDX-License-Identifier: MIT
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/row_batches.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

using namespace funnel;

namespace {

std::vector<log_row> rows_of_request(const std::vector<log_row>& rows, const encoded_log& encoded,
                                     std::size_t r) {
  std::vector<log_row> found;
  for (std::uint32_t i = encoded.offsets()[r]; i < encoded.offsets()[r + 1]; ++i)
    found.push_back(rows[encoded.log_rows()[i]]);
  return found;
}

/// Replays a log as a server sees it, and compares every request with its training rows.
std::size_t compare(const std::vector<log_row>& rows, const schema& features,
                    const encoded_log& encoded) {
  feature_state state(features);
  row_batch trained;
  std::size_t compared = 0;
  for (std::size_t r = 0, end = 0; r < encoded.requests(); r = end) {
    const std::int64_t time = encoded.times()[r];
    for (; end < encoded.requests() && encoded.times()[end] == time; ++end) {
      const column_table values = table_of(rows_of_request(rows, encoded, end));
      state.tell_users(features, values);
      state.tell_items(features, values);
    }
    state.advance(features, time);
    request_encoder encode(features, state);
    for (std::size_t i = r; i < end; ++i) {
      const std::vector<log_row> shown = rows_of_request(rows, encoded, i);
      std::vector<std::int64_t> items;
      std::vector<double> positions;
      for (const log_row& row : shown) items.push_back(row.item), positions.push_back(row.position);
      const row_batch& served = encode(shown[0].user, items, time, {{"device", shown[0].device}},
                                       {{"position", column(std::span<const double>(positions))}});
      encoded.gather(std::vector<std::uint32_t>{static_cast<std::uint32_t>(i)}, trained);
      compared += same_batch(served, trained) ? 1 : 0;
    }
    for (std::size_t i = r; i < end; ++i)
      state.tell(features, table_of(rows_of_request(rows, encoded, i)));
  }
  return compared;
}

}  // namespace

TEST_CASE(
    "a request at the time of a row, with the state of that time, equals the row to the bit") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    for (const event_delay delay : {event_delay{}, event_delay{.ticks = 30'000}, to_midnight}) {
      INFO(seed << ", delay " << delay.ticks << ' ' << delay.until_midnight);
      const auto rows = random_log(seed, {.categories_change = seed % 2 == 1,
                                          .devices_change = seed % 3 == 1,
                                          .times_change = seed % 3 == 2});
      const column_table log = table_of(rows);
      schema_options options = every_kind(delay);
      options.of_item.push_back(category{"price"});  // beside the number of this column
      options.of_cross.push_back(category{"position"});
      schema features(options);
      const fitted past = fit_schema(features, log);
      CHECK(compare(rows, features, past.rows) == past.rows.requests());
    }
  }
}
