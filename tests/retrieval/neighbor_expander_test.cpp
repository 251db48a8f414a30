// SPDX-License-Identifier: MIT
#include <funnel/retrieval/neighbor_expander.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstddef>
#include <limits>
#include <span>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using lists = std::vector<std::vector<scored_item>>;
using found_items = std::vector<std::pair<item_id, float>>;

const neighbor_table& table() {
  static const neighbor_table made(lists{{{2, .5f}, {3, .25f}, {4, .125f}},
                                         {{3, .5f}, {2, .25f}},
                                         {},
                                         {{0, 1}, {4, .75f}},
                                         {{3, -1}}});
  return made;
}

template <class... Admits>
found_items search(neighbor_expander& by, const std::vector<item_id>& seeds,
                   const std::vector<float>& weights, std::size_t most, const Admits&... admits) {
  std::vector<scored_item> out(most, {99, -9});
  const std::size_t count = by.search(seeds, weights, out, admits...);
  found_items found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].item == 99);
  return found;
}

}  // namespace

TEST_CASE("items that are similar to the seeds, best first") {
  neighbor_expander sum(table()), largest(table(), {.combine = combined_scores::largest}),
      one(table(), {.neighbors = 1});
  for (int again = 0; again < 2; ++again) {
    CHECK(search(sum, {0, 1}, {}, 9) == found_items{{2, .75f}, {3, .75f}, {4, .125f}});
    CHECK(search(sum, {0, 1}, {2, 1}, 9) == found_items{{2, 1.25f}, {3, 1}, {4, .25f}});
    CHECK(search(sum, {0, 1}, {}, 1) == found_items{{2, .75f}});
    CHECK(search(largest, {0, 1}, {2, 1}, 9) == found_items{{2, 1}, {3, .5f}, {4, .25f}});
    CHECK(search(one, {0, 1}, {}, 9) == found_items{{2, .5f}, {3, .5f}});
    CHECK(search(sum, {0, 0}, {}, 1) == found_items{{2, 1}});  // a seed that is there twice
    const auto odd = [](item_id i) { return i % 2 == 1; };
    CHECK(search(sum, {0, 1}, {}, 9, odd) == found_items{{3, .75f}});
  }
}

TEST_CASE("seeds with weights, as another search found them") {
  neighbor_expander by(table());
  const std::vector<scored_item> seeds{{1, 1}, {0, 2}, {77, 1}};
  std::vector<scored_item> out(9);
  const auto search_by = [&](std::span<const scored_item> of) {
    const std::size_t count = by.search(of, out, [](item_id i) { return i != 2; });
    found_items found;
    for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
    return found;
  };
  CHECK(search_by(seeds) == found_items{{3, 1}, {4, .25f}});
  CHECK(search_by({}).empty());
  const std::vector<scored_item> bad{{0, 1}, {1, 0}};
  CHECK(refuses([&] { search_by(bad); }, "funnel::neighbor_expander::search", "a weight is 0"));
}

TEST_CASE("seeds that lead nowhere") {
  neighbor_expander by(table());
  CHECK(search(by, {}, {}, 3).empty());
  CHECK(search(by, {2, 77}, {}, 3).empty());
  CHECK(search(by, {4}, {}, 3).empty());  // its score is below 0
  CHECK(search(by, {0}, {}, 0).empty());
  const neighbor_table none;
  neighbor_expander empty(none);
  CHECK(search(empty, {0}, {}, 3).empty());
}

TEST_CASE("what an expander refuses") {
  neighbor_expander by(table());
  const char* name = "funnel::neighbor_expander";
  CHECK(refuses([&] { search(by, {0, 1}, {1}, 3); }, name, "weights"));
  CHECK(refuses([&] { search(by, {0}, {0}, 3); }, name, "a weight is 0"));
  CHECK(refuses([&] { search(by, {0}, {std::numeric_limits<float>::infinity()}, 3); }, name,
                "a weight is inf"));
  CHECK(search(by, {0}, {}, 9).size() == 3);  // nothing is left of the refused ones
  CHECK(refuses([&] { neighbor_expander(table(), {.neighbors = 0}); }, name, "neighbors is 0"));
  CHECK(refuses([&] { neighbor_expander(table(), {.combine = static_cast<combined_scores>(2)}); },
                name, "combine is 2"));
}

TEST_CASE("an expander goes on with another table") {
  const neighbor_table smaller(lists{{{1, .5f}}, {{0, .25f}}});
  std::vector<std::vector<scored_item>> many(50);
  many[0] = {{49, 1}};
  const neighbor_table larger(many);
  neighbor_expander by(table());
  CHECK(search(by, {3}, {}, 9) == found_items{{0, 1}, {4, .75f}});
  by.follow(smaller);
  CHECK(search(by, {1}, {}, 9) == found_items{{0, .25f}});
  CHECK(search(by, {3}, {}, 9).empty());
  by.follow(larger);
  CHECK(search(by, {0}, {}, 9) == found_items{{49, 1}});
  by.follow(table());
  CHECK(search(by, {3}, {}, 9) == found_items{{0, 1}, {4, .75f}});
}
