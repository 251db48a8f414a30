// SPDX-License-Identifier: MIT
#include <funnel/diversity/similarity.hpp>

#include "diversity/picks.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <limits>

using funnel::cosine_similarity;
using funnel::tag_similarity;

// The smallest model, and what is none: one position is not a pair, a text is no number, and a
// matrix may hold vectors as well as similarities.
namespace {
struct smallest_similarity {
  float operator()(std::size_t, std::size_t) const { return 0; }
};
struct of_one_item {
  float operator()(std::size_t) const { return 0; }
};
struct as_text {
  const char* operator()(std::size_t, std::size_t) const { return "alike"; }
};
}  // namespace
static_assert(funnel::PairSimilarity<smallest_similarity>);
static_assert(funnel::PairSimilarity<cosine_similarity<float>>);
static_assert(funnel::PairSimilarity<tag_similarity>);
static_assert(!funnel::SizedSimilarity<smallest_similarity>);
static_assert(funnel::SizedSimilarity<cosine_similarity<float>>);
static_assert(funnel::SizedSimilarity<tag_similarity>);
static_assert(!funnel::PairSimilarity<of_one_item>);
static_assert(!funnel::PairSimilarity<as_text>);
static_assert(!funnel::PairSimilarity<funnel::matrix<float>>);
static_assert(!funnel::PairSimilarity<funnel::matrix_view<const float>>);

TEST_CASE("cosine_similarity: worked example") {
  funnel::matrix<float> vectors(4, 2);
  vectors(0, 0) = 2;
  vectors(1, 0) = 3;
  vectors(1, 1) = 4;
  vectors(2, 0) = -5;
  const cosine_similarity plain(vectors);
  CHECK(plain(0, 1) == static_cast<double>(.6f));  // rounded once to float
  CHECK(plain(0, 2) == -1);
  CHECK(plain(0, 3) == 0);
  CHECK(plain(3, 3) == 1);
  const cosine_similarity mapped(vectors.view(), funnel::cosine_range::zero_to_one);
  CHECK(mapped(0, 1) == (1 + static_cast<double>(.6f)) / 2);
  CHECK(mapped(0, 2) == 0);
  CHECK(mapped(0, 3) == .5);
  CHECK(mapped(3, 3) == 1);
}

TEMPLATE_TEST_CASE(
    "cosine_similarity: agrees with the definition, is symmetric and knows no lengths", "", float,
    double) {
  using T = TestType;
  funnel::random_generator bits(1);
  for (std::size_t d = 1; d < 40; ++d) {
    funnel::matrix<T> vectors = random_vectors<T>(bits, 6, d, 6, 0);
    const auto table = cosines(vectors);
    const cosine_similarity<T> similarity(vectors);
    for (std::size_t i = 0; i < 6; ++i)
      for (std::size_t j = 0; j < 6; ++j) {
        CHECK(similarity(i, j) == static_cast<double>(static_cast<float>(table(i, j))));
        CHECK(similarity(i, j) == similarity(j, i));
      }
    const double before = similarity(0, 1);
    for (T& value : vectors.row(0)) value *= 1024;
    const cosine_similarity<T> longer(vectors);
    CHECK(longer(0, 1) == before);
  }
}

TEST_CASE(
    "cosine_similarity: vectors beyond the squares of float, and values that are not finite") {
  funnel::matrix<float> vectors(4, 2);
  vectors(0, 0) = 1e30f;
  vectors(1, 0) = vectors(1, 1) = 1e-30f;
  vectors(2, 0) = std::numeric_limits<float>::infinity();
  vectors(3, 1) = std::numeric_limits<float>::quiet_NaN();
  const cosine_similarity similarity(vectors);
  CHECK(similarity(0, 1) == static_cast<double>(std::sqrt(.5f)));
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 2; j < 4; ++j) CHECK(similarity(i, j) == 0);
  CHECK(similarity(2, 3) == 0);
}

TEST_CASE("cosine_similarity: vectors at the ends of the number line") {
  // Lengths from 5e-324 to 1e308: all of one direction, but for the last two, at right angles to all
  // others and turned by 45 degrees.
  const std::vector<double> sizes{1, 1e160, -1e160, 1e-200, 5e-324, 1e-310, 1.7e308, 1e140, 1e-140};
  const std::size_t n = sizes.size();
  funnel::matrix<double> vectors(n + 2, 2);
  for (std::size_t i = 0; i < n; ++i) vectors(i, 0) = sizes[i];
  vectors(n, 1) = 1e200;
  vectors(n + 1, 0) = vectors(n + 1, 1) = 3e-300;
  const cosine_similarity<double> similarity(vectors);
  for (std::size_t i = 0; i < n; ++i) {
    CAPTURE(sizes[i]);
    for (std::size_t j = 0; j < n; ++j)
      CHECK(similarity(i, j) == ((sizes[i] > 0) == (sizes[j] > 0) ? 1 : -1));
    CHECK(similarity(i, n) == 0);
    CHECK(similarity(i, n + 1) == (sizes[i] > 0 ? 1 : -1) * static_cast<double>(std::sqrt(.5f)));
  }
  // Huge and tiny values in one vector.
  funnel::matrix<double> mixed(3, 2);
  mixed(0, 0) = 1e200;
  mixed(0, 1) = 1e-200;
  mixed(1, 1) = 4;
  mixed(2, 0) = 1e-250;
  const cosine_similarity<double> of_mixed(mixed);
  CHECK(of_mixed(0, 1) == 0);  // 1e-400
  CHECK(of_mixed(0, 2) == 1);

  funnel::matrix<float> small(3, 2);
  small(0, 0) = std::numeric_limits<float>::denorm_min();
  small(1, 0) = std::numeric_limits<float>::max();
  small(2, 0) = small(2, 1) = -std::numeric_limits<float>::denorm_min();
  const cosine_similarity<float> of_small(small);
  CHECK(of_small(0, 1) == 1);
  CHECK(of_small(1, 2) == -static_cast<double>(std::sqrt(.5f)));
}

TEST_CASE("cosine_similarity: scaled copies are equally alike to any other, to the bit") {
  funnel::random_generator bits(3);
  for (int round = 0; round < 200; ++round) {
    const std::size_t d = 1 + funnel::uniform_below(bits, 70);
    auto vectors = random_vectors<float>(bits, 4, d, 4, 0);
    for (std::size_t f = 0; f < d; ++f) {
      vectors(0, f) = static_cast<float>(static_cast<int>(100 * vectors(0, f)));
      vectors(1, f) = 3 * vectors(0, f);
      vectors(2, f) = -7 * vectors(0, f);
    }
    const cosine_similarity<float> similarity(vectors);
    if (!(similarity(0, 1) == 1)) continue;  // no direction
    CHECK(similarity(0, 3) == similarity(1, 3));
    CHECK(similarity(0, 3) == -similarity(2, 3));
  }
}

TEST_CASE("tag_similarity: worked example") {
  // Category, sub-category and brand; 0 is missing.
  const funnel::category_id values[4][3] = {{1, 11, 5}, {1, 12, 5}, {2, 0, 6}, {2, 0, 0}};
  const funnel::matrix_view<const funnel::category_id> tags(&values[0][0], 4, 3);
  const std::vector<float> weights{.5f, .25f, .25f};
  const tag_similarity similarity(tags, weights);
  CHECK(similarity(0, 1) == .75);
  CHECK(similarity(0, 2) == 0);
  CHECK(similarity(2, 3) == .5);  // two missing sub-categories are not one
  CHECK(similarity(3, 3) == 1);
  const tag_similarity other(tags, weights, 5);  // 0 is a tag now, and brand 5 says nothing
  CHECK(other(0, 1) == .5);
  CHECK(other(2, 3) == .75);
}

TEST_CASE("tag_similarity: all pairs make a positive semi-definite matrix") {
  funnel::random_generator bits(2);
  const std::size_t n = 12;
  for (int round = 0; round < 50; ++round) {
    funnel::matrix<funnel::category_id> tags(n, 3);
    for (auto& tag : tags.flat())
      tag = static_cast<funnel::category_id>(funnel::uniform_below(bits, 4));
    const std::vector<float> weights{.5f, .25f, .25f};
    const tag_similarity similarity(tags.view(), weights);
    std::vector<double> x(n);
    double magnitude = 0;
    for (double& value : x) magnitude += std::abs(value = funnel::standard_normal(bits));
    double form = 0;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        CHECK(similarity(i, j) == similarity(j, i));
        form += x[i] * similarity(i, j) * x[j];
      }
    CHECK(form >= -tolerance::reduction<double>(n * n, magnitude * magnitude));
  }
}

TEST_CASE("tag_similarity: refuses weights that are none") {
  const funnel::matrix<funnel::category_id> tags(2, 2);
  const auto refused = [&](const std::vector<float>& weights, std::string_view words) {
    return refuses([&] { tag_similarity(tags.view(), weights); },
                   "funnel::tag_similarity: ", words);
  };
  CHECK(refused({1}, "weights has 1 value, expected 2 as in a row of tags"));
  CHECK(refused({1, -1}, "weights[1]"));
  CHECK(refused({std::numeric_limits<float>::quiet_NaN(), 1}, "weights[0]"));
  CHECK(refused({std::numeric_limits<float>::infinity(), 1}, "weights[0]"));
}

TEST_CASE("cosine_similarity: knows no items when moved from") {
  const funnel::matrix<float> vectors(3, 2, 1.f);
  cosine_similarity<float> similarity(vectors.view());
  const auto taken = std::move(similarity);
  CHECK(taken.size() == 3);
  CHECK(similarity.size() == 0);  // NOLINT(bugprone-use-after-move): what this is about
}
