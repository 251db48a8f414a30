// SPDX-License-Identifier: MIT
#include <funnel/index/cosine_kmeans.hpp>

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
#include <set>
#include <span>
#include <vector>

using namespace funnel;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

double cosine(std::span<const float> a, std::span<const float> b) {
  double products = 0, squares_a = 0, squares_b = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    products += double{a[k]} * double{b[k]};
    squares_a += double{a[k]} * double{a[k]};
    squares_b += double{b[k]} * double{b[k]};
  }
  return products / std::sqrt(squares_a * squares_b);
}

/// Points around `groups` directions, of any length, some of them zero.
matrix<float> world(std::uint64_t seed, std::size_t n, std::size_t dim, std::size_t groups) {
  const matrix<float> centers = random_matrix<float>(groups, dim, seed + 100);
  random_generator bits(seed);
  matrix<float> m(n, dim);
  for (std::size_t i = 0; i < n; ++i) {
    if (uniform_below(bits, 20) == 0) continue;
    const std::size_t group = uniform_below(bits, groups);
    const double length = std::exp(3 * standard_normal(bits));
    for (std::size_t k = 0; k < dim; ++k)
      m(i, k) = static_cast<float>(
          length * (static_cast<double>(centers(group, k)) + .1 * standard_normal(bits)));
  }
  return m;
}

bool is_zero(std::span<const float> row) {
  return std::ranges::all_of(row, [](float x) { return x == 0; });
}

}  // namespace

TEST_CASE("two directions are two clusters, whatever the lengths") {
  const matrix<float> vectors = rows_of({{100, 1}, {1, 0}, {0, 2}, {0, 0}, {.001f, .05f}});
  for (const kmeans_start start : {kmeans_start::plus_plus, kmeans_start::random}) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      const auto found =
          cosine_kmeans(vectors, {.clusters = 2, .tolerance = 0, .start = start, .seed = seed});
      const auto& of = found.assignment;
      CHECK((of[0] == of[1] && of[2] == of[4] && of[0] + of[2] == 1));
      CHECK(of[3] == no_cluster);
      // The mean of (100, 1) / sqrt(10001) and (1, 0).
      const std::vector<float> mean{static_cast<float>(100 / std::sqrt(10001.) + 1),
                                    static_cast<float>(1 / std::sqrt(10001.))};
      CHECK(tolerance::within(cosine(found.clusters.centroids().row(of[0]), mean), 1,
                              tolerance::reduction<float>(2, 1)));
    }
  }
}

TEST_CASE("k-means ends where each vector is with its closest centroid, on any number of threads") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const std::size_t n = 300 + 700 * seed, dim = 3 + seed, k = 2 + 5 * seed;
    const matrix<float> vectors = world(seed, n, dim, 4 + seed);
    const cosine_kmeans_options options{
        .clusters = k,
        .iterations = 200,
        .tolerance = 0,
        .start = seed % 2 == 0 ? kmeans_start::plus_plus : kmeans_start::random,
        .start_points = seed < 3 ? std::size_t{8} : std::numeric_limits<std::size_t>::max(),
        .seed = seed};
    const auto found = cosine_kmeans(vectors, options);
    REQUIRE(found.clusters.size() == k);
    CHECK(found.iterations < 200);
    const matrix_view<const float> centroids = found.clusters.centroids();
    matrix<double> sums(k, dim);
    double total = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const cluster_id own = found.assignment[i];
      CHECK(found.clusters.nearest(vectors.row(i)) == own);
      if (is_zero(vectors.row(i))) {
        CHECK(own == no_cluster);
        continue;
      }
      REQUIRE(own < k);
      const double best = cosine(vectors.row(i), centroids.row(own));
      for (std::size_t c = 0; c < k; ++c)
        if (cosine(vectors.row(i), centroids.row(c)) > best + tolerance::reduction<float>(dim, 2))
          FAIL("vector " << i << " is closer to centroid " << c);
      double squares = 0;
      for (const float x : vectors.row(i)) squares += double{x} * double{x};
      for (std::size_t f = 0; f < dim; ++f)
        sums(own, f) += double{vectors(i, f)} / std::sqrt(squares);
      total += best;
      ++count;
    }
    const auto size = static_cast<double>(count);
    CHECK(tolerance::within(found.mean_cosine, total / size, tolerance::reduction<float>(dim, 2)));
    // It stopped as nothing moved any more: centroids are the means of their vectors.
    std::size_t used = 0;
    for (std::size_t c = 0; c < k; ++c) {
      std::vector<float> mean(dim);
      for (std::size_t f = 0; f < dim; ++f) mean[f] = static_cast<float>(sums(c, f));
      if (is_zero(mean)) continue;
      ++used;
      CHECK(
          tolerance::within(cosine(mean, centroids.row(c)), 1, tolerance::iterative<float>(n, 1)));
    }
    CHECK(used == k);
    for (const std::size_t threads : {1u, 2u, 4u}) {
      thread_pool pool(threads);
      const auto again = cosine_kmeans(pool, vectors, options);
      CHECK(saved_state(again.clusters) == saved_state(found.clusters));
      CHECK(again.assignment == found.assignment);
      CHECK(again.mean_cosine == found.mean_cosine);
      CHECK(again.iterations == found.iterations);
      std::vector<cluster_id> assigned(n);
      found.clusters.assign(pool, vectors, assigned);
      CHECK(assigned == found.assignment);
    }
  }
}

TEST_CASE("k-means: a thousand clusters, on any number of threads; fewer vectors are refused") {
  const matrix<float> vectors = world(5, 4000, 6, 1500);
  const cosine_kmeans_options options{.iterations = 3, .start_points = 2};
  const auto found = cosine_kmeans(vectors, options);
  REQUIRE(found.clusters.size() == 1000);
  for (const std::size_t threads : {1u, 2u, 4u}) {
    thread_pool pool(threads);
    const auto again = cosine_kmeans(pool, vectors, options);
    CHECK(saved_state(again.clusters) == saved_state(found.clusters));
    CHECK(again.assignment == found.assignment);
    CHECK(refuses([&] { cosine_kmeans(pool, vectors.view().middle_rows(0, 999), options); },
                  "funnel::cosine_kmeans", "expected 1000 or more, the number of clusters"));
  }
}

TEST_CASE("iterations and tolerance: the mean cosine rises until it stops") {
  const matrix<float> vectors = world(3, 4000, 6, 30);
  double before = -1;
  for (std::size_t iterations = 0; iterations < 8; ++iterations) {
    const auto found = cosine_kmeans(
        vectors, {.clusters = 20, .iterations = iterations, .tolerance = 0, .seed = 2});
    CHECK(found.iterations == iterations);
    CHECK(found.mean_cosine > before);
    before = found.mean_cosine;
  }
  CHECK(cosine_kmeans(vectors, {.clusters = 20, .tolerance = .5}).iterations == 1);
  // Other seeds start elsewhere; k-means++ starts better than at random.
  double plus_plus = 0, random = 0;
  std::set<double> different;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    cosine_kmeans_options options{.clusters = 30, .iterations = 0, .seed = seed};
    plus_plus += cosine_kmeans(vectors, options).mean_cosine;
    options.start = kmeans_start::random;
    random += cosine_kmeans(vectors, options).mean_cosine;
    different.insert(cosine_kmeans(vectors, options).mean_cosine);
  }
  CHECK(different.size() == 20);
  CHECK(plus_plus > random + .1);
}

TEST_CASE("a cluster that lost its points starts again at the farthest point") {
  // Three directions; most starts take two centroids in the first one.
  std::vector<std::vector<float>> rows(97, {1, 0, 0});
  for (int i = 0; i < 5; ++i) rows.push_back({0, 1, 0});
  rows.push_back({0, 0, 1});
  const matrix<float> vectors = rows_of(rows);
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const auto found =
        cosine_kmeans(vectors, {.clusters = 3, .start = kmeans_start::random, .seed = seed});
    const auto& of = found.assignment;
    CHECK(std::set<cluster_id>{of[0], of[97], of[102]}.size() == 3);
    CHECK(found.mean_cosine == 1);
    CHECK(found.iterations <= 4);
  }
}

TEST_CASE("as many clusters as vectors, one cluster, and fewer directions than clusters") {
  const matrix<float> vectors = random_matrix<float>(12, 5, 1);
  for (const kmeans_start start : {kmeans_start::plus_plus, kmeans_start::random}) {
    const auto all = cosine_kmeans(vectors, {.clusters = 12, .start = start});
    CHECK(std::set<cluster_id>(all.assignment.begin(), all.assignment.end()).size() == 12);
    const auto one = cosine_kmeans(vectors, {.clusters = 1, .start = start});
    CHECK(one.assignment == std::vector<cluster_id>(12, 0));
    const auto equal = cosine_kmeans(matrix<float>(9, 2, 3.f), {.clusters = 4, .start = start});
    CHECK(equal.assignment == std::vector<cluster_id>(9, 0));
    CHECK(equal.iterations == 1);
  }
  // Opposite vectors cancel each other: the centroid stays where it was.
  const auto opposite = cosine_kmeans(rows_of({{1, 0}, {-1, 0}}), {.clusters = 1});
  CHECK(std::abs(opposite.clusters.centroids()(0, 0)) == 1);
  const cosine_clusters<> none;
  CHECK((none.size() == 0 && none.nearest({}) == no_cluster));
}

TEST_CASE("clusters of given centroids, saved and loaded") {
  const cosine_clusters<> clusters(rows_of({{2, 0}, {0, .5f}, {-1, 0}}));
  CHECK(clusters.centroids()(1, 1) == 1);
  CHECK(clusters.nearest(std::vector<float>{3, 4}) == 1);
  CHECK(clusters.nearest(std::vector<float>{1, 1}) == 0);  // of equal cosines the lower
  CHECK(clusters.nearest(std::vector<float>{0, 0}) == no_cluster);
  cosine_clusters<> loaded;
  const saved_state saved(clusters);
  saved.load(loaded);
  CHECK(saved_state(loaded) == saved);
  CHECK(loaded.nearest(std::vector<float>{3, 4}) == 1);
  CHECK(refuses_state(loaded, saved.with<std::uint64_t>("dim", {4}), "do not fit"));
  CHECK(refuses_state(loaded, saved.with<std::uint64_t>("dim", {0}), "do not fit"));
  CHECK(refuses_state(loaded, saved.with<float>("centroids", {1, 0, 1, 1}), "centroid 1"));
  CHECK(refuses_state(loaded, saved.with<float>("centroids", {infinity, 0}), "centroid 0"));
  CHECK(loaded.nearest(std::vector<float>{3, 4}) == 1);
}

TEST_CASE("what k-means refuses") {
  const matrix<float> vectors = rows_of({{1, 2}, {0, 0}, {3, 1}, {0, 1}});
  const char* name = "funnel::cosine_kmeans";
  const auto refused = [&](const cosine_kmeans_options& options, const char* words) {
    return refuses([&] { cosine_kmeans(vectors, options); }, name, words);
  };
  constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();
  CHECK(refused({.clusters = 0}, "clusters is 0"));
  CHECK(refused({.clusters = 4}, "vectors has 3 rows that are not zero"));
  CHECK(refused({.clusters = largest}, "vectors has 3 rows"));
  CHECK(refused({.clusters = largest / 2 + 1}, "vectors has 3 rows"));
  CHECK(refused({.clusters = 1, .tolerance = -1}, "tolerance is -1"));
  CHECK(refused({.clusters = 1, .tolerance = std::numeric_limits<double>::quiet_NaN()},
                "tolerance is"));
  CHECK(refused({.clusters = 1, .start = static_cast<kmeans_start>(2)}, "start is 2"));
  CHECK(refused({.clusters = 1, .start_points = 0}, "start_points is 0"));
  CHECK(cosine_kmeans(vectors, {.clusters = 3, .iterations = largest}).iterations < 5);
  for (const float value : {infinity, std::numeric_limits<float>::quiet_NaN(), 3e19f}) {
    matrix<float> bad = vectors;
    bad(2, 1) = value;
    CHECK(refuses([&] { cosine_kmeans(bad, {.clusters = 2}); }, name, "vectors has a row 2"));
    const cosine_clusters<> clusters(vectors.view().middle_rows(2, 2));
    CHECK(refuses([&] { clusters.nearest(bad.row(2)); }, "funnel::cosine_clusters", "squares"));
  }
  CHECK(refuses([&] { cosine_clusters<>{vectors}; }, "funnel::cosine_clusters", "a row 1 without"));
  const cosine_clusters<> clusters(vectors.view().middle_rows(2, 2));
  std::vector<cluster_id> of(4);
  CHECK(refuses([&] { clusters.assign(vectors, std::span(of).first(3)); },
                "funnel::cosine_clusters::assign", "clusters"));
  CHECK(refuses([&] { clusters.assign(matrix<float>(4, 3), of); },
                "funnel::cosine_clusters::assign", "vectors"));
  CHECK(refuses([&] { clusters.nearest(std::vector<float>(3)); },
                "funnel::cosine_clusters::nearest", "vector"));
}
