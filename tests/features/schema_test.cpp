// SPDX-License-Identifier: MIT
#include <funnel/features/schema.hpp>

#include <funnel/features/fit_schema.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <string>
#include <vector>

using namespace funnel;

namespace {

schema fitted_schema(const schema_options& options, std::uint64_t seed = 1) {
  schema features(options);
  fit_schema(features, table_of(random_log(seed)));
  return features;
}

}  // namespace

TEST_CASE("a schema has a fingerprint of its options and its constants") {
  const schema features = fitted_schema(every_kind());
  CHECK(features.is_fitted());
  CHECK(!schema(every_kind()).is_fitted());
  CHECK(fitted_schema(every_kind()).fingerprint() == features.fingerprint());
  CHECK(fitted_schema(every_kind(), 2).fingerprint() != features.fingerprint());
  CHECK(features.label().starts_with("shop "));
  CHECK(features.label().size() == 5 + 16);
  const auto differs = [&](const auto& change) {
    schema_options options = every_kind();
    change(options);
    return fitted_schema(options).fingerprint() != features.fingerprint();
  };
  CHECK(differs([](schema_options& o) { o.name = "other"; }));
  CHECK(differs([](schema_options& o) { o.delay = {.ticks = 1}; }));
  CHECK(differs([](schema_options& o) { std::get<category>(o.of_item[0]).min_count = 3; }));
  CHECK(differs([](schema_options& o) { std::get<category>(o.of_item[0]).dim = 3; }));
  CHECK(differs([](schema_options& o) { std::get<rate>(o.of_user[1]).prior_strength = 3; }));
  CHECK(differs([](schema_options& o) { o.labels = {"like", "click"}; }));
  CHECK(!differs([](schema_options&) {}));
}

TEST_CASE("a saved schema is the same when it is loaded") {
  schema_options options = every_kind(to_midnight);
  options.of_context.push_back(time_of{.column = "published", .holidays = {20240101, 19700102}});
  options.of_item.push_back(place{.latitude = "position", .longitude = "price"});
  options.of_item.push_back(number{.column = "seconds", .as = number_as::bucketized, .buckets = 4});
  const schema original = fitted_schema(options);
  const saved_state file = saved_state(original);
  schema loaded;
  file.load(loaded);
  CHECK(loaded.fingerprint() == original.fingerprint());
  CHECK(loaded.label() == original.label());
  CHECK(saved_state(loaded) == file);
  CHECK(loaded.rows_of("item_id") == original.rows_of("item_id"));
  const column_table log = table_of(random_log(4));
  CHECK(encode_log(loaded, feature_state(loaded), log).rows.rows() > 0);
  // One that is not fitted can be saved, too.
  schema plain(options), again;
  saved_state(plain).load(again);
  CHECK(!again.is_fitted());
  CHECK(fit_schema(again, table_of(random_log(1))).state.label() == original.label());
}

TEST_CASE("a damaged schema is refused, and the other is unchanged") {
  const schema original = fitted_schema(every_kind());
  const saved_state file = saved_state(original);
  for (const auto& [path, values] : file.fields) {
    for (std::size_t byte = 0; byte < values.size(); byte += 1 + values.size() / 64) {
      saved_state damaged = file;
      damaged.fields[path][byte] ^= std::byte{0x11};
      schema loaded;
      INFO(path << ' ' << byte);
      bool was_refused = false;
      try {
        damaged.load(loaded);
      } catch (const format_error&) {
        was_refused = true;
      } catch (const std::invalid_argument&) {
        was_refused = true;
      }
      CHECK(was_refused);
    }
  }
}

TEST_CASE("the rows of embedding tables") {
  const schema features = fitted_schema(every_kind());
  CHECK(features.rows_of("user_id") == 1 + 7);
  CHECK(features.rows_of("category") == 1 + 3);
  CHECK(features.rows_of("time.hour") == 25);
  CHECK(features.rows_of("active") == 4);
  CHECK(refuses([&] { features.rows_of("color"); }, "funnel::schema::rows_of", "\"color\""));
  CHECK(refuses([&] { schema(every_kind()).rows_of("user_id"); }, "funnel::schema::rows_of",
                "not fitted"));
}

TEST_CASE("tables of the same column on two sides have names of their own") {
  schema_options options = every_kind();
  options.of_user.push_back(category{"country"});
  options.of_user.push_back(time_of{.column = "since", .weekday = false});
  options.of_item.push_back(category{"country"});
  options.of_item.push_back(rate{"country_rate", "country", "click"});  // of the item's
  options.of_item.push_back(time_of{.column = "since", .weekday = false});
  schema features(options);
  column_table log = table_of(random_log(1));
  log.add("country", log.rows(), [](std::size_t i) { return static_cast<int>(i % 3); });
  log.add("since", log.rows(), [](std::size_t i) { return static_cast<int>(i); });
  fit_schema(features, log);
  CHECK(features.rows_of("country") == 4);
  CHECK(features.rows_of("of_item.country") == 4);
  CHECK(features.rows_of("of_item.since.hour") == 25);
  std::vector<std::string> names;
  for (const auto& table : features.plan().tables) names.push_back(table.name);
  std::ranges::sort(names);
  CHECK(std::ranges::adjacent_find(names) == names.end());
}

TEST_CASE("categories may share a table, by vocabulary or by hash") {
  schema_options options = every_kind();
  options.of_context.push_back(category{.column = "last_item", .share = "item_id"});
  schema features(options);
  column_table log = table_of(random_log(1));
  log.add("last_item", log.rows(), [](std::size_t i) { return 1000 + static_cast<int>(i % 3); });
  fit_schema(features, log);
  CHECK(features.rows_of("item_id") == 1 + 11 + 3);
  CHECK(
      refuses([&] { features.rows_of("last_item"); }, "funnel::schema::rows_of", "\"last_item\""));
  options.of_context.back() = category{.column = "last_item", .share = "no_category"};
  CHECK(refuses([&] { schema{options}; }, "funnel::schema", "share is \"no_category\""));
}

TEST_CASE("options out of range are refused with the feature's name") {
  const auto refused = [](feature f, std::string_view words) {
    schema_options options{.of_user = {std::move(f)}};
    return refuses([&] { schema{options}; }, "funnel::schema", words);
  };
  CHECK(refused(category{.column = "c", .hash_rows = 1}, "\"c\": hash_rows is 1, expected"));
  CHECK(refused(category{.column = "c", .drop_rate = 1}, "drop_rate is 1, expected"));
  CHECK(refused(category{}, "without a name"));
  CHECK(refused(number{.column = "n", .as = number_as::bucketized, .buckets = 1}, "buckets is 1"));
  CHECK(refused(vector_of{.column = "v"}, "size is 0"));
  CHECK(refused(place{.latitude = "lat"}, "longitude is empty"));
  CHECK(refused(place{.latitude = "lat", .longitude = "lon", .length = 13}, "length is 13"));
  CHECK(refused(time_of{}, "expected in of_context"));
  CHECK(refused(history{.name = "h", .last = 0}, "last is 0"));
  CHECK(refused(history{.name = "h", .action = "a", .column = "b"}, "expected one of the two"));
  CHECK(refused(history{.name = "h", .fields = "color"}, "field \"color\" is not known"));
  CHECK(refused(rate{.name = "r", .actions = "click"}, "keys is empty"));
  CHECK(refused(rate{.name = "r", .keys = "user_id"}, "actions is empty"));
  CHECK(refused(rate{.name = "r", .keys = "user_id", .actions = "a", .prior_strength = -1},
                "prior_strength"));
  CHECK(refused(window{.name = "w", .keys = "user_id", .lengths = {}}, "lengths is empty"));
  CHECK(refused(window{.name = "w", .keys = "user_id", .lengths = {0}}, "a length is 0"));
  CHECK(refused(window{.name = "w", .keys = "user_id", .period_hours = 0}, "period_hours is 0"));
  CHECK(refused(stock{.name = "s", .keys = "user_id", .of_items = true}, "items are counted"));
  CHECK(refused(activity{.name = "a", .keys = "user_id", .bounds = {4, 4}}, "bounds[1] is 4"));
  const auto refused_option = [](const auto& change, std::string_view words) {
    schema_options options;
    change(options);
    return refuses([&] { schema{options}; }, "funnel::schema", words);
  };
  CHECK(refused_option([](schema_options& o) { o.user.clear(), o.of_user = {number{"age"}}; },
                       "user is empty"));
  CHECK(refused_option([](schema_options& o) { o.item.clear(), o.of_item = {number{"age"}}; },
                       "item is empty"));
  CHECK(refused_option([](schema_options& o) { o.time.clear(), o.of_context = {time_of{}}; },
                       "time is empty"));
  CHECK(refused_option(
      [](schema_options& o) {
        o.time.clear(), o.of_cross = {stock{"s", "user_id"}};
      },
      "time is empty"));
  CHECK(refused_option([](schema_options& o) { o.delay.ticks = -1; }, "delay is -1"));
  CHECK(refused_option([](schema_options& o) { o.ticks_per_second = 0; }, "ticks_per_second is 0"));
  CHECK(refused_option([](schema_options& o) { o.utc_offset = 100'000; }, "utc_offset"));
  CHECK(refused_option([](schema_options& o) { o.number_limit = 0; }, "number_limit"));
}
