// SPDX-License-Identifier: MIT
#include <funnel/features/segments.hpp>

#include <funnel/core/random.hpp>
#include <funnel/features/column_table.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

using funnel::segments;

namespace {

using keys = std::vector<std::uint64_t>;

/// A log with the columns activity, tab and is_new; some values are missing, some are negative.
funnel::column_table random_rows(std::size_t n, std::uint64_t seed) {
  funnel::random_generator bits(seed);
  std::vector<std::int64_t> activity, tab, fresh;
  for (std::size_t i = 0; i < n; ++i) {
    activity.push_back(static_cast<std::int64_t>(bits() % 4) - 1);
    const std::uint64_t popular = bits() % 16;  // 8 tabs: half of the rows, a fourth, ...
    // The keys of frequent tabs are those of activities and of fresh, too.
    tab.push_back(popular < 8 ? 0 : popular < 12 ? 1 : static_cast<std::int64_t>(bits() % 8));
    fresh.push_back(static_cast<std::int64_t>(bits() % 8 == 0));
  }
  funnel::column_table log;
  log.add("fresh", fresh);
  log.add("tab", tab);
  log.add("activity", activity);
  return log;
}

keys keys_of(const funnel::columns& log, const std::vector<std::string>& names, std::size_t i) {
  keys row;
  for (const std::string& name : names) row.push_back(log[name].key(i));
  return row;
}

const std::vector<std::string> all_three{"activity", "tab", "fresh"};

}  // namespace

TEST_CASE("segments: frequent combinations, and what the others fall back to") {
  funnel::column_table log;
  log.add("activity", std::vector<int>{1, 1, 1, 1, 0, 0, 2});
  log.add("tab", std::vector<int>{7, 7, 3, 3, 3, 7, 7});
  const segments groups(log, {"activity", "tab"}, {.min_rows = 2});
  REQUIRE(groups.size() == 5);  // all; 0; 1; 1 and 3; 1 and 7
  CHECK(groups.categories() == 2);
  CHECK(groups.find(0) == 1);
  CHECK(groups.find(1) == 2);
  CHECK(groups.find(1, 3) == 3);
  CHECK(groups.find(1, 7) == 4);
  CHECK(groups.find(0, 7) == 1);  // one row
  CHECK(groups.find(2, 7) == 0);  // one row
  CHECK(groups.find(9, 3) == 0);  // unknown
  CHECK(groups.find(1, 9) == 2);
  CHECK(groups.find(9, 1) == 0);  // not activity 1
  CHECK(groups.find() == 0);
  CHECK(groups.find(keys{1, 7}) == 4);
  CHECK(groups.of_rows(log) == std::vector<std::uint32_t>{4, 4, 3, 3, 1, 1, 0});
  CHECK(groups.parent(0) == 0);
  CHECK(groups.parent(1) == 0);
  CHECK(groups.parent(3) == 2);
  CHECK(groups.parent(4) == 2);
  CHECK(groups.name(0) == "all");
  CHECK(groups.name(2) == "activity=1");
  CHECK(groups.name(4) == "activity=1, tab=7");
}

TEST_CASE("segments: texts, numbers and missing values") {
  funnel::column_table log;
  log.add("device", std::vector<std::string>{"ios", "ios", "web", "web"});
  log.add("price", std::vector<double>{.5, .5, NAN, NAN});
  const segments groups(log, {"device", "price"}, {.min_rows = 2});
  REQUIRE(groups.size() == 4);  // a missing price is no segment
  const std::uint32_t ios = groups.find(funnel::category_key("ios"));
  CHECK(groups.name(ios) == "device=ios");
  CHECK(groups.name(3) == "device=ios, price=0.5");
  CHECK(groups.of_rows(log)[0] == 3);
  CHECK(groups.of_rows(log)[2] == groups.find(funnel::category_key("web"), funnel::missing_key));
  CHECK(groups.name(groups.of_rows(log)[2]) == "device=web");
}

TEST_CASE("segments: as a count of every combination says") {
  for (const std::size_t min_rows : {1u, 2u, 40u, 150u, 5000u}) {
    const funnel::column_table log = random_rows(2000, min_rows);
    const funnel::columns rows = log;
    const segments groups(log, all_three, {.min_rows = min_rows});
    std::map<keys, std::size_t> counts;
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      keys row = keys_of(rows, all_three, i);
      for (; !row.empty(); row.pop_back()) ++counts[row];
    }
    std::size_t frequent = 1;
    for (const auto& [row, count] : counts) frequent += count >= min_rows ? 1 : 0;
    REQUIRE(groups.size() == frequent);
    std::map<keys, std::uint32_t> numbers{{{}, 0}};
    for (const auto& [row, count] : counts)
      if (count >= min_rows) numbers[row] = groups.find(row);
    std::map<std::uint32_t, keys> back;
    for (const auto& [row, number] : numbers) back[number] = row;
    CHECK(back.size() == frequent);  // each has a number of its own
    for (const auto& [row, number] : numbers) {
      if (row.empty()) continue;
      keys shorter = row;
      shorter.pop_back();
      CHECK(groups.parent(number) == numbers.at(shorter));
      CHECK(groups.parent(number) < number);
    }
    const std::vector<std::uint32_t> found = groups.of_rows(log);
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      keys row = keys_of(rows, all_three, i);
      const std::uint32_t number = groups.find(row);
      while (!numbers.contains(row)) row.pop_back();
      if (found[i] != numbers.at(row) || number != found[i]) FAIL_CHECK("row " << i);
    }
  }
}

TEST_CASE("segments: the order of the rows does not matter") {
  const funnel::column_table log = random_rows(500, 3);
  std::vector<std::uint32_t> backward;
  for (std::uint32_t i = 500; i-- > 0;) backward.push_back(i);
  const funnel::column_table turned = funnel::select_rows(log, backward);
  const segments one(log, all_three, {.min_rows = 20}), other(turned, all_three, {.min_rows = 20});
  CHECK(one.size() > 10);
  CHECK(saved_state(one) == saved_state(other));
}

TEST_CASE("segments: none, of no rows and of no categories") {
  const segments none;
  CHECK(none.size() == 1);
  CHECK(none.find() == 0);
  CHECK(none.name(0) == "all");
  const funnel::column_table log = random_rows(30, 1), empty = random_rows(0, 1);
  CHECK(none.of_rows(log) == std::vector<std::uint32_t>(30));
  const segments unseen(empty, all_three);
  CHECK(unseen.size() == 1);
  CHECK(unseen.find(1, 5, 0) == 0);
  CHECK(segments(log, {}).size() == 1);
  segments moved(log, all_three, {.min_rows = 1});
  const segments taken = std::move(moved);
  CHECK(taken.size() > 1);
  CHECK(moved.size() == 1);  // NOLINT(bugprone-use-after-move)
  CHECK(moved.of_rows(log) == none.of_rows(log));
}

TEST_CASE("segments: what is saved is loaded, and nothing else") {
  const funnel::column_table log = random_rows(500, 3);
  const segments groups(log, all_three, {.min_rows = 20});
  const saved_state state(groups);
  segments loaded;
  state.load(loaded);
  CHECK(saved_state(loaded) == state);
  CHECK(loaded.of_rows(log) == groups.of_rows(log));
  for (std::uint32_t s = 0; s < groups.size(); ++s) {
    CHECK(loaded.name(s) == groups.name(s));
    CHECK(loaded.parent(s) == groups.parent(s));
  }
  using u32 = std::vector<std::uint32_t>;
  using u64 = std::vector<std::uint64_t>;
  funnel::column_table few;
  few.add("a", std::vector<int>{1, 1, 2});
  few.add("b", std::vector<int>{4, 5, 6});
  const segments small(few, {"a", "b"}, {.min_rows = 1});  // 1, 2; 1 4, 1 5, 2 6
  const saved_state right(small);
  const auto refused = [&](const saved_state& wrong, std::string_view words) {
    return refuses_state(small, wrong, words);
  };
  CHECK(refused(right.with("parents", u32{0, 0, 1, 1}), "keys has 5 values, expected 4"));
  CHECK(refused(right.with("parents", u32{0, 0, 3, 1, 2}), "parents[2] is 3, expected at most 2"));
  CHECK(refused(right.with("parents", u32{0, 0, 2, 1, 2}), "pairs of parent and key"));
  CHECK(refused(right.with("keys", u64{1, 1, 4, 5, 6}), "pairs of parent and key"));
  CHECK(refused(right.with("parents", u32{0, 0, 1, 1, 3}), "parents[4] is at depth 3"));
  CHECK(refused(right.with("labels.ends", u64{1, 2, 3, 4}), "labels ends at 4 of 5 bytes"));
  CHECK(refused(right.with("labels.ends", u64{1, 2, 3, 5}), "labels has 4 values, expected 5"));
  CHECK(refused(right.with("names.ends", u64{2, 1}), "names ends at 2 of 1 bytes"));
  CHECK(refused(right.with("names.ends", u64{1, 1ULL << 60}), "names ends at"));
}

TEST_CASE("segments: refuses what it cannot read") {
  const funnel::column_table log = random_rows(10, 1);
  CHECK(refuses(
      [&] {
        segments(log, {"tab", "page"});
      },
      "funnel::columns", "column \"page\" is missing"));
  CHECK(refuses([&] { segments(log, {"tab", "tab"}); }, "funnel::segments", "\"tab\" twice"));
  CHECK(refuses([&] { segments(log, {"tab"}, {.min_rows = 0}); }, "funnel::segments",
                "min_rows is 0, expected 1 or more"));
  const std::vector<std::int64_t> ids{1, 2, 3};
  const std::vector<std::uint64_t> offsets{0, 2, 3};
  funnel::columns lists;
  lists.add("tags", funnel::column(std::span(ids)).with_lists(offsets));
  CHECK(refuses([&] { segments(lists, {"tags"}); }, "funnel::segments", "\"tags\" holds lists"));
  const segments groups(log, {"tab"}, {.min_rows = 1});
  CHECK(refuses([&] { groups.of_rows(lists); }, "funnel::columns", "\"tab\" is missing"));
  CHECK(refuses([&] { groups.find(1, 2); }, "funnel::segments::find",
                "keys has 2 values, expected 1"));
  const auto end = static_cast<std::uint32_t>(groups.size());
  CHECK(refuses([&] { groups.parent(end); }, "funnel::segments::parent", "segment is "));
  CHECK(refuses([&] { groups.name(end); }, "funnel::segments::name", "segment is "));
}
