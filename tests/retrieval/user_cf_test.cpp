// SPDX-License-Identifier: MIT
#include <funnel/retrieval/user_cf.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"
#include "user_item_matrices.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

using namespace funnel;

TEST_CASE("user_cf of four users") {
  // Items 0 and 1 are liked by three users, item 2 by two.
  const std::vector<sparse_entry> liked{{0, 0}, {0, 1}, {1, 0}, {1, 1},
                                        {1, 2}, {2, 0}, {2, 2}, {3, 1}};
  const neighbor_table plain =
      user_cf(sparse_matrix(liked), {.damp_popular = false, .shrinkage = 0});
  REQUIRE(plain.size() == 4);
  CHECK(std::ranges::equal(plain.neighbors(0), std::vector<item_id>{1, 3, 2}));
  CHECK(is_close(plain.scores(0)[0], 2 / std::sqrt(6.)));  // both items of user 0
  CHECK(is_close(plain.scores(0)[1], 1 / std::sqrt(2.)));
  CHECK(is_close(plain.scores(0)[2], 1. / 2));
  CHECK(std::ranges::equal(plain.neighbors(3), std::vector<item_id>{0, 1}));

  const neighbor_table damped = user_cf(sparse_matrix(liked), {.shrinkage = 0});
  // 2 / ln 4 of the two popular items; 1 / ln 4 + 1 / ln 3 with the rarer one.
  CHECK(std::ranges::equal(damped.neighbors(1), std::vector<item_id>{2, 0, 3}));
  CHECK(is_close(damped.scores(1)[0], (1 / std::log(4.) + 1 / std::log(3.)) / std::sqrt(6.)));
  CHECK(is_close(damped.scores(1)[1], 2 / std::log(4.) / std::sqrt(6.)));
  CHECK(is_close(damped.scores(1)[2], 1 / std::log(4.) / std::sqrt(3.)));
}

TEST_CASE("user_cf equals its definition, with caps, on any number of threads") {
  for (const bool damp : {false, true}) {
    for (const std::size_t values : {1u, 4u}) {
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const user_cf_options options{.damp_popular = damp,
                                      .neighbors = 1000,
                                      .min_items = 2,
                                      .shrinkage = 3,
                                      .most_items_of_user = 9,
                                      .most_users_of_item = 10};
        const sparse_matrix all = random_matrix_of(seed, 70, 40, 500, values);
        const neighbor_table table = user_cf(all, options);
        const sparse_matrix kept = all.latest(9).transposed().latest(10).transposed();
        const sparse_matrix every_user = all.transposed();
        for (user_id u = 0; u < 70; ++u) {
          std::size_t expected = 0;
          for (user_id v = 0; v < 70; ++v) {
            double products = 0, common = 0, squares_u = 0, squares_v = 0;
            const sparse_row a = kept[u], b = kept[v];
            for (const float x : a.values) squares_u += double{x} * double{x};
            for (const float x : b.values) squares_v += double{x} * double{x};
            for (std::size_t n = 0; n < a.size(); ++n)
              for (std::size_t m = 0; m < b.size(); ++m)
                if (a.columns[n] == b.columns[m]) {
                  const auto likers = static_cast<double>(every_user[a.columns[n]].size());
                  products += double{a.values[n]} * double{b.values[m]} *
                              (damp ? 1 / std::log(1 + likers) : 1.);
                  ++common;
                }
            if (u == v || common < 2) continue;
            ++expected;
            const auto found = std::ranges::find(table.neighbors(u), v);
            REQUIRE(found != table.neighbors(u).end());
            const auto place = static_cast<std::size_t>(found - table.neighbors(u).begin());
            CHECK(is_close(table.scores(u)[place],
                           products / std::sqrt(squares_u * squares_v) * common / (common + 3)));
          }
          CHECK(table.neighbors(u).size() == expected);
        }
        for (const std::size_t threads : {1u, 2u, 4u}) {
          thread_pool pool(threads);
          CHECK(saved_state(user_cf(pool, all, options)) == saved_state(table));
        }
      }
    }
  }
}

TEST_CASE(
    "user_cf keeps the best, of equal ones the lower user, and refuses options out of range") {
  const sparse_matrix all = random_matrix_of(1, 30, 60, 600, 1);
  const neighbor_table whole = user_cf(all), few = user_cf(all, {.neighbors = 4});
  for (user_id u = 0; u < 30; ++u) {
    REQUIRE(few.neighbors(u).size() == 4);
    for (std::size_t n = 0; n < 4; ++n) CHECK(few.neighbors(u)[n] == whole.neighbors(u)[n]);
    for (std::size_t n = 1; n < whole.neighbors(u).size(); ++n)
      CHECK((whole.scores(u)[n] < whole.scores(u)[n - 1] ||
             whole.neighbors(u)[n] > whole.neighbors(u)[n - 1]));
  }
  CHECK(user_cf(sparse_matrix()).size() == 0);
  CHECK(user_cf(sparse_matrix(std::vector<sparse_entry>{{1, 1}})).neighbors(1).empty());
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(saved_state(user_cf(all, {.neighbors = largest,
                                  .most_items_of_user = largest,
                                  .most_users_of_item = largest})) == saved_state(whole));
  const auto refused = [&](const user_cf_options& options, const char* words) {
    return refuses([&] { user_cf(all, options); }, "funnel::user_cf", words);
  };
  CHECK(refused({.neighbors = 0}, "neighbors is 0"));
  CHECK(refused({.min_items = 0}, "min_items is 0"));
  CHECK(refused({.shrinkage = -1}, "shrinkage is -1"));
  CHECK(refused({.shrinkage = std::numeric_limits<double>::quiet_NaN()}, "shrinkage is nan"));
  CHECK(refused({.shrinkage = std::numeric_limits<double>::infinity()}, "shrinkage is inf"));
  CHECK(refused({.most_items_of_user = 0}, "most_items_of_user is 0"));
  CHECK(refused({.most_users_of_item = 0}, "most_users_of_item is 0"));
}
