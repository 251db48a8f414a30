// SPDX-License-Identifier: MIT
#include <funnel/features/fit_schema.hpp>

#include <funnel/features/request_encoder.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

using namespace funnel;

namespace {

/// Whether a row at a time may see an event: the rule, written down once more.
bool sees(const event_delay& delay, std::int64_t row, std::int64_t event) {
  if (delay.until_midnight) return event / 86400 < row / 86400;
  return event + delay.ticks < row;
}

/// The first number of a counter in a row of a batch, as it was before scaling.
double raw(const schema& features, const row_batch& batch, std::string_view name, std::size_t row,
           std::size_t j = 0) {
  for (std::size_t side = 0; side < detail::sides; ++side) {
    const detail::side_plan& of = features.plan().of[side];
    for (const detail::counter_plan& c : of.counters) {
      if (c.name != name) continue;
      const std::size_t at = c.offset + j;
      const double scaled = static_cast<double>(batch.side(side).numbers[row * of.width + at]);
      return scaled / static_cast<double>(features.values().factors[side][at]) +
             static_cast<double>(features.values().means[side][at]);
    }
  }
  FAIL("there is no counter " << name);
  return 0;
}

row_batch all_of(const encoded_log& rows) {
  std::vector<std::uint32_t> requests(rows.requests());
  std::iota(requests.begin(), requests.end(), 0u);
  row_batch batch;
  rows.gather(requests, batch);
  return batch;
}

}  // namespace

TEST_CASE("counters and histories see what is past, and never their own row, an equal time or the "
          "future") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    for (const event_delay delay :
         {event_delay{}, event_delay{.ticks = 20'000}, event_delay{.ticks = 19'999}, to_midnight}) {
      INFO(seed << ", delay " << delay.ticks << ' ' << delay.until_midnight);
      const auto rows = random_log(seed);
      schema_options options = every_kind(delay);
      options.number_limit = 1000;
      schema features(options);
      const fitted past = fit_schema(features, table_of(rows));
      const row_batch batch = all_of(past.rows);
      REQUIRE(batch.rows() == rows.size());
      const auto near = [](double a, double b) { return std::abs(a - b) < 1e-3; };
      for (std::size_t r = 0; r < batch.requests(); ++r) {
        std::vector<std::uint32_t> clicked;  // rows of the log
        const std::int64_t time = past.rows.times()[r];
        for (std::uint32_t i = batch.offsets[r]; i < batch.offsets[r + 1]; ++i) {
          const log_row& row = rows[batch.log_rows[i]];
          REQUIRE(row.time == time);
          double user_rows = 0, item_clicks_in_days = 0, category_clicks = 0, crossed = 0;
          std::set<std::int64_t> days, items_of_category;
          clicked.clear();
          for (std::uint32_t j = 0; j < rows.size(); ++j) {
            const log_row& event = rows[j];
            if (event.time <= time && event.category == row.category)
              items_of_category.insert(event.item);
            if (!sees(delay, time, event.time)) continue;
            const std::int64_t days_ago = time / 86400 - event.time / 86400;
            user_rows += event.user == row.user;
            category_clicks += event.category == row.category && event.click;
            crossed += event.user == row.user && event.category == row.category;
            if (event.item == row.item && event.click && days_ago >= 1 && days_ago <= 3)
              ++item_clicks_in_days;
            if (event.user == row.user && days_ago >= 1 && days_ago <= 4)
              days.insert(event.time / 86400);
            if (event.user == row.user && event.click) clicked.push_back(j);
          }
          CHECK(near(raw(features, batch, "user_rate", r), std::log1p(user_rows)));
          CHECK(near(raw(features, batch, "category_clicks", i), std::log1p(category_clicks)));
          CHECK(near(raw(features, batch, "user_category", i), std::log1p(crossed)));
          CHECK(near(raw(features, batch, "item_window", i, 3), std::log1p(item_clicks_in_days)));
          CHECK(near(raw(features, batch, "category_items", i),
                     std::log1p(static_cast<double>(items_of_category.size()))));
          CHECK(batch.user.categories[1][r] == 1u + (days.size() >= 1) + (days.size() >= 2));
        }
        // The last three clicks, by time; those of equal times are counted in the order in which
        // requests were replayed.
        const auto& history = batch.histories[0];
        const std::size_t length = history.offsets[r + 1] - history.offsets[r];
        CHECK(length == std::min<std::size_t>(3, clicked.size()));
        std::ranges::sort(clicked, {}, [&](std::uint32_t j) { return rows[j].time; });
        if (clicked.size() > 3) {
          // Only if it is certain which events are the last ones.
          const std::int64_t oldest = rows[clicked[clicked.size() - 3]].time;
          if (rows[clicked[clicked.size() - 4]].time == oldest) continue;
          clicked.erase(clicked.begin(), clicked.end() - 3);
        }
        std::multiset<std::uint32_t> expected, found;
        for (const std::uint32_t j : clicked)
          expected.insert(
              features.values()
                  .vocabularies
                      [features.plan().tables[features.plan().of[1].categories[0].table].vocabulary]
                  .find(static_cast<std::uint64_t>(rows[j].item)));
        for (std::size_t e = history.offsets[r]; e < history.offsets[r + 1]; ++e)
          found.insert(history.fields[0][e]);
        CHECK(found == expected);
      }
    }
  }
}

TEST_CASE("a rate is smoothed toward the mean of what is past") {
  // Two users; the first clicks at 1, 2 and 3, the second does not at 2.
  column_table log;
  log.add("user_id", std::vector<int>{1, 1, 2, 1});
  log.add("item_id", std::vector<int>{5, 6, 5, 7});
  log.add("time", std::vector<int>{1, 2, 2, 3});
  log.add("click", std::vector<int>{1, 1, 0, 1});
  schema features(
      {.of_user = {rate{.name = "r", .keys = "user_id", .actions = "click", .prior_strength = 2}},
       .number_limit = 1000});
  const row_batch batch = all_of(fit_schema(features, log).rows);
  const auto odds = [&](std::size_t r) { return raw(features, batch, "r", r, 1); };
  const auto close = [](double found, double rate) {
    return std::abs(found - std::log(rate / (1 - rate))) < 1e-3;
  };
  CHECK(batch.user.numbers[1] == 0);                      // nothing is known: as a missing value
  CHECK(close(odds(1), (1 + 2 * 1.0 - 3e-4) / (1 + 2)));  // 1 of 1, and the mean is 1
  CHECK(close(odds(3), (2 + 2 * 2. / 3) / (2 + 2)));      // 2 of 2, and 2 of 3 overall
  CHECK(std::abs(raw(features, batch, "r", 3) - std::log1p(2)) < 1e-5);
}

TEST_CASE("a rate is missing while nothing is known of any key, in training and in serving") {
  column_table log;
  log.add("user_id", std::vector<int>{1, 2, 1, 2});
  log.add("item_id", std::vector<int>{5, 6, 5, 7});
  log.add("time", std::vector<int>{0, 1, 86400, 86401});
  log.add("click", std::vector<int>{1, 0, 1, 1});
  for (const rate_as as : {rate_as::value, rate_as::log_odds}) {
    schema features(
        {.of_user = {rate{.name = "r", .keys = "user_id", .actions = "click", .as = as}},
         .delay = to_midnight});
    const row_batch batch = all_of(fit_schema(features, log).rows);
    // The mean and the deviation are those of the second day alone: +1 and -1 there.
    const auto& numbers = batch.user.numbers;
    CHECK((numbers[1] == 0 && numbers[3] == 0));
    CHECK(tolerance::within(static_cast<double>(numbers[5]), 1.0,
                            tolerance::elementwise<float>(1000)));
    const feature_state empty(features);
    request_encoder encode(features, empty);
    CHECK(encode(1, std::vector<int>{5}, 0).user.numbers[1] == 0);
  }
}

TEST_CASE("a relative rate is a multiple of the mean count, and differences from all keys") {
  // User 1 is shown three of four items and clicks two of them, user 2 is shown one without a click;
  // so it is again and again. Without a prior their rates are 2/3 and 0, and 1/2 of all.
  for (const rate_as as : {rate_as::value, rate_as::log_odds}) {
    for (const std::size_t repeats : {1u, 10u}) {
      column_table log;
      const std::size_t n = 4 * repeats + 2;
      log.add("user_id", n, [&](std::size_t i) {
        return i + 2 == n ? 1 : i + 1 == n ? 2 : i % 4 < 3 ? 1 : 2;
      });
      log.add("item_id", n, [](std::size_t i) { return i; });
      log.add("time", n, [&](std::size_t i) { return i + 2 >= n ? n : i; });
      log.add("click", n, [](std::size_t i) { return i % 4 < 2; });
      schema features({.of_user = {rate{.name = "r",
                                        .keys = "user_id",
                                        .actions = "click",
                                        .prior_strength = 0,
                                        .as = as,
                                        .relative = true}},
                       .number_limit = 1000});
      const row_batch batch = all_of(fit_schema(features, log).rows);
      const auto is = [&](std::size_t row, std::size_t j, double expected) {
        return tolerance::within(raw(features, batch, "r", row, j), expected,
                                 tolerance::elementwise<float>(100));
      };
      CHECK(is(n - 2, 0, std::log1p(1.5)));
      CHECK(is(n - 1, 0, std::log1p(0.5)));
      CHECK(is(n - 2, 1, as == rate_as::value ? 2. / 3 - .5 : std::log(2.)));
      CHECK(is(n - 1, 1, as == rate_as::value ? -.5 : std::log(1e-4 / (1 - 1e-4))));
      CHECK(batch.user.numbers[1] == 0);  // nothing is known of any key
    }
  }
}

TEST_CASE("events before the log are counted, and are no rows") {
  for (const event_delay delay : {event_delay{}, to_midnight}) {
    auto rows = random_log(3);
    std::ranges::stable_sort(rows, {}, &log_row::time);
    const std::size_t half = rows.size() / 2;
    const std::int64_t begin = rows[half].time;
    const auto split = static_cast<std::ptrdiff_t>(
        std::ranges::lower_bound(rows, begin, {}, &log_row::time) - rows.begin());
    const std::vector<log_row> before(rows.begin(), rows.begin() + split),
        later(rows.begin() + split, rows.end());
    REQUIRE(!before.empty());
    schema_options options = every_kind(delay);
    options.number_limit = 1000;

    const column_table earlier = table_of(before), log = table_of(later);
    schema features(options);
    const fitted past = fit_schema(features, log, {.earlier = earlier});
    CHECK(past.rows.rows() == later.size());
    // The same schema, and the earlier rows as a log of their own.
    const encoded first = encode_log(features, feature_state(features), earlier);
    const encoded second = encode_log(features, first.state, log);
    const row_batch found = all_of(past.rows), expected = all_of(second.rows);
    // Items have no table here, so that the events before are of items without values: compare what
    // is counted by user.
    CHECK(found.user.numbers == expected.user.numbers);
    CHECK(found.user.categories == expected.user.categories);
    CHECK(found.log_rows == expected.log_rows);
    // Without the events it is another result, so that this test can fail.
    schema other(options);
    CHECK(all_of(fit_schema(other, log).rows).user.numbers != found.user.numbers);

    const encoded again = encode_log(features, feature_state(features), log, {.earlier = earlier});
    CHECK(all_of(again.rows).user.numbers == found.user.numbers);
  }
  column_table incomplete;
  incomplete.add("user_id", std::vector<int>{1});
  const auto rows = random_log(1);
  schema features(every_kind({}));
  CHECK_THROWS_AS(fit_schema(features, table_of(rows), {.earlier = incomplete}),
                  std::invalid_argument);
  CHECK(!features.is_fitted());
}

TEST_CASE("a rate of which nothing is counted is that of all keys") {
  // User 1 likes without a click; of the clicks of user 2 half are likes.
  column_table log;
  log.add("user_id", std::vector<int>{1, 2, 2, 1});
  log.add("item_id", std::vector<int>{5, 6, 5, 7});
  log.add("time", std::vector<int>{1, 2, 3, 4});
  log.add("click", std::vector<int>{0, 1, 1, 0});
  log.add("like", std::vector<double>{.25, 1, 0, 0});
  for (const rate_as as : {rate_as::value, rate_as::log_odds}) {
    schema features({.of_user = {rate{.name = "r",
                                      .keys = "user_id",
                                      .actions = "like",
                                      .per = "click",
                                      .prior_strength = 0,
                                      .as = as}},
                     .number_limit = 1000});
    const row_batch batch = all_of(fit_schema(features, log).rows);
    const double all = 1.25 / 2;  // likes per click
    const double expected = as == rate_as::value ? all : std::log(all / (1 - all));
    // Scaled in float, where log odds are as large as 10, and back.
    CHECK(tolerance::within(raw(features, batch, "r", 3, 1), expected,
                            tolerance::elementwise<float>(10)));
  }
}

TEST_CASE("the order of the rows in the log does not matter but for equal times") {
  auto rows = random_log(3, {.most_rows = 1, .last_time = 1'000'000, .time_step = 1});
  const auto encode = [](const std::vector<log_row>& log) {
    schema_options options = every_kind();
    options.request = {};
    schema features(options);
    const fitted past = fit_schema(features, table_of(log));
    return all_of(past.rows).cross.numbers;
  };
  const auto before = encode(rows);
  std::ranges::sort(rows, {}, &log_row::time);
  CHECK(encode(rows) == before);
}

TEST_CASE("numbers are standardized over the rows of the log") {
  schema features(every_kind());
  const fitted past = fit_schema(features, table_of(random_log(5, {.requests = 300})));
  const row_batch batch = all_of(past.rows);
  const auto& n =
      *std::ranges::find(features.plan().of[1].numbers, "price", &detail::number_plan::name);
  double sum = 0, squares = 0, missing = 0;
  const std::size_t width = features.plan().of[1].width;
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    const auto x = static_cast<double>(batch.item.numbers[i * width + n.offset]);
    sum += x, squares += x * x;
    missing += static_cast<double>(batch.item.numbers[i * width + n.missing_offset]);
  }
  const double count = static_cast<double>(batch.rows());
  CHECK(missing > 0);
  CHECK(missing < count);
  CHECK(std::abs(sum / count) < 1e-3);
  CHECK(std::abs(squares / (count - missing) - 1) < 1e-3);
}

TEST_CASE("coverage is the share of rows with a value") {
  const auto rows = random_log(6);
  schema features(every_kind());
  const fitted past = fit_schema(features, table_of(rows));
  const auto covered = [&](std::string_view column) {
    return std::ranges::find(past.coverage, column, &column_coverage::column)->coverage;
  };
  const auto priced =
      std::ranges::count_if(rows, [](const log_row& row) { return row.price.has_value(); });
  CHECK(covered("price") == static_cast<double>(priced) / static_cast<double>(rows.size()));
  CHECK(covered("user_id") == 1);
  const auto tagged =
      std::ranges::count_if(rows, [](const log_row& row) { return !row.tags.empty(); });
  CHECK(covered("tags") == static_cast<double>(tagged) / static_cast<double>(rows.size()));
}

TEST_CASE("tables of users and items give the same rows as the log that has their columns") {
  const auto rows = random_log(7);
  schema features(every_kind());
  const fitted from_log = fit_schema(features, table_of(rows));
  // A table of items with rows that the log does not have.
  column_table items, users;
  std::vector<log_row> of_items;
  for (std::int64_t item = 0; item < 11; ++item)
    for (const log_row& row : rows)
      if (row.item == item) {
        of_items.push_back(row);
        break;
      }
  items = table_of(of_items);
  users.add("user_id", std::vector<int>{100, 101, 102, 103, 104, 105, 106, 107});
  schema_options options = every_kind();
  // Items of a table are known from the beginning.
  std::erase_if(options.of_item, [](const feature& f) { return name_of(f) == "category_items"; });
  schema plain(options), tabled(options);
  const row_batch a = all_of(fit_schema(plain, table_of(rows)).rows);
  const row_batch b =
      all_of(fit_schema(tabled, table_of(rows), {.users = users, .items = items}).rows);
  CHECK(a.item.numbers == b.item.numbers);
  CHECK(a.item.categories == b.item.categories);
  CHECK(a.user.numbers == b.user.numbers);
  CHECK(a.item.lists[0].ids == b.item.lists[0].ids);
  CHECK(plain.fingerprint() == tabled.fingerprint());
}

TEST_CASE("a later log goes on from the state of the first") {
  auto rows = random_log(8, {.requests = 200, .last_time = 2'000'000});
  std::vector<log_row> first, second;
  for (const log_row& row : rows) (row.time < 1'200'000 ? first : second).push_back(row);
  for (const event_delay delay : {event_delay{}, event_delay{.ticks = 50'000}}) {
    schema features(every_kind(delay));
    const fitted past = fit_schema(features, table_of(first));
    const encoded later = encode_log(features, past.state, table_of(second));
    // All rows at once, with the constants of the first ones.
    std::vector<log_row> both = first;
    both.insert(both.end(), second.begin(), second.end());
    const encoded whole = encode_log(features, feature_state(features), table_of(both));
    const row_batch expected = all_of(whole.rows), found = all_of(later.rows);
    const std::size_t width = features.plan().of[3].width;
    const std::size_t skipped = past.rows.rows() * width;
    CHECK(std::ranges::equal(std::span(expected.cross.numbers).subspan(skipped),
                             found.cross.numbers));
    const std::size_t of_user = features.plan().of[0].width;
    CHECK(
        std::ranges::equal(std::span(expected.user.numbers).subspan(past.rows.requests() * of_user),
                           found.user.numbers));
    const auto& events = expected.histories[0];
    const std::uint32_t begin = events.offsets[past.rows.requests()];
    CHECK(std::ranges::equal(std::span(events.fields[0]).subspan(begin),
                             found.histories[0].fields[0]));
  }
}

TEST_CASE("a log that does not fit its schema is refused") {
  const auto rows = random_log(9);
  const auto refused = [&](const auto& change, std::string_view words) {
    schema_options options = every_kind();
    auto log = rows;
    change(options, log);
    return refuses(
        [&] {
          schema features(options);
          fit_schema(features, table_of(log));
        },
        "funnel::", words);
  };
  using rows_type = std::vector<log_row>;
  CHECK(refused([](schema_options&, rows_type& log) { log.clear(); }, "0 rows"));
  CHECK(refused([](schema_options& o, rows_type&) { o.user = "member"; }, "\"member\" is missing"));
  CHECK(refused([](schema_options& o, rows_type&) { o.time = "device"; },
                "is text, expected one number"));
  CHECK(refused([](schema_options& o, rows_type&) { o.labels = "love"; }, "\"love\""));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_item.push_back(number{"device"}); },
                "is text, expected numbers"));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_context.push_back(category{"tags"}); },
                "has lists, expected one value"));
  CHECK(refused(
      [](schema_options& o, rows_type&) {
        o.of_user.push_back(rate{"x", "item_id", "click"});
      },
      "expected of_user"));
  CHECK(refused(
      [](schema_options& o, rows_type&) {
        o.of_user.push_back(rate{"x", "color", "click"});
      },
      "key column \"color\" is not known"));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_user.push_back(category{"user_id"}); },
                "two features"));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_cross.push_back(number{"position"}); },
                "two features"));
  CHECK(refused(
      [](schema_options& o, rows_type&) {
        o.of_cross.push_back(category{"position"}), o.of_cross.push_back(number{"position"});
      },
      "expected one, or a category and a number"));
  CHECK(refused(
      [](schema_options& o, rows_type&) {
        o.of_context.push_back(number{.column = "device", .as = number_as::bucketized});
      },
      "two features"));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_item.push_back(number{"published"}); },
                "two features"));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_item.push_back(category{"tags"}); },
                "two features"));
  CHECK(refused([](schema_options& o, rows_type&) { o.request = "user_id"; }, "") ==
        false);  // one user each: fine
  CHECK(refused([](schema_options& o, rows_type&) { o.request = "device"; }, "two users"));
  CHECK(refused([](schema_options& o, rows_type&) { o.of_context.push_back(history{.name = "h"}); },
                "expected in of_user"));
}

TEST_CASE("a table without users, items and times") {
  column_table table;
  table.add("age", std::vector<int>{20, 40, 60});
  table.add("job", std::vector<std::string>{"a", "b", "a"});
  table.add("income", std::vector<int>{0, 1, 1});
  schema features({.user = "",
                   .item = "",
                   .time = "",
                   .of_context = {number{"age"}, category{"job"}},
                   .labels = "income"});
  const row_batch batch = all_of(fit_schema(features, table).rows);
  CHECK(batch.rows() == 3);
  CHECK(batch.requests() == 3);
  CHECK(batch.label(0)[2] == 1);
  CHECK(batch.context.categories[0] == std::vector<std::uint32_t>{1, 2, 1});
  CHECK(batch.context.numbers[0] < -1.2f);
  CHECK(batch.context.numbers[2] == 0);
}

TEST_CASE("a category and a number of one column are two inputs") {
  column_table table;
  table.add("weeks", std::vector<int>{52, 0, 52, 26});
  schema both(
      {.user = "", .item = "", .time = "", .of_context = {number{"weeks"}, category{"weeks"}}});
  const row_batch batch = all_of(fit_schema(both, table).rows);
  CHECK(batch.context.categories[0] == std::vector<std::uint32_t>{1, 2, 1, 3});
  CHECK(both.rows_of("weeks") == 4);
  schema alone({.user = "", .item = "", .time = "", .of_context = {number{"weeks"}}});
  CHECK(batch.context.numbers == all_of(fit_schema(alone, table).rows).context.numbers);
}

TEST_CASE("a later log needs no values of users and items, and none of its rows is in the past") {
  auto rows = random_log(8, {.requests = 200, .last_time = 2'000'000});
  std::vector<log_row> first, second;
  for (const log_row& row : rows) (row.time < 1'200'000 ? first : second).push_back(row);
  schema features(every_kind());
  const fitted past = fit_schema(features, table_of(first));
  const column_table full = table_of(second);
  const columns all = full;
  columns bare;
  for (std::size_t c = 0; c < all.size(); ++c)
    if (const std::string& name = all.name(c);
        name != "price" && name != "tags" && name != "category")
      bare.add(name, all[c]);
  const row_batch a = all_of(encode_log(features, past.state, all).rows);
  const row_batch b = all_of(encode_log(features, past.state, bare).rows);
  CHECK(a.item.numbers == b.item.numbers);
  CHECK(a.item.categories == b.item.categories);
  CHECK(refuses([&] { encode_log(features, feature_state(features), bare); }, "funnel::schema",
                "is missing"));
  CHECK(refuses([&] { encode_log(features, past.state, table_of(first)); }, "funnel::encode_log",
                "the first time of log"));
}
