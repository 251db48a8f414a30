// SPDX-License-Identifier: MIT
#include <funnel/data/logged_rows.hpp>

#include <funnel/loss/bce.hpp>
#include <funnel/loss/listwise.hpp>
#include <funnel/training/score_log.hpp>
#include <funnel/training/train.hpp>

#include "data/served_log.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/row_batches.hpp"
#include "support/two_head_ranker.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

using namespace funnel;

namespace {

struct example {
  std::vector<log_row> rows;
  schema features{every_kind()};
  fitted past;
  explicit example(std::size_t requests, std::int64_t users = 7, std::int64_t items = 11)
      : rows(log_of_pages(3, {.requests = requests, .users = users, .items = items})),
        past(fit_schema(features, table_of(rows))) {}
  /// With `reversed` the last request is logged first.
  funnel_log log(std::size_t unseen, bool reversed = false) const {
    const auto empty = [&] {
      return funnel_log(features, served_page().found, stages_of_pages,
                        {.sample_per_stage = 3, .most_bytes = std::size_t{1} << 30});
    };
    funnel_log to = empty();
    std::vector<std::pair<served_page, row_batch>> all;
    const auto add = [&](const served_page& p, const row_batch& batch) {
      to.add({p.request, category_key(p.user), p.time, 5}, p.found, p.shown, batch, p.row_slots);
    };
    serve_log(rows, features, past.rows, unseen, [&](const served_page& p, const row_batch& batch) {
      if (reversed)
        all.insert(all.begin(), {p, batch});
      else
        add(p, batch);
    });
    for (const auto& [page, batch] : all) add(page, batch);
    return to;
  }
};

const training_rows_options of_table{.item = "item_id"};

std::vector<float> trained(const schema& features, const encoded_log& rows) {
  two_head_ranker<float> model(features, 5);
  train(model, rows,
        [](auto& context, const auto& m, const row_batch& leaf) {
          return bce_with_logits(context, m(context, leaf)[0], leaf.label(0));
        },
        {.epochs = 1, .batch_rows = 512});
  std::vector<float> values;
  for_each_parameter(model, [&](std::string_view, const auto& p) {
    values.insert(values.end(), p.value.flat().begin(), p.value.flat().end());
  });
  return values;
}

column_table outcomes_of(std::vector<std::array<std::int64_t, 5>> rows) {
  column_table table;
  const char* names[] = {"request", "item", "time", "click", "like"};
  for (std::size_t c = 0; c < 5; ++c)
    table.add(names[c], rows.size(), [&](std::size_t i) { return rows[i][c]; });
  return table;
}

/// A log of requests at times 0, 100, 200, ... that show items 1 and 2 of 1 to 3.
funnel_log small_log(const schema& features, std::size_t requests) {
  funnel_log log(features, candidates({"all"}), {"all"});
  feature_state state(features);
  request_encoder encode(features, state);
  const std::vector<double> position{0, 1, 2};
  const std::vector<std::int64_t> items{1, 2, 3};
  for (std::size_t r = 0; r < requests; ++r) {
    candidates found({"all"});
    for (const std::int64_t item : items) found.add(0, item, 1);
    log.add({.id = r + 1, .time = static_cast<std::int64_t>(100 * r)}, found,
            std::vector<std::uint32_t>{1, 0},
            encode(1, items, 0, {{"device", "ios"}}, {{"position", column(position)}}),
            std::vector<std::uint32_t>{0, 1, 2});
  }
  return log;
}

}  // namespace

TEST_CASE(
    "training_rows: 10,000 requests have the rows that were served, and train the same model") {
  const example data(10'000, 300, 400);
  const funnel_log log = data.log(4);
  funnel_log_reader reader(log);
  const training_rows_result joined =
      training_rows(reader, data.features, table_of(data.rows), of_table);
  const encoded_log& rows = joined.rows;
  const encoded_log& expected = data.past.rows;
  REQUIRE(rows.requests() == 10'000);
  REQUIRE(std::ranges::equal(rows.offsets(), expected.offsets()));
  CHECK(std::ranges::equal(rows.times(), expected.times()));
  CHECK((joined.requests == 10'000 && joined.joined == data.rows.size() && joined.unmatched == 0));
  CHECK((joined.late == 0 && joined.without_features == 0 && joined.open == 0));
  for (std::size_t k = 0; k < 2; ++k) CHECK(std::ranges::equal(rows.label(k), expected.label(k)));
  std::vector<std::uint32_t> all(rows.requests());
  std::iota(all.begin(), all.end(), 0u);
  row_batch a, b;
  rows.gather(all, a), expected.gather(all, b);
  CHECK(same_batch(a, b));
  std::ranges::reverse(all);
  all.resize(300);
  rows.gather(all, a), expected.gather(all, b);
  CHECK(same_batch(a, b));
  CHECK(a.labels == b.labels);
  CHECK((a.label_sums == b.label_sums && a.step_rows == b.step_rows));
  // What a server really read, not only what the log would encode.
  std::uint32_t r = 0;
  std::size_t same = 0;
  serve_log(data.rows, data.features, expected, 0,
            [&](const served_page&, const row_batch& served) {
              rows.gather(std::vector<std::uint32_t>{r++}, a);
              same += same_batch(a, served) ? 1 : 0;
            });
  CHECK(same == 10'000);
  CHECK(trained(data.features, rows) == trained(data.features, expected));
  two_head_ranker<float> model(data.features, 5);
  CHECK(score_log(model, rows) == score_log(model, expected));
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const log_row& row = data.rows[expected.log_rows()[i]];
    if (joined.of.items[i] != row.item) FAIL("item " << i);
  }
}

TEST_CASE("training_rows: requests that were logged out of order are sorted by time") {
  const example data(60);
  const funnel_log log = data.log(2, true);
  funnel_log_reader reader(log);
  const auto joined = training_rows(reader, data.features, table_of(data.rows), of_table);
  CHECK(std::ranges::is_sorted(joined.rows.times()));
  CHECK(joined.rows.rows() == data.rows.size());
  // Requests of equal times have another order: each is compared with that of the same id.
  row_batch a, b;
  for (std::uint32_t r = 0; r < joined.rows.requests(); ++r) {
    std::uint32_t e = 0;
    while (static_cast<std::uint64_t>(
               data.rows[data.past.rows.log_rows()[data.past.rows.offsets()[e]]].request) !=
           joined.of.requests[r])
      ++e;
    joined.rows.gather(std::vector{r}, a), data.past.rows.gather(std::vector{e}, b);
    CHECK((same_batch(a, b) && a.labels == b.labels));
  }
}

TEST_CASE("training_rows: outcomes in a window, late ones, and requests whose window is open") {
  const example data(20);
  const funnel_log log = small_log(data.features, 4);
  const auto joined = [&](const column_table& outcomes, training_rows_options options) {
    funnel_log_reader reader(log);
    return training_rows(reader, data.features, outcomes, options);
  };
  const column_table outcomes = outcomes_of({{1, 1, 50, 1, 0},     // at the end of the window
                                             {1, 1, 10, 0, 1},     // the same row
                                             {1, 2, 51, 1, 0},     // late
                                             {2, 2, 151, 0, 0},    // late, and no positive
                                             {3, 3, 210, 1, 0},    // not shown
                                             {9, 1, 10, 1, 0},     // no such request
                                             {4, 1, 310, 1, 1}});  // window is open
  const auto got = joined(outcomes, {.window = 50, .complete_until = 349});
  CHECK((got.requests == 3 && got.open == 1 && got.joined == 2));
  CHECK((got.late == 2 && got.late_positives == 1 && got.unmatched == 3));
  // Rows in the order of the page: items 2 and 1.
  CHECK(got.of.items == std::vector<std::int64_t>{2, 1, 2, 1, 2, 1});
  CHECK(got.of.places == std::vector<std::uint32_t>{0, 1, 0, 1, 0, 1});
  CHECK(std::ranges::equal(got.rows.label(0), std::vector<float>{0, 1, 0, 0, 0, 0}));
  CHECK(std::ranges::equal(got.rows.label(1), std::vector<float>{0, 1, 0, 0, 0, 0}));
  CHECK(joined(outcomes, {.window = 50, .complete_until = 350}).open == 0);
  CHECK(joined(outcomes, {}).joined == 5);
  CHECK(joined(outcomes, {.window = std::numeric_limits<std::int64_t>::max()}).joined == 5);
  // The same file twice.
  std::vector<std::byte> twice(log.bytes().begin(), log.bytes().end());
  twice.insert(twice.end(), log.bytes().begin(), log.bytes().end());
  funnel_log_reader reader{std::span<const std::byte>(twice)};
  const auto once = training_rows(reader, data.features, outcomes);
  CHECK((once.requests == 4 && once.repeated == 4 && once.rows.rows() == 8));
}

TEST_CASE("training_rows: errors") {
  const example data(20);
  const funnel_log log = small_log(data.features, 1);
  schema_options other = every_kind();
  other.of_user.push_back(category{"device_2"});
  other.name = "other";
  schema fresh(other);
  column_table table = table_of(data.rows);
  table.add("device_2", data.rows.size(), [](std::size_t) { return 1; });
  fit_schema(fresh, table);
  const auto refused = [&](const schema& features, const column_table& outcomes,
                           std::string_view words, training_rows_options options = {}) {
    funnel_log_reader reader(log);
    return refuses([&] { training_rows(reader, features, outcomes, options); }, "funnel::", words);
  };
  const column_table one = outcomes_of({{1, 1, 1, 1, 1}});
  CHECK(refused(fresh, one,
                "features is \"" + fresh.label() + "\", expected \"" + data.features.label() +
                    "\" as in the log"));
  CHECK(refused(data.features, table, "column \"item\" is missing"));
  CHECK(refused(data.features, one, "window is -1, expected 0 or more", {.window = -1}));
}

TEST_CASE("hard_negatives: what was dropped by the pre-ranker or is low, never what was shown") {
  const example data(50);
  const funnel_log log = data.log(9);  // slots 1, 3, 5, 7 dropped; 0, 2, 4, 6, 8 ranked last
  const auto of = [&](hard_negatives_options options) {
    funnel_log_reader reader(log);
    return hard_negatives(reader, options);
  };
  const logged_lists dropped = of({.dropped_by = {"prerank"}});
  REQUIRE(dropped.of.requests.size() == data.past.rows.requests());
  for (std::size_t i = 0; i < dropped.of.items.size(); ++i)
    CHECK(dropped.of.items[i] == 10'001 + 2 * static_cast<std::int64_t>(i % 4));
  CHECK(dropped.outputs == 0);
  const logged_lists low = of({.ranked_by = "rank", .low_part = .5, .most = 0});
  for (std::size_t r = 0; r < low.of.requests.size(); ++r) {
    const std::uint32_t begin = low.of.offsets[r], end = low.of.offsets[r + 1];
    const std::size_t shown = data.past.rows.offsets()[r + 1] - data.past.rows.offsets()[r];
    CHECK(end - begin == (5 + shown) / 2);
    for (std::uint32_t i = begin; i < end; ++i) {
      CHECK(low.of.places[i] == candidates::none);
      CHECK(low.of.items[i] == 10'008 - 2 * static_cast<std::int64_t>(end - 1 - i));
      CHECK(low.scores[2 * i] == -static_cast<float>(low.of.items[i] - 10'000));
      CHECK(low.scores[2 * i + 1] == static_cast<float>(low.of.requests[r]));
    }
  }
  const logged_lists both =
      of({.dropped_by = {"prerank"}, .ranked_by = "rank", .low_part = 1, .most = 2});
  CHECK(both.of.items.size() == 4 * both.of.requests.size());
  for (std::size_t i = 0; i < both.of.items.size(); ++i)  // even ids have scores
    CHECK(std::isnan(both.scores[2 * i]) == (both.of.items[i] % 2 == 1));
  CHECK(of({.dropped_by = {"prerank"}, .most = 2, .seed = 1}).of.items !=
        of({.dropped_by = {"prerank"}, .most = 2, .seed = 2}).of.items);
  CHECK(refuses([&] { of({.dropped_by = {"pre"}}); }, "funnel::hard_negatives",
                "dropped_by is \"pre\", expected one of \"popular\", \"towers\", \"prerank\""));
  CHECK(refuses([&] { of({.ranked_by = "page"}); }, "funnel::hard_negatives", "expected one of"));
  CHECK(refuses([&] { of({.ranked_by = "rank", .output = 2}); }, "funnel::hard_negatives",
                "output is 2, expected below 2"));
  CHECK(refuses([&] { of({}); }, "funnel::hard_negatives", "expected a stage"));
  CHECK(refuses([&] { of({.ranked_by = "rank", .low_part = 0}); }, "funnel::hard_negatives",
                "low_part"));
}

TEST_CASE("hard_negatives: with features, those of the sample") {
  const example data(50);
  const funnel_log log = data.log(9);
  funnel_log_reader reader(log);
  const logged_lists lists = hard_negatives(reader, data.features, {.dropped_by = {"prerank"}});
  REQUIRE(lists.rows.rows() == 3 * data.past.rows.requests());  // sample_per_stage
  CHECK(std::ranges::equal(lists.rows.offsets(), lists.of.offsets));
  std::uint32_t r = 0;
  serve_log(data.rows, data.features, data.past.rows, 9,
            [&](const served_page& page, const row_batch& served) {
              row_batch got, expected;
              lists.rows.gather(std::vector{r}, got);
              detail::clear_like(served, expected);
              detail::append_request(served, 0, expected);
              for (std::uint32_t i = lists.of.offsets[r]; i < lists.of.offsets[r + 1]; ++i) {
                const std::uint32_t slot = page.found.find(lists.of.items[i]);
                detail::append_rows(served, slot, slot + 1, expected);
              }
              detail::end_request(expected);
              CHECK(same_batch(got, expected));
              ++r;
            });
}

TEST_CASE("distillation_lists: what nobody saw, with the ranker's scores; they train a model") {
  const example data(200);
  const funnel_log log = data.log(9);
  funnel_log_reader reader(log);
  const logged_lists all = distillation_lists(reader);
  CHECK(all.of.items.size() == 5 * all.of.requests.size());
  for (std::size_t i = 0; i < all.of.items.size(); ++i) {
    CHECK(all.of.items[i] == 10'000 + 2 * static_cast<std::int64_t>(i % 5));
    CHECK(all.scores[2 * i] == -static_cast<float>(2 * (i % 5)));
    CHECK(all.of.fates[i] == candidates::fate{drop_cause::size, 4});
  }
  funnel_log_reader again(log);
  const logged_lists lists = distillation_lists(again, data.features);
  REQUIRE(lists.rows.rows() == 3 * data.past.rows.requests());
  for (std::size_t i = 0; i < lists.rows.rows(); ++i)
    CHECK(lists.rows.label(0)[i] == -static_cast<float>(lists.of.items[i] - 10'000));
  two_head_ranker<float> model(data.features, 5);
  const auto result =
      train(model, lists.rows,
            [](auto& context, const auto& m, const row_batch& leaf) {
              return listwise_distillation(context, m(context, leaf)[0], leaf.label(0),
                                           leaf.offsets, {.scale = teacher_scale::logit});
            },
            {.epochs = 3, .batch_rows = 128});
  CHECK(result.losses.back() < result.losses.front());
  funnel_log_reader few(log);
  CHECK(distillation_lists(few, {.least = 6}).of.requests.empty());
  funnel_log_reader some(log);
  CHECK(distillation_lists(some, {.most = 2}).of.items.size() == 2 * all.of.requests.size());
  funnel_log_reader unknown(log);
  CHECK(refuses([&] { distillation_lists(unknown, {.teacher = "r"}); },
                "funnel::distillation_lists", "expected one of \"prerank\", \"rank\""));
}

TEST_CASE("encoded_log of rows: errors") {
  const example data(20);
  row_batch rows;
  data.past.rows.gather(std::vector<std::uint32_t>{0, 1}, rows);
  const auto refused = [&](const row_batch& batch, std::vector<std::int64_t> times,
                           std::vector<std::vector<float>> labels, std::string_view words) {
    return refuses([&] { encoded_log(data.features, batch, times, labels); }, "funnel::encoded_log",
                   words);
  };
  CHECK(encoded_log(data.features, rows, {5, 5}).rows() == rows.rows());
  CHECK(refused(rows, {5}, {}, "times has 1 value, expected 2"));
  CHECK(refused(rows, {5, 4}, {}, "times[1] is 4, expected 5 or more"));
  CHECK(refused(rows, {5, 5}, {{1.f}}, "a label has 1 value"));
  row_batch fewer = rows;
  fewer.item.categories.pop_back();
  CHECK(refused(fewer, {5, 5}, {}, "rows.item has"));
  fewer = rows;
  fewer.cross.numbers.pop_back();
  CHECK(refused(fewer, {5, 5}, {}, "rows.cross has"));
  fewer = rows;
  fewer.histories.pop_back();
  CHECK(refused(fewer, {5, 5}, {}, "rows.histories has 0 values"));
  fewer = rows;
  fewer.item.lists[0].offsets[1] = 1000;
  CHECK(refused(fewer, {5, 5}, {}, "offsets of a list"));
  CHECK(refuses(
      [&] {
        encoded_log(schema(every_kind()), rows, {5, 5});
      },
      "funnel::encoded_log", "not fitted"));
}
