// SPDX-License-Identifier: MIT
#include <funnel/index/flat_index.hpp>
#include <funnel/index/item_filter.hpp>

#include "index/searches.hpp"
#include "support/catch.hpp"

#include <cstdint>
#include <vector>

using funnel::flat_index;
using funnel::item_id;
using funnel::matrix;

TEST_CASE("item_bitmap: a search finds the items of the set, or all others") {
  const matrix<float> vectors = whole_numbers(300, 4, 1);
  const matrix<float> query = whole_numbers(1, 4, 2);
  const flat_index<> index(vectors);
  std::vector<std::uint64_t> words(4);  // items 256 and more are not in it
  const auto chosen = [](item_id item) { return item < 256 && item * 7 % 5 == 1; };
  for (item_id i = 0; i < 300; ++i)
    if (chosen(i)) words[i / 64] |= std::uint64_t{1} << i % 64;
  const funnel::item_bitmap set{words};
  check_same(search(index, query.row(0), 300, set), naive(vectors, query.row(0), 300, chosen));
  const auto others = [&](item_id i) { return !set(i); };
  check_same(search(index, query.row(0), 20, others),
             naive(vectors, query.row(0), 20, [&](item_id i) { return !chosen(i); }));
  CHECK(search(index, query.row(0), 5, funnel::item_bitmap{}).empty());
}
