// SPDX-License-Identifier: MIT
#include <funnel/features/hide_candidates.hpp>

#include <funnel/features/column_table.hpp>
#include <funnel/features/fit_schema.hpp>

#include "support/catch.hpp"

#include <stdexcept>
#include <vector>

using namespace funnel;

namespace {

using codes = std::vector<std::uint32_t>;

/// Users with given lists; each row is one candidate. Items 1 to 4 are known, with the tags 1, 2, 1, 2.
row_batch made(schema& features, std::vector<std::vector<int>> lists, std::vector<int> items,
               std::vector<int> requests) {
  column_table users, item_table, log;
  users.add("user_id", lists.size(), [](std::size_t i) { return i; });
  users.add("watched", lists.size(), [&](std::size_t i) { return lists[i]; });
  item_table.add("item_id", std::vector<int>{1, 2, 3, 4});
  item_table.add("tag", std::vector<int>{1, 2, 1, 2});
  log.add("user_id", items.size(), [&](std::size_t i) { return requests[i]; });
  log.add("page", items.size(), [&](std::size_t i) { return requests[i]; });
  log.add("item_id", items);
  log.add("time", items.size(), [](std::size_t) { return 0; });
  const fitted past = fit_schema(features, log, {.users = users, .items = item_table});
  std::vector<std::uint32_t> all(past.rows.requests());
  for (std::uint32_t r = 0; r < all.size(); ++r) all[r] = r;
  row_batch rows;
  past.rows.gather(all, rows);
  return rows;
}

schema with_histories() {
  return schema(
      {.request = "page",
       .of_user = {history{.name = "watched", .column = "watched", .fields = {"item_id", "tag"}},
                   history{.name = "tags", .column = "watched", .fields = "tag"}},
       .of_item = {category{"item_id"}, category{"tag"}}});
}

}  // namespace

TEST_CASE("the candidates of a request are taken out of its histories") {
  schema features = with_histories();
  // Request 0 has the candidates 1 and 2, request 1 the candidate 3, request 2 an empty history.
  row_batch rows = made(features, {{1, 3, 2, 1, 4}, {3, 1}, {}}, {1, 2, 3, 4}, {0, 0, 1, 2});
  const auto id = [&](int item) {
    return features.values().vocabularies[0].find(static_cast<std::uint64_t>(item));
  };
  hide_candidates(features, rows);
  CHECK(rows.histories[0].offsets == codes{0, 2, 3, 3});
  CHECK(rows.histories[0].fields[0] == codes{id(3), id(4), id(1)});
  CHECK(rows.histories[0].fields[1].size() == 3);
  // A history of tags alone: what has the tag of a candidate.
  CHECK(rows.histories[1].offsets == codes{0, 0, 0, 0});
  CHECK(rows.histories[1].fields[0].empty());
  CHECK(rows.item.rows == 4);
}

TEST_CASE("items that the vocabulary does not have stay in a history") {
  schema features = with_histories();
  row_batch rows = made(features, {{1, 2}}, {1}, {0});
  for (auto& field : rows.histories[0].fields) field.assign(field.size(), 0);
  for (auto& column : rows.item.categories) column.assign(column.size(), 0);
  hide_candidates(features, rows);
  CHECK(rows.histories[0].offsets == codes{0, 2});
}

TEST_CASE("a batch of another schema is refused by hide_candidates") {
  schema features = with_histories(), other({.of_item = {category{"item_id"}}});
  row_batch rows = made(features, {{1, 2}}, {1}, {0});
  CHECK_THROWS_AS(hide_candidates(other, rows), std::invalid_argument);
  rows.histories[0].fields.pop_back();
  CHECK_THROWS_AS(hide_candidates(features, rows), std::invalid_argument);
  CHECK(rows.histories[0].offsets == codes{0, 2});
}
