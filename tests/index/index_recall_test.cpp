// SPDX-License-Identifier: MIT
#include <funnel/index/flat_index.hpp>
#include <funnel/index/index_recall.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

/// Finds the best items but those that `misses` names.
struct forgetful_index {
  funnel::flat_index<> exact;
  std::vector<funnel::item_id> misses;

  std::size_t size() const { return exact.size(); }
  std::size_t dim() const { return exact.dim(); }
  template <class Admit = funnel::all_items>
  std::size_t search(std::span<const float> query, std::span<funnel::scored_item> found,
                     const Admit& admit = {}) const {
    return exact.search(query, found, [&](funnel::item_id item) {
      return admit(item) && std::ranges::find(misses, item) == misses.end();
    });
  }
};

/// Scores of item i for the two queries: i, and -i.
funnel::matrix<float> line(std::size_t n) {
  funnel::matrix<float> vectors(n, 1);
  for (std::size_t i = 0; i < n; ++i) vectors(i, 0) = static_cast<float>(i);
  return vectors;
}
const float both_ways[2] = {1, -1};
const funnel::matrix_view<const float> queries(both_ways, 2, 1);

}  // namespace

TEST_CASE("index_recall: the share of the exact best that is found, by hand") {
  const funnel::flat_index<> exact(line(10));
  const forgetful_index index{exact, {9, 0, 1}};
  // 9 8 7 6 is found as 8 7 6 5, and 0 1 2 3 as 2 3 4 5.
  CHECK(funnel::index_recall(index, exact, queries, 4) == 5. / 8);
  CHECK(funnel::index_recall(index, exact, queries, 1) == 0);
  CHECK(funnel::index_recall(exact, exact, queries, 4) == 1);
  // Fewer are found than asked for: 7 of 10, for both queries.
  CHECK(funnel::index_recall(index, exact, queries, 10) == .7);
  CHECK(funnel::index_recall(index, exact, queries, 1000) == .7);
}

TEST_CASE("index_recall: counts admitted items alone") {
  const funnel::flat_index<> exact(line(10));
  const forgetful_index index{exact, {9, 0, 1}};
  const auto even = [](funnel::item_id item) { return item % 2 == 0; };
  // 8 6 is found; 0 2 is found as 2 4.
  CHECK(funnel::index_recall(index, exact, queries, 2, even) == 3. / 4);
}

TEST_CASE("index_recall: nothing to find is NaN") {
  const funnel::flat_index<> exact(line(3)), empty(line(0));
  CHECK(std::isnan(funnel::index_recall(exact, exact, queries.middle_rows(0, 0), 1)));
  CHECK(std::isnan(funnel::index_recall(empty, empty, queries, 5)));
  CHECK(std::isnan(
      funnel::index_recall(exact, exact, queries, 1, [](funnel::item_id) { return false; })));
}

TEST_CASE("index_recall: refuses no items to find and another index's items") {
  const funnel::flat_index<> exact(line(3)), other(line(4));
  CHECK(refuses([&] { funnel::index_recall(exact, exact, queries, 0); }, "funnel::index_recall",
                "k is 0"));
  CHECK(refuses([&] { funnel::index_recall(other, exact, queries, 1); }, "funnel::index_recall",
                "index has 4 items, expected 3"));
  CHECK(funnel::index_recall(exact, exact, queries, std::numeric_limits<std::size_t>::max()) == 1);
}
