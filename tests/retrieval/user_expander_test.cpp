// SPDX-License-Identifier: MIT
#include <funnel/retrieval/user_expander.hpp>

#include <funnel/core/random.hpp>
#include <funnel/retrieval/user_cf.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

using namespace funnel;

namespace {

using found_items = std::vector<std::pair<item_id, float>>;

template <class... Admits>
found_items search(user_expander& by, user_id user, std::size_t most, const Admits&... admits) {
  std::vector<scored_item> out(most, {99, -9});
  const std::size_t count = by.search(user, out, admits...);
  found_items found;
  for (std::size_t i = 0; i < count; ++i) found.emplace_back(out[i].item, out[i].score);
  for (std::size_t i = count; i < most; ++i) CHECK(out[i].item == 99);
  return found;
}

}  // namespace

TEST_CASE("the items of similar users, best first") {
  using lists = std::vector<std::vector<scored_item>>;
  const neighbor_table similar(
      lists{{{1, .5f}, {2, .25f}}, {{0, .5f}}, {}, {{9, 1}}, {}, {}, {}, {}, {}, {}});
  const sparse_matrix liked(
      std::vector<sparse_entry>{{0, 0}, {1, 0}, {1, 3, 2}, {2, 3}, {2, 4, 4}, {2, 5}});
  user_expander by(similar, liked), one(similar, liked, {.neighbors = 1});
  for (int again = 0; again < 2; ++again) {
    // Item 3: .5 * 2 of user 1, .25 of user 2.
    CHECK(search(by, 0, 9) == found_items{{3, 1.25f}, {4, 1}, {0, .5f}, {5, .25f}});
    CHECK(search(by, 0, 2) == found_items{{3, 1.25f}, {4, 1}});
    CHECK(search(by, 0, 9, [](item_id i) { return i > 3; }) == found_items{{4, 1}, {5, .25f}});
    CHECK(search(one, 0, 9) == found_items{{3, 1}, {0, .5f}});
    CHECK(search(by, 1, 9) == found_items{{0, .5f}});
    CHECK(search(by, 2, 9).empty());
    CHECK(search(by, 3, 9).empty());   // its similar user is not in the matrix
    CHECK(search(by, 77, 9).empty());  // unknown
    CHECK(search(by, 0, 0).empty());
  }
  CHECK(refuses([&] { user_expander(similar, liked, {.neighbors = 0}); }, "funnel::user_expander",
                "neighbors is 0"));
  const neighbor_table none;
  const sparse_matrix nothing;
  user_expander empty(none, nothing);
  CHECK(search(empty, 0, 3).empty());
}

TEST_CASE("user_expander equals its definition") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    random_generator bits(seed);
    std::vector<sparse_entry> entries;
    for (std::size_t e = 0; e < 400; ++e)
      entries.push_back({static_cast<std::uint32_t>(uniform_below(bits, 40)),
                         static_cast<std::uint32_t>(uniform_below(bits, 50)),
                         static_cast<float>(1 + uniform_below(bits, 3)),
                         static_cast<std::int64_t>(uniform_below(bits, 50))});
    const sparse_matrix all(entries, {.rows = 40, .columns = 50}), latest = all.latest(5);
    const neighbor_table similar = user_cf(all);
    user_expander by(similar, latest, {.neighbors = 7});
    for (user_id user = 0; user < 40; ++user) {
      std::map<item_id, double> expected;
      for (std::size_t n = 0; n < std::min<std::size_t>(7, similar.neighbors(user).size()); ++n) {
        const sparse_row row = latest[similar.neighbors(user)[n]];
        for (std::size_t i = 0; i < row.size(); ++i)
          if (row.columns[i] % 3 != 0)
            expected[row.columns[i]] +=
                double{similar.scores(user)[n]} * static_cast<double>(row.values[i]);
      }
      const found_items found = search(by, user, 60, [](item_id i) { return i % 3 != 0; });
      CHECK(found.size() == expected.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        const double score = expected[found[i].first];
        CHECK(tolerance::within(static_cast<double>(found[i].second), score,
                                tolerance::reduction<float>(7, score)));
        CHECK((i == 0 || ranks_before(scored_item{found[i - 1].first, found[i - 1].second},
                                      scored_item{found[i].first, found[i].second})));
      }
    }
  }
}
