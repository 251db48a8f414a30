// SPDX-License-Identifier: MIT
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/row_batches.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
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
                    const encoded_log& encoded, const request_encoder_options& options = {}) {
  feature_state state(features);
  request_encoder encode(features, state, options);
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
      // No room to keep numbers of counters, room for few, or for all.
      for (const std::size_t bytes : {std::size_t{0}, std::size_t{1000}, std::size_t{1} << 20})
        CHECK(compare(rows, features, past.rows, {.counter_bytes = bytes}) == past.rows.requests());
    }
  }
}

TEST_CASE("requests of many items equal their rows to the bit") {
  const auto rows = random_log(
      3, {.requests = 12, .most_rows = 900, .users = 4, .items = 500, .last_time = 100'000});
  schema features(every_kind({}));
  const fitted past = fit_schema(features, table_of(rows));
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{10'000}, std::size_t{1} << 20})
    CHECK(compare(rows, features, past.rows, {.counter_bytes = bytes}) == past.rows.requests());
}

TEST_CASE("an encoder follows its state when it changes, or another one is assigned to it") {
  const auto rows = random_log(5);
  schema features(every_kind(to_midnight));
  const fitted past = fit_schema(features, table_of(rows));
  feature_state state = past.state;
  request_encoder encode(features, state);
  const auto values = [](request_encoder& by) {
    const std::vector<std::int64_t> items{1, 2, 3};
    const std::vector<double> positions(3);
    return row_batch(by(100, items, 400'000, {{"device", "ios"}},
                        {{"position", column(std::span<const double>(positions))}}));
  };
  const row_batch of_past = values(encode);
  state.advance(features, std::int64_t{1} << 40);  // after midnight
  {
    request_encoder fresh(features, state);
    CHECK(same_batch(values(encode), values(fresh)));
    CHECK_FALSE(same_batch(values(encode), of_past));
  }
  state = feature_state(features);
  request_encoder fresh(features, state);
  CHECK(same_batch(values(encode), values(fresh)));
  CHECK_FALSE(same_batch(values(encode), of_past));
  state = past.state;
  CHECK(same_batch(values(encode), of_past));
}

TEST_CASE("an encoder goes on with another state of its schema") {
  schema features(every_kind({}));
  const fitted past = fit_schema(features, table_of(random_log(5)));
  const feature_state empty(features);
  const schema copy = features;
  const std::vector<std::int64_t> items{1, 2, 3};
  const auto values = [&](request_encoder& by) {
    return row_batch(by(100, items, 400'000, {{"device", "ios"}}, {cross_values("position")}));
  };
  request_encoder encode(features, past.state), fresh(copy, empty);
  const row_batch of_past = values(encode);
  encode.follow(copy, empty);
  CHECK(same_batch(values(encode), values(fresh)));
  encode.follow(features, past.state);
  CHECK(same_batch(values(encode), of_past));
  schema other(every_kind({}));
  const fitted of_other = fit_schema(other, table_of(random_log(6)));
  CHECK(refuses([&] { encode.follow(other, of_other.state); }, "funnel::request_encoder::follow",
                "that of the encoder"));
  CHECK(refuses([&] { encode.follow(features, of_other.state); }, "funnel::request_encoder::follow",
                "for which the state was made"));
  CHECK(same_batch(values(encode), of_past));
}

TEST_CASE("a cross column may be missing for all items, and a user encoded without items") {
  const auto rows = random_log(6);
  schema features(every_kind({}));
  const fitted past = fit_schema(features, table_of(rows));
  request_encoder encode(features, past.state);
  const std::vector<std::int64_t> items{1, 2, 3, 99};
  const std::vector<double> nan(items.size(), std::numeric_limits<double>::quiet_NaN());
  const row_batch missing = encode(101, items, 400'000, {{"device", "ios"}},
                                   {{"position", column(std::span<const double>(nan))}});
  CHECK(same_batch(encode(101, items, 400'000, {{"device", "ios"}}, {cross_values("position")}),
                   missing));
  const row_batch alone = encode.user(101, 400'000, {{"device", "ios"}});
  CHECK(alone.requests() == 1);
  CHECK(alone.rows() == 0);
  CHECK(alone.item.rows == 0);
  CHECK(alone.user.numbers == missing.user.numbers);
  CHECK(alone.user.categories == missing.user.categories);
  CHECK(alone.context.numbers == missing.context.numbers);
  CHECK(alone.context.categories == missing.context.categories);
  for (std::size_t h = 0; h < missing.histories.size(); ++h)
    CHECK(alone.histories[h].fields == missing.histories[h].fields);
  CHECK(refuses([&] { encode.user(101, 400'000); }, "funnel::request_encoder",
                "\"device\" of of_context is missing"));
  CHECK(refuses(
      [&] {
        encode(101, std::vector<int>{}, 400'000, {{"device", "ios"}});
      },
      "funnel::request_encoder", "items"));
}
