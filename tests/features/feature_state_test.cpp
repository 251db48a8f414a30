// SPDX-License-Identifier: MIT
#include <funnel/features/feature_state.hpp>

#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <cstdint>
#include <stdexcept>
#include <vector>

using namespace funnel;

namespace {

/// A state with events that are counted, and some that wait.
struct example {
  std::vector<log_row> rows = random_log(1, {.requests = 100});
  schema features;
  feature_state state;

  explicit example(event_delay delay = {.ticks = 100'000}) : features(every_kind(delay)) {
    state = fit_schema(features, table_of(rows)).state;
  }
};

std::vector<float> numbers_of(const schema& features, const feature_state& state,
                              std::int64_t time) {
  request_encoder encode(features, state);
  const std::vector<double> positions{0, 1, 2};
  const row_batch& batch = encode(101, std::vector<int>{1, 2, 3}, time, {{"device", "ios"}},
                                  {{"position", column(std::span<const double>(positions))}});
  std::vector<float> all = batch.item.numbers;
  for (const std::size_t side : {0u, 2u, 3u})
    all.insert(all.end(), batch.side(side).numbers.begin(), batch.side(side).numbers.end());
  for (const auto& field : batch.histories[0].fields)
    for (const std::uint32_t id : field) all.push_back(static_cast<float>(id));
  return all;
}

}  // namespace

TEST_CASE("a saved state is the same when it is loaded, with the events that wait") {
  const example e;
  const saved_state file = saved_state(e.state);
  feature_state loaded(e.features);
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  CHECK(loaded.time() == e.state.time());
  feature_state original = e.state;
  CHECK(numbers_of(e.features, loaded, 500'000) == numbers_of(e.features, original, 500'000));
  const auto before = numbers_of(e.features, loaded, 900'000);
  loaded.advance(e.features, 900'000);
  original.advance(e.features, 900'000);
  CHECK(numbers_of(e.features, loaded, 900'000) == numbers_of(e.features, original, 900'000));
  CHECK(numbers_of(e.features, loaded, 900'000) != before);  // some were waiting
}

TEST_CASE("a state belongs to one schema, and another is refused with both names") {
  const example e;
  schema other(every_kind());
  fit_schema(other, table_of(random_log(2)));
  feature_state state = e.state;
  const auto names_both = [&](const auto& call) {
    return refuses(call, "funnel::", e.features.label()) &&
           refuses(call, "funnel::", other.label());
  };
  CHECK(names_both([&] { request_encoder(other, state); }));
  CHECK(names_both([&] { state.tell(other, table_of(e.rows)); }));
  CHECK(names_both([&] { state.tell_items(other, table_of(e.rows)); }));
  CHECK(names_both([&] { state.advance(other, 1); }));
  CHECK(names_both([&] { encode_log(other, state, table_of(e.rows)); }));
  CHECK(saved_state(state) == saved_state(e.state));
  CHECK(
      refuses([] { feature_state(schema(every_kind())); }, "funnel::feature_state", "not fitted"));
}

TEST_CASE("late events count from then on, and histories stay in the order of time") {
  schema features({.of_user = {category{"user_id"}, rate{"r", "user_id", "click"},
                               history{.name = "seen", .last = 3, .fields = "item_id"}},
                   .of_item = {category{"item_id"}}});
  const auto log_of = [](std::vector<int> items, std::vector<int> times) {
    column_table log;
    log.add("user_id", items.size(), [](std::size_t) { return 1; });
    log.add("item_id", items);
    log.add("time", times);
    log.add("click", items.size(), [](std::size_t) { return 1; });
    return log;
  };
  const fitted past = fit_schema(features, log_of({1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}));
  feature_state state(features);
  const auto seen = [&] {
    request_encoder encode(features, state);
    return encode(1, std::vector<int>{1}, 100).histories[0].fields[0];
  };
  state.tell(features, log_of({1, 3, 5}, {10, 30, 50}));
  state.advance(features, 100);
  CHECK(seen() == std::vector<std::uint32_t>{1, 3, 5});
  state.tell(features, log_of({4}, {40}));
  CHECK(seen() == std::vector<std::uint32_t>{1, 3, 5});  // not before the next advance
  state.advance(features, 100);
  CHECK(seen() == std::vector<std::uint32_t>{3, 4, 5});
}

TEST_CASE("a damaged state is refused") {
  const example e;
  const saved_state file = saved_state(e.state);
  std::size_t cut = 0;
  for (const auto& [path, values] : file.fields) {
    if (values.size() <= 8 || path == "label") continue;
    saved_state damaged = file;
    damaged.fields[path].resize(values.size() / 2 / 8 * 8);
    ++cut;
    feature_state loaded(e.features);
    INFO(path);
    CHECK_THROWS_AS(damaged.load(loaded), format_error);
  }
  CHECK(cut > 20);
}

TEST_CASE("events and tables that do not fit are refused, and nothing is told") {
  const example e;
  feature_state state = e.state;
  column_table none;
  none.add("user_id", std::vector<int>{1});
  CHECK(refuses([&] { state.tell(e.features, none); }, "funnel::schema", "is missing"));
  CHECK(refuses([&] { state.tell_items(e.features, none); }, "funnel::schema", "is missing"));
  std::vector<log_row> rows = random_log(3, {.requests = 2});
  column_table log = table_of(rows);
  column_table broken;
  const columns all = log;
  broken.add("user_id", rows.size(), [&](std::size_t i) {
    return i + 1 == rows.size() ? std::optional<std::int64_t>() : rows[i].user;
  });
  columns view;
  for (std::size_t c = 0; c < all.size(); ++c)
    view.add(all.name(c), all.name(c) == "user_id" ? broken.view()["user_id"] : all[c]);
  CHECK(refuses([&] { state.tell(e.features, view); }, "funnel::schema", "no usable \"user_id\""));
  CHECK(saved_state(state) == saved_state(e.state));
}
