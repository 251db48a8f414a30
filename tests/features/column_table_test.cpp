// SPDX-License-Identifier: MIT
#include <funnel/features/column_table.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

using funnel::column_table;
using funnel::columns;

namespace {

struct sale {
  std::uint32_t user;
  std::optional<double> price;
  bool paid;
  std::string device;
  std::vector<std::string> tags;
};

const std::vector<sale> sales{
    {3, 1.5, true, "ios", {"new", "red"}}, {4, {}, false, "web", {}}, {3, 2, true, "ios", {"red"}}};

}  // namespace

TEST_CASE("rows of one's own become columns by a callback per column") {
  column_table table;
  table.add("user", sales.size(), [](std::size_t i) { return sales[i].user; });
  table.add("price", sales.size(), [](std::size_t i) { return sales[i].price; });
  table.add("paid", sales.size(), [](std::size_t i) { return sales[i].paid; });
  table.add("device", sales.size(),
            [](std::size_t i) -> const std::string& { return sales[i].device; });
  table.add(
      "tags", sales.size(), [](std::size_t i) -> const auto& { return sales[i].tags; });
  CHECK(table.rows() == 3);
  const columns view = table;
  CHECK(view.size() == 5);
  CHECK(view["user"].kind() == funnel::value_kind::integer);
  CHECK(view["user"].number(1) == 4);
  CHECK(view["price"].number(0) == 1.5);
  CHECK(!view["price"].has_value(1));
  CHECK(view["paid"].number(2) == 1);
  CHECK(view["device"].text(2) == "ios");
  CHECK(view["device"].dictionary().size() == 2);
  const funnel::column& tags = view["tags"];
  CHECK(tags.is_list());
  CHECK(tags.rows() == 3);
  CHECK(tags.begin(1) == tags.end(1));
  CHECK(tags.text(tags.begin(2)) == "red");
}

TEST_CASE("a copy of a table has values of its own") {
  column_table copy;
  {
    column_table table;
    table.add("x", std::vector<float>{1, 2});
    table.add("name", std::vector<std::string>{"a", "b"});
    copy = table;
  }
  CHECK(copy.view()["x"].number(1) == 2);
  CHECK(copy.view()["name"].text(1) == "b");
}

TEST_CASE("columns are added that are computed from a view of the same table") {
  column_table table;
  table.add("clicked", std::vector<std::string>{"yes", "no", "yes"});
  const columns before = table;
  for (int j = 0; j < 50; ++j)
    table.add("click" + std::to_string(j), before.rows(),
              [&](std::size_t i) { return before["clicked"].text(i) == "yes"; });
  CHECK(before.size() == 1);
  const columns after = table;
  CHECK(after.size() == 51);
  CHECK(after["click49"].integers()[0] == 1);
  CHECK(after["click49"].integers()[1] == 0);
  CHECK(before["clicked"].text(2).data() == after["clicked"].text(2).data());  // nothing has moved
}

TEST_CASE("a column that does not fit leaves the table as it was") {
  column_table table;
  table.add("x", std::vector<int>{1, 2});
  CHECK(refuses([&] { table.add("x", std::vector<int>{1, 2}); }, "funnel::column", "two columns"));
  CHECK(refuses([&] { table.add("y", std::vector<int>{1}); }, "funnel::column",
                "has 1 rows, expected 2"));
  CHECK(table.view().size() == 1);
}

TEST_CASE("a value of another kind than the column's is refused, and leaves the column as it was") {
  using funnel::column_values, funnel::value_kind;
  const auto check = [](value_kind kind, auto value, const char* said) {
    column_values values(kind);
    CHECK(refuses([&] { values.push_back(value); }, "funnel::column_values::push_back", said));
    CHECK(values.view().rows() == 0);
  };
  check(value_kind::integer, 1.5, "integers, expected numbers");
  check(value_kind::number, std::int64_t{1}, "numbers, expected integers");
  check(value_kind::text, std::int64_t{1}, "text, expected integers");
  check(value_kind::number, std::string_view("1"), "numbers, expected text");
}

TEST_CASE("lists of lists of nothing are still lists") {
  column_table table;
  table.add("tags", 2, [](std::size_t) { return std::vector<std::string>(); });
  CHECK(table.rows() == 2);
  CHECK(table.view()["tags"].is_list());
  column_table empty;
  empty.add("tags", 0, [](std::size_t) { return std::vector<std::string>(); });
  CHECK(empty.view()["tags"].is_list());
}

TEST_CASE("selected rows are copies of them, in the order that was asked for") {
  column_table table;
  table.add("user", sales.size(), [](std::size_t i) { return sales[i].user; });
  table.add("price", sales.size(), [](std::size_t i) { return sales[i].price; });
  table.add("device", sales.size(), [](std::size_t i) { return sales[i].device; });
  table.add("tags", sales.size(), [](std::size_t i) { return sales[i].tags; });
  table.add("age", sales.size(),
            [](std::size_t i) { return i == 1 ? std::optional<int>() : std::optional<int>(30); });
  const std::vector<std::uint32_t> rows{2, 1, 0, 2};
  const column_table selected = funnel::select_rows(table, rows);
  const columns from = table, to = selected;
  REQUIRE(to.size() == from.size());
  REQUIRE(to.rows() == rows.size());
  for (std::size_t c = 0; c < to.size(); ++c) {
    CHECK(to.name(c) == from.name(c));
    CHECK(to[c].kind() == from[c].kind());
    CHECK(to[c].is_list() == from[c].is_list());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::size_t row = rows[i];
      REQUIRE(to[c].end(i) - to[c].begin(i) == from[c].end(row) - from[c].begin(row));
      for (std::size_t j = 0; j < to[c].end(i) - to[c].begin(i); ++j)
        CHECK(to[c].key(to[c].begin(i) + j) == from[c].key(from[c].begin(row) + j));
    }
  }
  CHECK(to["price"].number(3) == 2);
  CHECK(!to["price"].has_value(1));
  CHECK(refuses(
      [&] {
        funnel::select_rows(table, std::vector<std::uint32_t>{0, 3});
      },
      "funnel::select_rows", "is 3, expected below 3"));
  const column_table none = funnel::select_rows(table, {});
  CHECK(none.rows() == 0);
  for (std::size_t c = 0; c < table.view().size(); ++c)
    CHECK(none.view()[c].is_list() == table.view()[c].is_list());
}
