// SPDX-License-Identifier: MIT
#include <funnel/metrics/diversity.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace {

using doubles = std::vector<double>;
using positions = std::vector<std::size_t>;
using categories = std::vector<funnel::category_id>;

double cosine(std::span<const double> a, std::span<const double> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t j = 0; j < a.size(); ++j) {
    ab += a[j] * b[j];
    aa += a[j] * a[j];
    bb += b[j] * b[j];
  }
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("intra_list_diversity: worked by hand") {
  // Similarity 1 within a category, 0 across: pairs of items 0, 1, 2, 3 of categories a, a, b, a.
  const categories category{4, 4, 6, 4};
  const auto same = [&](std::size_t i, std::size_t j) {
    return category[i] == category[j] ? 1.f : 0.f;
  };
  CHECK(funnel::intra_list_diversity(positions{0, 1, 2, 3}, same) == .5);
  CHECK(funnel::intra_list_diversity(positions{0, 1, 3}, same) == 0);
  CHECK(funnel::intra_list_diversity(positions{0, 2}, same) == 1);
  // Window 1: pairs (0, 1), (1, 2), (2, 3).
  CHECK(funnel::intra_list_diversity(positions{0, 1, 2, 3}, same, {.window = 1}) == 2. / 3);
  CHECK(funnel::intra_list_diversity(std::vector<std::uint32_t>{0, 1, 2, 3}, same) == .5);

  funnel::matrix<float> vectors(3, 2);
  vectors(0, 0) = 2;   // of any length
  vectors(1, 1) = .5;  // at right angles: distance 1
  vectors(2, 0) = -3;  // opposite to the first: distance 2
  CHECK(funnel::intra_list_diversity(vectors) == (1. + 2 + 1) / 3);
}

TEST_CASE("intra_list_diversity: equals the mean over all pairs, with and without a window") {
  funnel::random_generator bits(10);
  for (std::size_t k : {2u, 3u, 8u, 21u}) {
    funnel::matrix<double> vectors(k, 5);
    for (double& v : vectors.flat()) v = funnel::standard_normal(bits);
    for (std::size_t window : {std::size_t{0}, std::size_t{1}, std::size_t{4}, k - 1, k, 10 * k}) {
      double sum = 0, pairs = 0;
      for (std::size_t i = 0; i < k; ++i)
        for (std::size_t j = i + 1; j < k; ++j)
          if (window == 0 || j - i <= window) {
            sum += 1 - cosine(vectors.row(i), vectors.row(j));
            ++pairs;
          }
      CHECK(tolerance::within(funnel::intra_list_diversity(vectors, {.window = window}),
                              sum / pairs, tolerance::reduction<double>(k * k, 2)));
    }
    const double value = funnel::intra_list_diversity(vectors);
    for (double& v : vectors.flat()) v *= 8;
    CHECK(tolerance::within(funnel::intra_list_diversity(vectors), value,
                            tolerance::reduction<double>(k, 1)));
  }
}

TEST_CASE("intra_list_diversity: a view of rows further apart, zero vectors and NaN") {
  funnel::matrix<float> wide(2, 4, 9.f);
  wide(0, 0) = wide(1, 1) = 1;
  wide(0, 1) = wide(1, 0) = 0;
  CHECK(funnel::intra_list_diversity(funnel::matrix_view<const float>(wide).middle_cols(0, 2)) ==
        1);
  wide(0, 0) = 0;
  CHECK(funnel::intra_list_diversity(funnel::matrix_view<const float>(wide).middle_cols(0, 2)) ==
        1);
  wide(0, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(funnel::intra_list_diversity(wide)));
}

TEST_CASE("intra_list_diversity: vectors at the ends of the number line have their direction") {
  for (const double size : {1e160, 1e-200, 5e-324, 1.7e308}) {
    funnel::matrix<double> vectors(2, 2);
    vectors(0, 0) = size;
    vectors(1, 0) = -1;
    CHECK(tolerance::within(funnel::intra_list_diversity(vectors), 2,
                            tolerance::reduction<double>(2, 1)));
    vectors(1, 0) = size;
    CHECK(tolerance::within(funnel::intra_list_diversity(vectors), 0,
                            tolerance::reduction<double>(2, 1)));
  }
}

TEST_CASE("intra_list_diversity: rounding does not carry it past its bounds") {
  funnel::random_generator bits(12);
  for (int trial = 0; trial < 200; ++trial) {
    funnel::matrix<float> page(3, 5);
    for (std::size_t j = 0; j < 5; ++j) {
      page(0, j) = static_cast<float>(2 * funnel::uniform01(bits) - 1);
      page(1, j) = 3 * page(0, j);
      page(2, j) = page(0, j);
    }
    CHECK(funnel::intra_list_diversity(page) >= 0);
    for (float& value : page.row(1)) value = -value;
    CHECK(funnel::intra_list_diversity(page.view().middle_rows(0, 2)) <= 2);
  }
}

TEST_CASE("intra_list_diversity: refuses a position that the similarity does not know") {
  struct of_three {
    double operator()(std::size_t, std::size_t) const { return 1; }
    std::size_t size() const { return 3; }
  };
  CHECK(funnel::intra_list_diversity(positions{0, 2}, of_three()) == 0);
  CHECK_THROWS_AS(funnel::intra_list_diversity(positions{0, 3}, of_three()), std::invalid_argument);
}

TEST_CASE("intra_list_diversity: fewer than two items have none") {
  const auto never = [](std::size_t, std::size_t) { return 0.; };
  CHECK(std::isnan(funnel::intra_list_diversity(positions{}, never)));
  CHECK(std::isnan(funnel::intra_list_diversity(positions{3}, never)));
  CHECK(std::isnan(funnel::intra_list_diversity(funnel::matrix<float>(1, 4, 1.f))));
  CHECK(std::isnan(funnel::intra_list_diversity(funnel::matrix<float>())));
}

TEST_CASE("entropy, gini: worked by hand") {
  CHECK(funnel::entropy(doubles{3, 0, 0}) == 0);
  CHECK(tolerance::within(funnel::entropy(doubles{2, 2, 2, 2}), std::log(4.),
                          tolerance::reduction<double>(4, 2)));
  CHECK(tolerance::within(funnel::entropy(doubles{1, 3}),
                          -.25 * std::log(.25) - .75 * std::log(.75),
                          tolerance::reduction<double>(2, 1)));
  CHECK(funnel::gini(doubles{5, 5, 5}) == 0);
  CHECK(funnel::gini(doubles{0, 0, 0, 7}) == .75);
  CHECK(funnel::gini(std::vector<float>{1, 3}) == .25);
}

TEST_CASE("entropy, gini: equal direct sums, bounded, of no scale and no order") {
  funnel::random_generator bits(11);
  for (std::size_t n : {1u, 2u, 5u, 40u}) {
    doubles x(n);
    double sum = 0, differences = 0, surprise = 0;
    for (double& v : x) sum += v = static_cast<double>(1 + funnel::uniform_below(bits, 50));
    for (double a : x) {
      surprise -= a / sum * std::log(a / sum);
      for (double b : x) differences += std::abs(a - b);
    }
    const double size = static_cast<double>(n), bound = tolerance::reduction<double>(n * n, 4);
    const double gini = funnel::gini(x), entropy = funnel::entropy(x);
    CHECK(tolerance::within(gini, differences / (2 * size * sum), bound));
    CHECK(tolerance::within(entropy, surprise, bound));
    CHECK(gini >= 0);
    CHECK(gini <= (size - 1) / size);
    funnel::shuffle(bits, x);
    for (double& v : x) v *= 4;
    CHECK(funnel::gini(x) == gini);
    CHECK(tolerance::within(funnel::entropy(x), entropy, bound));
  }
}

TEST_CASE("category_coverage, category_entropy: of a page") {
  const categories page{7, 2, 7, 7, 0, 2};
  CHECK(funnel::category_coverage(page) == 3);
  CHECK(tolerance::within(funnel::category_entropy(page), funnel::entropy(doubles{3, 2, 1}),
                          tolerance::reduction<double>(3, 2)));
  CHECK(funnel::category_coverage({}) == 0);
  CHECK(std::isnan(funnel::category_entropy({})));
  CHECK(funnel::category_entropy(categories{5}) == 0);
}

TEST_CASE("entropy, gini: amounts whose sum is beyond the largest number") {
  for (const double size : {1e308, 5e-324}) {
    CHECK(tolerance::within(funnel::entropy(doubles{size, size}), std::log(2.),
                            tolerance::reduction<double>(2, 1)));
    CHECK(tolerance::within(funnel::gini(doubles{size, 0, size}), 1. / 3,
                            tolerance::reduction<double>(3, 1)));
  }
}

TEST_CASE("entropy, gini: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::entropy(doubles{})));
  CHECK(std::isnan(funnel::gini(doubles{})));
  CHECK(std::isnan(funnel::entropy(doubles{0, 0})));
  CHECK(std::isnan(funnel::gini(doubles{0, 0})));
  CHECK(refuses([] { funnel::entropy(doubles{1, -1}); }, "funnel::entropy", "amounts[1] is -1"));
  CHECK(refuses([] { funnel::gini(doubles{std::numeric_limits<double>::quiet_NaN()}); },
                "funnel::gini", "amounts[0] is"));
  CHECK(refuses([] { funnel::gini(doubles{std::numeric_limits<double>::infinity()}); },
                "funnel::gini", "amounts[0] is inf"));
}
