// SPDX-License-Identifier: MIT
#include <funnel/retrieval/item_cf.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>
#include <funnel/data/csv_columns.hpp>
#include <funnel/features/vocabulary.hpp>
#include <funnel/retrieval/neighbor_expander.hpp>

#include "support/catch.hpp"
#include "support/data.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"
#include "user_item_matrices.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace funnel;

TEST_CASE("item_cf of a table of ratings") {
  // Items by users.
  const std::vector<std::vector<float>> values{
      {1, 1, 0, 0}, {2, 1, 0, 0}, {0, 1, 1, 0}, {2, 1, 1, 0}, {0, 1, 2, 0}};
  std::vector<sparse_entry> entries;
  for (std::uint32_t i = 0; i < 5; ++i)
    for (std::uint32_t u = 0; u < 4; ++u)
      if (values[i][u] > 0) entries.push_back({u, i, values[i][u]});
  const neighbor_table table = item_cf(sparse_matrix(entries));
  const std::vector<std::vector<item_id>> expected{
      {1, 3, 2, 4}, {0, 3, 2, 4}, {4, 3, 0, 1}, {1, 0, 2, 4}, {2, 3, 0, 1}};
  for (item_id i = 0; i < 5; ++i) CHECK(std::ranges::equal(table.neighbors(i), expected[i]));
  CHECK(is_close(table.scores(0)[0], 3 / std::sqrt(10.)));  // .948683
  CHECK(is_close(table.scores(0)[1], 3 / std::sqrt(12.)));  // .866025
  CHECK(is_close(table.scores(1)[1], 5 / std::sqrt(30.)));  // .912871
}

TEST_CASE("item_cf equals its definition, with caps, on any number of threads") {
  for (const std::size_t values : {1u, 4u}) {
    for (const item_similarity similarity : {item_similarity::cosine, item_similarity::jaccard}) {
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const item_cf_options options{.similarity = similarity,
                                      .neighbors = 1000,
                                      .min_users = 2,
                                      .shrinkage = 3,
                                      .most_items_of_user = 10,
                                      .most_users_of_item = 9};
        const sparse_matrix all = random_matrix_of(seed, 40, 25, 500, values);
        const neighbor_table table = item_cf(all, options);
        const sparse_matrix items = all.latest(10).transposed().latest(9);
        for (item_id i = 0; i < 25; ++i) {
          std::size_t expected = 0;
          for (item_id j = 0; j < 25; ++j) {
            double products = 0, common = 0, squares_i = 0, squares_j = 0;
            const sparse_row a = items[i], b = items[j];
            for (const float x : a.values) squares_i += double{x} * double{x};
            for (const float x : b.values) squares_j += double{x} * double{x};
            for (std::size_t n = 0; n < a.size(); ++n)
              for (std::size_t m = 0; m < b.size(); ++m)
                if (a.columns[n] == b.columns[m]) {
                  products += double{a.values[n]} * double{b.values[m]};
                  ++common;
                }
            if (i == j || common < 2) continue;
            ++expected;
            const double both = static_cast<double>(a.size() + b.size()) - common;
            const double s = similarity == item_similarity::cosine
                                 ? products / std::sqrt(squares_i * squares_j)
                                 : common / both;
            const auto found = std::ranges::find(table.neighbors(i), j);
            REQUIRE(found != table.neighbors(i).end());
            CHECK(is_close(
                table.scores(i)[static_cast<std::size_t>(found - table.neighbors(i).begin())],
                s * common / (common + 3)));
          }
          CHECK(table.neighbors(i).size() == expected);
        }
        for (const std::size_t threads : {1u, 2u, 4u}) {
          thread_pool pool(threads);
          CHECK(saved_state(item_cf(pool, all, options)) == saved_state(table));
        }
      }
    }
  }
}

TEST_CASE(
    "item_cf keeps the best, of equal ones the lower item, and refuses options out of range") {
  const sparse_matrix all = random_matrix_of(1, 60, 30, 600, 1);
  const neighbor_table whole = item_cf(all), few = item_cf(all, {.neighbors = 4});
  for (item_id i = 0; i < 30; ++i) {
    REQUIRE(few.neighbors(i).size() == 4);
    for (std::size_t n = 0; n < 4; ++n) CHECK(few.neighbors(i)[n] == whole.neighbors(i)[n]);
    for (std::size_t n = 1; n < whole.neighbors(i).size(); ++n)
      CHECK((whole.scores(i)[n] < whole.scores(i)[n - 1] ||
             whole.neighbors(i)[n] > whole.neighbors(i)[n - 1]));
  }
  CHECK(item_cf(sparse_matrix()).size() == 0);
  // No limit, and one whose double is 0.
  const sparse_matrix many = random_matrix_of(2, 60, 120, 4000, 1);
  const neighbor_table every = item_cf(many, {.neighbors = 120});
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t k : {largest, largest / 2 + 1})
    CHECK(saved_state(item_cf(many, {.neighbors = k})) == saved_state(every));
  const auto refused = [&](const item_cf_options& options, const char* words) {
    return refuses([&] { item_cf(all, options); }, "funnel::item_cf", words);
  };
  CHECK(refused({.similarity = static_cast<item_similarity>(2)}, "similarity is 2"));
  CHECK(refused({.neighbors = 0}, "neighbors is 0"));
  CHECK(refused({.min_users = 0}, "min_users is 0"));
  CHECK(refused({.shrinkage = -1}, "shrinkage is -1"));
  CHECK(refused({.most_items_of_user = 0}, "most_items_of_user is 0"));
  CHECK(refused({.most_users_of_item = 0}, "most_users_of_item is 0"));
}

TEST_CASE("item_cf of ml-latest-small: the numbers of the reference") {
  const std::string path = data_file("ml-latest-small/ratings.csv");
  const std::string test_path = data_file("reference/ml-latest-small_sar_test_rows.txt");
  const std::string lists_path =
      data_file("reference/ml-latest-small_sar_cosine_top10_users1-100.csv");
  if (path.empty() || test_path.empty() || lists_path.empty()) return;
  const column_table ratings = read_csv(path);
  std::vector<bool> is_test(ratings.rows());
  std::ifstream file(test_path);
  for (std::size_t row = 0; file >> row;) is_test.at(row) = true;

  vocabulary users, items;  // rows from 1; item 0 is no item
  std::vector<sparse_entry> watched;
  std::vector<std::vector<item_id>> seen(ratings.rows()), relevant(ratings.rows());
  std::vector<std::vector<float>> rated(ratings.rows());
  for (std::size_t i = 0; i < ratings.rows(); ++i) {
    const auto cell = [&](const char* name) { return ratings.view()[name].number(i); };
    const std::uint32_t user = users.add(static_cast<std::uint64_t>(cell("userId")));
    if (is_test[i]) continue;
    const item_id item = items.add(static_cast<std::uint64_t>(cell("movieId")));
    watched.push_back({user, item});
    seen[user].push_back(item);
    rated[user].push_back(static_cast<float>(cell("rating")));
  }
  for (std::size_t i = 0; i < ratings.rows(); ++i) {
    if (!is_test[i]) continue;
    const auto cell = [&](const char* name) { return ratings.view()[name].number(i); };
    const std::uint32_t user = users.find(static_cast<std::uint64_t>(cell("userId")));
    const item_id item = items.find(static_cast<std::uint64_t>(cell("movieId")));
    relevant[user].push_back(item != 0 ? item : static_cast<item_id>(1'000'000 + i));
  }
  const std::size_t all = 100'000;
  const neighbor_table table =
      item_cf(sparse_matrix(watched), {.neighbors = all, .most_items_of_user = all});
  neighbor_expander expand(table);
  constexpr std::size_t k = 10;
  double map = 0, ndcg = 0, precision = 0, recall = 0;
  std::size_t judged = 0;
  std::vector<std::vector<scored_item>> lists(users.rows());
  for (std::uint32_t user = 1; user < users.rows(); ++user) {
    std::vector<scored_item> found(k);
    std::vector<item_id> sorted = seen[user];
    std::ranges::sort(sorted);
    found.resize(expand.search(seen[user], rated[user], found, [&](item_id item) {
      return !std::ranges::binary_search(sorted, item);
    }));
    lists[user] = found;
    const std::set<item_id> good(relevant[user].begin(), relevant[user].end());
    if (good.empty()) continue;
    ++judged;
    double hits = 0, average = 0, gain = 0, best = 0;
    for (std::size_t n = 0; n < k; ++n) {
      if (n < good.size()) best += 1 / std::log2(static_cast<double>(n) + 2);
      if (n >= found.size() || good.count(found[n].item) == 0) continue;
      hits += 1;
      average += hits / static_cast<double>(n + 1);
      gain += 1 / std::log2(static_cast<double>(n) + 2);
    }
    map += average / static_cast<double>(good.size());
    ndcg += gain / best;
    precision += hits / static_cast<double>(k);
    recall += hits / static_cast<double>(good.size());
  }
  // The lists of the reference: the scores, as its order of equal ones is another.
  const column_table reference = read_csv(lists_path);
  std::uint32_t last = 0;
  for (std::size_t i = 0, place = 0; i < reference.rows(); ++i, ++place) {
    const auto cell = [&](const char* name) { return reference.view()[name].number(i); };
    const std::uint32_t user = users.find(static_cast<std::uint64_t>(cell("userID")));
    if (user != last) place = 0;
    last = user;
    REQUIRE(place < lists[user].size());
    CHECK(tolerance::within(static_cast<double>(lists[user][place].score), cell("prediction"),
                            tolerance::iterative<float>(seen[user].size(), cell("prediction"))));
  }
  const auto n = static_cast<double>(judged);
  CHECK(judged == 610);
  CHECK(tolerance::within(map / n, .068088, tolerance::printed(6)));
  CHECK(tolerance::within(ndcg / n, .275479, tolerance::printed(6)));
  CHECK(tolerance::within(precision / n, .248361, tolerance::printed(6)));
  CHECK(tolerance::within(recall / n, .116742, tolerance::printed(6)));
}
