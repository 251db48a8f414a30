// SPDX-License-Identifier: MIT
#include <funnel/index/vector_neighbors.hpp>

#include <funnel/core/random.hpp>
#include <funnel/core/thread_pool.hpp>

#include "searches.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/matrices.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

using namespace funnel;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<item_id> neighbors_of(const neighbor_table& table, item_id item) {
  return {table.neighbors(item).begin(), table.neighbors(item).end()};
}

/// Random vectors, some of them zero, some in the same direction.
matrix<float> world(std::uint64_t seed, std::size_t items, std::size_t dim) {
  matrix<float> m = random_matrix<float>(items, dim, seed);
  random_generator bits(seed);
  for (std::size_t i = 0; i < items; ++i) {
    const std::size_t kind = uniform_below(bits, 5);
    if (kind == 0) std::ranges::fill(m.row(i), 0.f);
    const std::size_t other = uniform_below(bits, items);
    if (kind == 1)
      for (std::size_t k = 0; k < dim; ++k) m(i, k) = 2 * m(other, k);
  }
  return m;
}

}  // namespace

TEST_CASE("neighbors of five vectors, by cosine and by inner product") {
  const matrix<float> vectors = rows_of({{3, 4}, {10, 0}, {0, 0}, {0, 2}, {-1, 0}});
  const neighbor_table cosine = vector_neighbors(vectors);
  CHECK(neighbors_of(cosine, 0) == std::vector<item_id>{3, 1});  // .8, .6; -.6 is below 0
  CHECK(neighbors_of(cosine, 1) == std::vector<item_id>{0, 3});
  CHECK(cosine.neighbors(2).empty());
  CHECK(neighbors_of(cosine, 4) == std::vector<item_id>{3});  // 0
  CHECK(tolerance::within(static_cast<double>(cosine.scores(0)[0]), .8,
                          tolerance::reduction<float>(2, 1)));
  const neighbor_table inner = vector_neighbors(
      vectors,
      {.similarity = vector_similarity::inner_product, .neighbors = 2, .min_score = -infinity});
  CHECK(neighbors_of(inner, 0) == std::vector<item_id>{1, 3});
  CHECK(inner.scores(0)[0] == 30);
  CHECK(inner.scores(0)[1] == 8);
  CHECK(neighbors_of(inner, 4) == std::vector<item_id>{3, 0});  // 0, -3; -10 is third
  CHECK(inner.scores(4)[1] == -3);
}

TEST_CASE("vector_neighbors equals its definition, on any number of threads") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const std::size_t items = 1 + seed * 17, dim = 1 + seed % 5 * 3;
    const matrix<float> vectors = world(seed, items, dim);
    for (const bool cosine : {true, false}) {
      const vector_neighbors_options options{
          .similarity = cosine ? vector_similarity::cosine : vector_similarity::inner_product,
          .neighbors = 1 + seed % 3 * 40,
          .min_score = seed % 2 == 0 ? .125f : -infinity};
      const neighbor_table table = vector_neighbors(vectors, options);
      REQUIRE(table.size() == items);
      const auto length = [&](std::size_t i) {
        double squares = 0;
        for (const float x : vectors.row(i)) squares += double{x} * double{x};
        return std::sqrt(squares);
      };
      for (std::size_t i = 0; i < items; ++i) {
        std::vector<double> expected;
        for (std::size_t j = 0; j < items; ++j) {
          if (j == i || length(i) == 0 || length(j) == 0) continue;
          double s = 0;
          for (std::size_t k = 0; k < dim; ++k) s += double{vectors(i, k)} * double{vectors(j, k)};
          if (cosine) s /= length(i) * length(j);
          if (s >= static_cast<double>(options.min_score)) expected.push_back(s);
        }
        std::ranges::sort(expected, std::greater<>());
        if (expected.size() > options.neighbors) expected.resize(options.neighbors);
        const auto id = static_cast<item_id>(i);
        REQUIRE(table.neighbors(id).size() == expected.size());
        for (std::size_t n = 0; n < expected.size(); ++n) {
          const item_id j = table.neighbors(id)[n];
          CHECK((j != i && length(j) > 0));
          CHECK(tolerance::within(static_cast<double>(table.scores(id)[n]), expected[n],
                                  tolerance::reduction<float>(dim + 4, static_cast<double>(dim))));
          if (n > 0)
            CHECK(
                (table.scores(id)[n] < table.scores(id)[n - 1] || j > table.neighbors(id)[n - 1]));
        }
      }
      for (const std::size_t threads : {1u, 2u, 4u}) {
        thread_pool pool(threads);
        CHECK(saved_state(vector_neighbors(pool, vectors, options)) == saved_state(table));
      }
    }
  }
}

TEST_CASE("vector_neighbors of no, one, and equal vectors, and with options without bound") {
  CHECK(vector_neighbors(matrix<float>()).size() == 0);
  CHECK(vector_neighbors(rows_of({{1, 2}})).neighbors(0).empty());
  CHECK(vector_neighbors(matrix<float>(3, 0)).neighbors(1).empty());  // vectors without values
  // A hundred equal ones: the lower items first, the item itself left out wherever it stands.
  const matrix<float> equal(100, 4, 1.f);
  const neighbor_table table = vector_neighbors(equal, {.neighbors = 3});
  CHECK(neighbors_of(table, 0) == std::vector<item_id>{1, 2, 3});
  CHECK(neighbors_of(table, 2) == std::vector<item_id>{0, 1, 3});
  CHECK(neighbors_of(table, 99) == std::vector<item_id>{0, 1, 2});
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  for (const std::size_t k : {largest, largest / 2 + 1})
    CHECK(vector_neighbors(equal, {.neighbors = k}).neighbors(5).size() == 99);
  // Lengths far from 1.
  const neighbor_table far = vector_neighbors(rows_of({{1e-40f, 0}, {3e38f, 3e38f}, {0, 3e-39f}}));
  CHECK(neighbors_of(far, 0) == std::vector<item_id>{1, 2});
}

TEST_CASE("what vector_neighbors refuses") {
  const matrix<float> vectors = random_matrix<float>(6, 3, 1);
  const char* name = "funnel::vector_neighbors";
  const auto refused = [&](const vector_neighbors_options& options, const char* words) {
    return refuses([&] { vector_neighbors(vectors, options); }, name, words);
  };
  CHECK(refused({.similarity = static_cast<vector_similarity>(2)}, "similarity is 2"));
  CHECK(refused({.neighbors = 0}, "neighbors is 0"));
  CHECK(refused({.min_score = infinity}, "min_score is inf"));
  CHECK(refused({.min_score = std::numeric_limits<float>::quiet_NaN()}, "min_score is"));
  for (const float value : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
    matrix<float> bad = vectors;
    bad(4, 2) = value;
    CHECK(refuses([&] { vector_neighbors(bad); }, name, "in row 4, expected finite"));
  }
  matrix<float> large = vectors;
  large(3, 1) = 2e19f;
  const vector_neighbors_options inner{.similarity = vector_similarity::inner_product};
  CHECK(refuses([&] { vector_neighbors(large, inner); }, name, "a row 3 whose squares"));
  CHECK(vector_neighbors(large).size() == 6);
}
