// SPDX-License-Identifier: MIT
#include <funnel/diversity/mmr.hpp>

#include "diversity/picks.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <limits>
#include <numeric>

using funnel::mmr;

namespace {

/// The definition, one pick after another, over all pairs in double; for inputs without ties.
template <class T>
pick_list naive_mmr(const std::vector<T>& relevance, const funnel::matrix<double>& table,
                    std::size_t k, const funnel::mmr_options& options, pick_list chosen = {}) {
  const std::size_t n = relevance.size();
  while (chosen.size() < k) {
    std::size_t pick = n;
    double best = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (std::ranges::find(chosen, i) != chosen.end()) continue;
      double similarity = chosen.empty() ? 0 : table(i, chosen.back());
      for (std::size_t t = window_begin(chosen.size(), options.window); t < chosen.size(); ++t)
        similarity = std::max(similarity, table(i, chosen[t]));
      const double score = options.relevance_weight * static_cast<double>(relevance[i]) -
                           (1 - options.relevance_weight) * similarity;
      if (pick == n || score > best) {
        pick = i;
        best = score;
      }
    }
    chosen.push_back(pick);
  }
  return chosen;
}

auto look_up(const funnel::matrix<double>& table) {
  return [&table](std::size_t i, std::size_t j) { return table(i, j); };
}

// Five items A to E.
const std::vector<double> published_relevance{.95, .90, .85, .80, .75};
funnel::matrix<double> published_similarity() {
  constexpr double pairs[5][5] = {{1, .2, .8, .1, .3},
                                  {.2, 1, .1, .7, .4},
                                  {.8, .1, 1, .3, .6},
                                  {.1, .7, .3, 1, .5},
                                  {.3, .4, .6, .5, 1}};
  funnel::matrix<double> table(5, 5);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 5; ++j) table(i, j) = pairs[i][j];
  return table;
}

}  // namespace

TEST_CASE("mmr: worked example") {
  const funnel::matrix<double> table = published_similarity();
  pick_list picked(5);
  mmr(published_relevance, look_up(table), picked, {.relevance_weight = .7});
  CHECK(picked == pick_list{0, 1, 4, 2, 3});
  mmr(published_relevance, look_up(table), picked, {.relevance_weight = .7, .window = 1});
  CHECK(picked == pick_list{0, 1, 2, 3, 4});

  // Step 2 at one half is a tie, .5 * .9 - .5 * .2 = .5 * .8 - .5 * .1, that doubles get wrong.
  CHECK(.5 * .9 - .5 * .2 < .5 * .8 - .5 * .1);
  pick_list two(2);
  mmr(published_relevance, look_up(table), two, {.relevance_weight = .5});
  CHECK(two == pick_list{0, 1});
}

TEST_CASE("mmr: ties go to the more relevant, then to the lower position") {
  const auto all_alike = [](std::size_t, std::size_t) { return 1.f; };
  pick_list picked(4);
  mmr(std::vector<float>{1, 3, 3, 2}, all_alike, picked, {.relevance_weight = 0});
  CHECK(picked == pick_list{1, 2, 3, 0});
}

TEMPLATE_TEST_CASE("mmr: agrees with the definition", "", float, double) {
  using T = TestType;
  funnel::random_generator bits(1);
  for (int round = 0; round < 60; ++round) {
    const std::size_t n = 1 + funnel::uniform_below(bits, 40);
    const std::size_t k = 1 + funnel::uniform_below(bits, n);
    const auto relevance = random_relevance<T>(bits, n);
    const auto vectors = random_vectors<T>(bits, n, 1 + funnel::uniform_below(bits, 20), n, 0);
    const bool mapped = round % 2 == 0;
    const funnel::mmr_options options{.relevance_weight = .1 + .8 * funnel::uniform01(bits),
                                      .window = funnel::uniform_below(bits, 8),
                                      .range = mapped ? funnel::cosine_range::zero_to_one
                                                      : funnel::cosine_range::minus_one_to_one};
    const auto table = cosines(vectors, mapped);
    const pick_list expected = naive_mmr(relevance, table, k, options);
    CAPTURE(round, n, k, options.window);
    pick_list picked(k);
    mmr(relevance, look_up(table), picked, options);
    CHECK(picked == expected);
    mmr(relevance, vectors, picked, options);
    CHECK(picked == expected);
    mmr(relevance, funnel::cosine_similarity(vectors, options.range), picked, options);
    CHECK(picked == expected);

    // Given picks are kept and count as shown.
    const std::size_t given = funnel::uniform_below(bits, k + 1);
    pick_list page(k, n);
    for (std::size_t t = 0; t < given; ++t) page[t] = n - 1 - t;
    funnel::mmr_options next = options;
    next.given = given;
    const pick_list start(page.begin(), page.begin() + static_cast<std::ptrdiff_t>(given));
    mmr(relevance, vectors, page, next);
    CHECK(page == naive_mmr(relevance, table, k, next, start));
  }
}

TEST_CASE("mmr: relevance alone sorts, and never asks for a similarity") {
  const auto never = [](std::size_t, std::size_t) -> float { throw 1; };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> relevance{2, nan, 5, inf, 2, 9, -inf};
  pick_list picked(7);
  mmr(relevance, never, picked, {.relevance_weight = 1});
  CHECK(picked == pick_list{5, 2, 0, 4, 1, 3, 6});
  pick_list page{0, 6, 9, 9, 9};
  mmr(relevance, never, page, {.relevance_weight = 1, .given = 2});
  CHECK(page == pick_list{0, 6, 5, 2, 4});
}

TEST_CASE("mmr: relevance that is not finite comes last, by position") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  funnel::random_generator bits(2);
  const auto vectors = random_vectors<float>(bits, 6, 3, 6, 0);
  for (const double weight : {0., .5}) {
    pick_list picked(6);
    mmr(std::vector<float>{nan, .1f, inf, .2f, -inf, .3f}, vectors, picked,
        {.relevance_weight = weight});
    CHECK(pick_list(picked.begin() + 3, picked.end()) == pick_list{0, 2, 4});
    CHECK(picked[0] == 5);
  }
}

TEST_CASE("mmr: a similarity that is not finite counts as 0") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<float> relevance{1, .9f, .8f, .7f};
  for (const double odd : {nan, inf, -inf}) {
    const auto mixed = [&](std::size_t i, std::size_t j) { return i + j == 1 ? odd : .5; };
    const auto clean = [&](std::size_t i, std::size_t j) { return i + j == 1 ? 0 : .5; };
    for (std::size_t window = 0; window < 3; ++window) {
      pick_list picked(4), expected(4);
      mmr(relevance, mixed, picked, {.relevance_weight = .5, .window = window});
      mmr(relevance, clean, expected, {.relevance_weight = .5, .window = window});
      CHECK(picked == expected);
    }
  }
}

TEST_CASE("mmr: vectors that are zero, huge, tiny or not finite") {
  // 0 and 1 point the same way at sizes whose squares leave float; 2 is at right angles to them, 3
  // is no direction, and neither is 4.
  funnel::matrix<float> vectors(5, 2);
  vectors(0, 0) = 1e30f;
  vectors(1, 0) = 1e-30f;
  vectors(2, 1) = 1;
  vectors(4, 0) = std::numeric_limits<float>::quiet_NaN();
  pick_list picked(5);
  mmr(std::vector<float>{1, .9f, .8f, .7f, .6f}, vectors, picked, {.relevance_weight = .5});
  CHECK(picked == pick_list{0, 2, 3, 4, 1});
  mmr(std::vector<float>{.1f, .2f, .3f, .4f, 1}, vectors, picked, {.relevance_weight = .5});
  CHECK(picked == pick_list{4, 3, 2, 1, 0});
}

TEST_CASE("mmr: scaled copies tie, and the position decides") {
  funnel::matrix<float> vectors(3, 3);
  for (std::size_t f = 0; f < 3; ++f) {
    vectors(0, f) = vectors(2, f) = static_cast<float>(f + 1);
    vectors(1, f) = 3 * static_cast<float>(f + 1);
  }
  const std::vector<float> relevance{1, .5f, .5f};
  pick_list picked(3);
  for (const std::size_t window : {std::size_t{0}, std::size_t{1}}) {
    mmr(relevance, vectors, picked, {.relevance_weight = .7, .window = window});
    CHECK(picked == pick_list{0, 1, 2});
    mmr(relevance, funnel::cosine_similarity(vectors), picked,
        {.relevance_weight = .7, .window = window});
    CHECK(picked == pick_list{0, 1, 2});
  }
}

TEST_CASE("mmr: vectors of double at the ends of the number line have their direction") {
  for (const double size : {1e160, 1e-200, 5e-324, 1e308}) {
    CAPTURE(size);
    funnel::matrix<double> vectors(3, 2);
    vectors(0, 0) = size;
    vectors(1, 0) = 1;
    vectors(2, 1) = size;
    pick_list picked(3);
    mmr(std::vector<double>{1, .9, .8}, vectors, picked, {.relevance_weight = .5});
    CHECK(picked == pick_list{0, 2, 1});
  }
}

TEST_CASE("mmr: a similarity that knows fewer items is refused, and nothing is written") {
  const std::vector<float> relevance(50, .5f);
  const funnel::matrix<float> vectors(5, 3, 1.f);
  const funnel::matrix<funnel::category_id> tags(5, 1, funnel::category_id{1});
  const std::vector<float> weights{1};
  pick_list picked(3, 77);
  CHECK(refuses([&] { mmr(relevance, funnel::cosine_similarity(vectors), picked); },
                "funnel::mmr: ", "similarity has 5 items, expected 50 or more, as in relevance"));
  CHECK(refuses([&] { mmr(relevance, funnel::tag_similarity(tags, weights), picked); },
                "funnel::mmr: ", "similarity has 5 items, expected 50 or more, as in relevance"));
  CHECK(picked == pick_list(3, 77));
  // One of more items is asked for the first.
  mmr(std::vector<float>{1, 3, 2}, funnel::cosine_similarity(vectors), picked);
  CHECK(picked == pick_list{1, 2, 0});
}

TEST_CASE("mmr: picks are a subset, not the old order again") {
  // Of 40 items in four tight groups, four picks are one of each: most of the input is left out.
  funnel::random_generator bits(3);
  const auto vectors = random_vectors<float>(bits, 40, 16, 4, 1e-3);
  pick_list picked(4);
  mmr(random_relevance<float>(bits, 40), vectors, picked, {.relevance_weight = .3});
  pick_list groups;
  for (const std::size_t i : picked) groups.push_back(i % 4);
  CHECK(distinct_positions(groups, 4));
}

TEST_CASE("mmr: the order of the input does not matter") {
  funnel::random_generator bits(4);
  for (int round = 0; round < 20; ++round) {
    const std::size_t n = 30;
    const auto relevance = random_relevance<float>(bits, n);
    const auto vectors = random_vectors<float>(bits, n, 9, n, 0);
    pick_list from(n);
    std::iota(from.begin(), from.end(), std::size_t{0});
    funnel::shuffle(bits, from);
    std::vector<float> moved_relevance(n);
    funnel::matrix<float> moved(n, 9);
    for (std::size_t i = 0; i < n; ++i) {
      moved_relevance[i] = relevance[from[i]];
      std::ranges::copy(vectors.row(from[i]), moved.row(i).begin());
    }
    pick_list picked(12), moved_picks(12);
    mmr(relevance, vectors, picked, {.window = 5});
    mmr(moved_relevance, moved, moved_picks, {.window = 5});
    for (std::size_t& i : moved_picks) i = from[i];
    CHECK(moved_picks == picked);
  }
}

TEST_CASE("mmr: edges") {
  const funnel::matrix<float> none;
  pick_list nothing;
  mmr(std::vector<float>{}, none, nothing);
  CHECK(nothing.empty());

  funnel::matrix<float> one(1, 3, 1.f);
  pick_list picked(1, 7);
  mmr(std::vector<float>{.5f}, one, picked, {.window = std::numeric_limits<std::size_t>::max()});
  CHECK(picked == pick_list{0});
  mmr(std::vector<float>{.5f}, one, nothing);

  // A window longer than all there is.
  funnel::random_generator bits(6);
  const auto vectors = random_vectors<float>(bits, 5, 3, 5, 0);
  pick_list all(5), windowed(5);
  mmr(std::vector<float>(5), vectors, all);
  for (std::size_t window = std::numeric_limits<std::size_t>::max(); window > 3; window /= 2) {
    mmr(std::vector<float>(5), vectors, windowed, {.window = window});
    CHECK(windowed == all);
  }

  // Vectors without values are all zero.
  pick_list both(2);
  mmr(std::vector<float>{.1f, .2f}, funnel::matrix<float>(2, 0), both);
  CHECK(both == pick_list{1, 0});
}

TEST_CASE("mmr: a warm arena is enough, and the answer is the same in it") {
  funnel::random_generator bits(5);
  const auto relevance = random_relevance<float>(bits, 300);
  const auto vectors = random_vectors<float>(bits, 300, 16, 300, 0);
  pick_list expected(40);
  mmr(relevance, vectors, expected, {.window = 10});
  funnel::arena scratch;
  std::size_t warm = 0;
  for (int request = 0; request < 4; ++request) {
    scratch.reset();
    pick_list picked(40);
    mmr(relevance, vectors, picked, {.window = 10}, scratch);
    CHECK(picked == expected);
    if (request > 0) CHECK(scratch.capacity() == warm);
    warm = scratch.capacity();
  }
}

TEST_CASE("mmr: refuses what it cannot do, and writes nothing then") {
  const std::vector<float> relevance{1, 2};
  const auto alike = [](std::size_t, std::size_t) { return 1.f; };
  const funnel::matrix<float> vectors(2, 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  pick_list picked(2, 77);
  const auto refused = [&](const funnel::mmr_options& options, std::string_view words) {
    return refuses([&] { mmr(relevance, alike, picked, options); }, "funnel::mmr: ", words) &&
           refuses([&] { mmr(relevance, vectors, picked, options); }, "funnel::mmr: ", words);
  };
  CHECK(refused({.relevance_weight = -.1}, "relevance_weight"));
  CHECK(refused({.relevance_weight = 1.1}, "relevance_weight"));
  CHECK(refused({.relevance_weight = nan}, "relevance_weight"));
  CHECK(refused({.given = 3}, "given is 3"));
  CHECK(refused({.given = 1}, "picked[0] is 77, expected below 2"));
  CHECK(picked == pick_list{77, 77});
  picked = {1, 1};
  CHECK(refused({.given = 2}, "expected an item that is not given before"));
  CHECK(refuses([&] { mmr(relevance, funnel::matrix<float>(3, 2), picked); },
                "funnel::mmr: ", "vectors has 3 rows, expected 2 as in relevance"));
  pick_list long_picks(12, 77);
  CHECK(refuses([&] { mmr(relevance, alike, long_picks); },
                "funnel::mmr: ", "picked has 12 values, expected at most 2, the number of items"));
  CHECK(long_picks == pick_list(12, 77));
}
