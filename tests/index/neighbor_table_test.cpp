// SPDX-License-Identifier: MIT
#include <funnel/index/neighbor_table.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

using namespace funnel;
using lists = std::vector<std::vector<scored_item>>;

TEST_CASE("a neighbor table gives the lists that it was made of") {
  const neighbor_table table(lists{{{2, .9f}, {1, .5f}}, {}, {{0, .9f}, {3, .9f}}, {{2, -1}}});
  CHECK(table.size() == 4);
  CHECK(std::ranges::equal(table.neighbors(0), std::vector<item_id>{2, 1}));
  CHECK(std::ranges::equal(table.scores(0), std::vector<float>{.9f, .5f}));
  CHECK(table.neighbors(1).empty());
  CHECK(table.scores(3)[0] == -1);
  CHECK(table.neighbors(4).empty());  // an item that it does not have
  CHECK(table.scores(4).empty());
  CHECK(neighbor_table().size() == 0);
  CHECK(neighbor_table().neighbors(0).empty());
}

TEST_CASE("what a neighbor table refuses, and damaged files") {
  const auto refused = [](const lists& of, const char* words) {
    return refuses([&] { (void)neighbor_table(of); }, "funnel::neighbor_table", words);
  };
  CHECK(refused({{{1, 1}}}, "a neighbor is 1, expected below 1"));
  CHECK(refused({{{0, 1}}}, "lists[0][0] is item 0"));
  CHECK(refused({{{1, 1}, {2, 2}}, {}, {}}, "lists[0][1] is item 2 with score 2"));
  CHECK(refused({{{1, std::numeric_limits<float>::quiet_NaN()}}, {}}, "descending finite scores"));
  const neighbor_table table(lists{{{2, .9f}, {1, .5f}}, {}, {{0, .9f}}});
  const saved_state file(table);
  neighbor_table loaded;
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  const char* words = "a neighbor table is damaged";
  CHECK(refuses_state(table, file.with("items", std::vector<item_id>{2, 3, 0}), words));
  CHECK(refuses_state(table, file.with("items", std::vector<item_id>{0, 1, 0}), words));
  CHECK(refuses_state(table, file.with("scores", std::vector<float>{.5f, .9f, 1}), words));
  CHECK(refuses_state(table, file.with("scores", std::vector<float>{1, 1}), words));
  CHECK(refuses_state(table, file.with("offsets", std::vector<std::uint64_t>{0, 3, 2, 3}), words));
  CHECK(refuses_state(table, file.with("offsets", std::vector<std::uint64_t>{}), words));
}
