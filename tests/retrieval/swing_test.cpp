// SPDX-License-Identifier: MIT
#include <funnel/retrieval/swing.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/data/csv_columns.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"
#include "user_item_matrices.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

using namespace funnel;

namespace {

sparse_matrix matrix_of(const std::vector<std::vector<std::uint32_t>>& items_of_users) {
  std::vector<sparse_entry> entries;
  for (std::size_t u = 0; u < items_of_users.size(); ++u)
    for (const std::uint32_t i : items_of_users[u])
      entries.push_back({static_cast<std::uint32_t>(u), i});
  return sparse_matrix(entries);
}

/// The similarity of two items; NaN if they are no neighbors.
float similarity(const neighbor_table& table, item_id i, item_id j) {
  for (std::size_t n = 0; n < table.neighbors(i).size(); ++n)
    if (table.neighbors(i)[n] == j) return table.scores(i)[n];
  return std::nanf("");
}

sparse_matrix random_matrix_of(std::uint64_t seed, std::size_t users, std::size_t items,
                               std::size_t count) {
  random_generator bits(seed);
  std::vector<sparse_entry> entries;
  for (std::size_t e = 0; e < count; ++e)
    entries.push_back({static_cast<std::uint32_t>(uniform_below(bits, users)),
                       static_cast<std::uint32_t>(uniform_below(bits, items)), 1,
                       static_cast<std::int64_t>(e)});
  return sparse_matrix(entries, {.rows = users, .columns = items});
}

}  // namespace

TEST_CASE("swing of three users: 13/15") {
  // h, t, r, p
  const sparse_matrix users = matrix_of({{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 3}});
  const neighbor_table table = swing(users, {.alpha = 1, .user_beta = 0});
  CHECK(is_close(similarity(table, 0, 3), 13. / 15));
  CHECK(is_close(similarity(table, 3, 0), 13. / 15));
  CHECK(is_close(similarity(table, 0, 1), 1. / 5));
}

TEST_CASE("swing: the values of Flink ML") {
  // Users with fewer than two items or more than three are left out.
  const sparse_matrix users =
      matrix_of({{0, 1, 2}, {3, 2}, {0, 1, 2}, {3, 2}, {}});  // items 10 to 13
  const neighbor_table table =
      swing(users, {.alpha = 0, .user_alpha = 15, .user_beta = .3, .most_users_of_item = 1000});
  const double a = .058845768947156235, b = .09134833828228624;
  CHECK(is_close(similarity(table, 0, 1), a));
  CHECK(is_close(similarity(table, 0, 2), a));
  CHECK(is_close(similarity(table, 1, 2), a));
  CHECK(is_close(similarity(table, 2, 3), b));
  CHECK(std::isnan(similarity(table, 0, 3)));
  CHECK(table.neighbors(2)[0] == 3);
}

TEST_CASE("swing: the values of LibRecommender") {
  const sparse_matrix users = matrix_of({{0, 1, 2, 3}, {0, 1, 3}, {0, 2, 3, 4}});
  const neighbor_table table = swing(users, {.alpha = 1, .without_item = true});
  CHECK(is_close(similarity(table, 0, 3), .32389594549567746));
  CHECK(is_close(similarity(table, 0, 1), .09622504486493764));
  CHECK(is_close(similarity(table, 0, 2), .08333333333333333));
  CHECK(std::isnan(similarity(table, 0, 4)));
  const neighbor_table plain = swing(users, {.alpha = 1});
  CHECK(is_close(similarity(plain, 0, 3), .23089382850864));
  CHECK(is_close(similarity(plain, 0, 1), .07216878364870));
  CHECK(is_close(similarity(plain, 0, 2), .0625));
}

TEST_CASE("swing equals its definition, with caps, on any number of threads") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const swing_options options{.alpha = .5,
                                .user_alpha = 2,
                                .user_beta = .4,
                                .neighbors = 1000,
                                .most_items_of_user = 12,
                                .most_users_of_item = 7};
    const sparse_matrix all = random_matrix_of(seed, 30, 25, 400);
    const neighbor_table table = swing(all, options);
    const sparse_matrix users = all.latest(12), items = users.transposed().latest(7);
    for (std::uint32_t i = 0; i < 25; ++i) {
      std::map<std::uint32_t, double> sums;
      const auto of_item = items[i].columns;
      for (const std::uint32_t u : of_item)
        for (const std::uint32_t v : of_item) {
          if (u >= v) continue;
          const std::set<std::uint32_t> of_u(users[u].columns.begin(), users[u].columns.end());
          std::vector<std::uint32_t> common;
          for (const std::uint32_t j : users[v].columns)
            if (of_u.count(j) > 0) common.push_back(j);
          const double weight = std::pow(static_cast<double>(users[u].size()) + 2, -.4) *
                                std::pow(static_cast<double>(users[v].size()) + 2, -.4) /
                                (.5 + static_cast<double>(common.size()));
          for (const std::uint32_t j : common)
            if (j != i) sums[j] += weight;
        }
      CHECK(table.neighbors(i).size() == sums.size());
      for (const auto& [j, sum] : sums) CHECK(is_close(similarity(table, i, j), sum));
    }
    for (const std::size_t threads : {1u, 2u, 4u}) {
      thread_pool pool(threads);
      CHECK(saved_state(swing(pool, all, options)) == saved_state(table));
    }
  }
}

TEST_CASE("swing keeps the best, and refuses options out of range") {
  const sparse_matrix all = random_matrix_of(1, 40, 30, 700);
  const neighbor_table whole = swing(all), short_one = swing(all, {.neighbors = 3});
  for (item_id i = 0; i < 30; ++i) {
    REQUIRE(short_one.neighbors(i).size() == 3);
    for (std::size_t n = 0; n < 3; ++n) CHECK(short_one.neighbors(i)[n] == whole.neighbors(i)[n]);
  }
  CHECK(swing(sparse_matrix()).size() == 0);
  // No limit, and one whose double is 0.
  const sparse_matrix many = random_matrix_of(2, 60, 120, 4000);
  const neighbor_table every = swing(many, {.neighbors = 120});
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t k : {largest, largest / 2 + 1})
    CHECK(saved_state(swing(many, {.neighbors = k})) == saved_state(every));
  const auto refused = [&](const swing_options& options, const char* words) {
    return refuses([&] { swing(all, options); }, "funnel::swing", words);
  };
  CHECK(refused({.alpha = -1}, "alpha is -1"));
  CHECK(refused({.alpha = 0, .without_item = true}, "alpha is 0, expected above 0"));
  CHECK(refused({.user_alpha = std::nan("")}, "user_alpha is nan"));
  CHECK(refused({.user_beta = -1}, "user_beta is -1"));
  CHECK(refused({.neighbors = 0}, "neighbors is 0"));
  CHECK(refused({.most_items_of_user = 0}, "most_items_of_user is 0"));
  CHECK(refused({.most_users_of_item = 0}, "most_users_of_item is 0"));
}

TEST_CASE("swing of ml-latest-small: the lists of the reference") {
  const std::string path = data_file("ml-latest-small/ratings.csv");
  const std::string lists_path =
      data_file("reference/ml-latest-small_swing_a15_b0.3_u10-200_ge4_top20_first150items.csv");
  if (path.empty() || lists_path.empty()) return;
  // Ratings of 4 and more, of users with 10 to 200 of them.
  const column_table ratings = read_csv(path);
  const auto number = [](const column_table& of, const char* name, std::size_t i) {
    return static_cast<std::uint32_t>(of.view()[name].number(i));
  };
  std::vector<sparse_entry> all, kept;
  for (std::size_t i = 0; i < ratings.rows(); ++i)
    if (ratings.view()["rating"].number(i) >= 4)
      all.push_back({number(ratings, "userId", i), number(ratings, "movieId", i)});
  const sparse_matrix of_users(all);
  for (const sparse_entry& e : all)
    if (of_users[e.row].size() >= 10 && of_users[e.row].size() <= 200) kept.push_back(e);
  const neighbor_table table = swing(
      sparse_matrix(kept),
      {.alpha = 0, .user_alpha = 15, .user_beta = .3, .neighbors = 20, .most_users_of_item = 1000});
  const column_table reference = read_csv(lists_path);
  std::uint32_t last = 0;
  for (std::size_t i = 0, place = 0; i < reference.rows(); ++i, ++place) {
    const item_id item = number(reference, "item", i);
    if (item != last) place = 0;
    last = item;
    REQUIRE(place < table.scores(item).size());
    const double score = reference.view()["score"].number(i);
    CHECK(is_close(table.scores(item)[place], score));
  }
  CHECK(reference.rows() > 1000);
}
