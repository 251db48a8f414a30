// SPDX-License-Identifier: MIT
#include <funnel/features/row_batch.hpp>

#include <funnel/features/column_table.hpp>
#include <funnel/features/fit_schema.hpp>
#include <funnel/features/request_encoder.hpp>

#include "features/random_log.hpp"
#include "support/catch.hpp"

#include <stdexcept>
#include <vector>

using namespace funnel;

namespace {

struct encoded_requests {
  column_table items;
  schema features;
  fitted past;

  encoded_requests()
      : features({.of_user = {history{.name = "clicked", .action = "click"}},
                  .of_item = {category{"item_id"}, category_list{"tags"}, number{"price"}},
                  .of_cross = {rate{"pair", {"user_id", "item_id"}, "click"}},
                  .labels = "click"}) {
    items.add("item_id", 5, [](std::size_t i) { return i; });
    items.add("tags", 5, [](std::size_t i) { return std::vector<std::size_t>(i, i); });
    items.add("price", 5, [](std::size_t i) { return static_cast<double>(i * i); });
    column_table log;
    log.add("user_id", 40, [](std::size_t i) { return i % 3; });
    log.add("item_id", 40, [](std::size_t i) { return i * i % 5; });
    log.add("time", 40, [](std::size_t i) { return i; });
    log.add("click", 40, [](std::size_t i) { return i % 2; });
    past = fit_schema(features, log, {.items = items});
    past.state.advance(features, 100);
  }
};

bool equal(const side_values& a, const side_values& b) {
  bool same = a.rows == b.rows && a.categories == b.categories && a.numbers == b.numbers &&
              a.lists.size() == b.lists.size();
  for (std::size_t l = 0; same && l < a.lists.size(); ++l)
    same = a.lists[l].ids == b.lists[l].ids && a.lists[l].offsets == b.lists[l].offsets;
  return same;
}

}  // namespace

TEST_CASE("rows that are picked from a request are those of a request with these items") {
  const encoded_requests made;
  request_encoder encode(made.features, made.past.state), again(made.features, made.past.state);
  const std::vector<int> items{3, 0, 4, 1, 2};
  row_batch some;
  for (const std::vector<std::uint32_t>& picked :
       {std::vector<std::uint32_t>{4, 0, 0, 2}, {1}, {}, {0, 1, 2, 3, 4}}) {
    const row_batch& all = encode(1, items, 100);
    pick_rows(all, picked, some);
    CHECK(some.rows() == picked.size());
    CHECK(some.requests() == 1);
    CHECK(some.step_rows == picked.size());
    if (picked.empty()) continue;
    std::vector<int> ids;
    for (const std::uint32_t i : picked) ids.push_back(items[i]);
    const row_batch& expected = again(1, ids, 100);
    CHECK(equal(some.user, expected.user));
    CHECK(equal(some.item, expected.item));
    CHECK(equal(some.context, expected.context));
    CHECK(equal(some.cross, expected.cross));
    CHECK(some.histories[0].fields == expected.histories[0].fields);
    CHECK(some.histories[0].offsets == expected.histories[0].offsets);
  }
}

TEST_CASE("rows are picked from one request, and are there") {
  const encoded_requests made;
  row_batch two, to;
  made.past.rows.gather(std::vector<std::uint32_t>{1, 2}, two);
  const std::vector<std::uint32_t> first{0};
  CHECK_THROWS_AS(pick_rows(two, first, to), std::invalid_argument);
  request_encoder encode(made.features, made.past.state);
  row_batch one = encode(1, std::vector<int>{3, 0}, 100);
  pick_rows(one, first, to);
  const std::vector<std::uint32_t> wrong{0, 2};
  CHECK_THROWS_AS(pick_rows(one, wrong, to), std::invalid_argument);
  CHECK(to.rows() == 1);
  CHECK_THROWS_AS(pick_rows(one, first, one), std::invalid_argument);
  CHECK(one.rows() == 2);
}
