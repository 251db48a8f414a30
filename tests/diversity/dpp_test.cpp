// SPDX-License-Identifier: MIT
#include <funnel/diversity/dpp.hpp>

#include "diversity/picks.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <limits>
#include <numeric>

using funnel::dpp;

namespace {

/// ln det of the table's rows and columns `items`, by elimination in long double.
double log_det(const funnel::matrix<double>& table, const pick_list& items) {
  const std::size_t m = items.size();
  std::vector<long double> a(m * m);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < m; ++j) a[i * m + j] = table(items[i], items[j]);
  long double log = 0;
  for (std::size_t p = 0; p < m; ++p) {
    const long double pivot = a[p * m + p];
    if (!(pivot > 0)) return -std::numeric_limits<double>::infinity();
    log += std::log(pivot);
    for (std::size_t i = p + 1; i < m; ++i)
      for (std::size_t j = p + 1; j < m; ++j) a[i * m + j] -= a[i * m + p] * a[p * m + j] / pivot;
  }
  return static_cast<double>(log);
}

/// The score of every item that is not yet chosen, from determinants; NaN for the chosen.
template <class T>
std::vector<double> naive_scores(const std::vector<T>& relevance,
                                 const funnel::matrix<double>& table, const pick_list& chosen,
                                 const funnel::dpp_options& options) {
  const auto begin = static_cast<std::ptrdiff_t>(window_begin(chosen.size(), options.window));
  pick_list items(chosen.begin() + begin, chosen.end());
  const double before = log_det(table, items);
  std::vector<double> scores(relevance.size(), std::numeric_limits<double>::quiet_NaN());
  items.push_back(0);
  for (std::size_t i = 0; i < relevance.size(); ++i) {
    if (std::ranges::find(chosen, i) != chosen.end()) continue;
    items.back() = i;
    scores[i] = options.relevance_weight * static_cast<double>(relevance[i]) +
                (1 - options.relevance_weight) * (log_det(table, items) - before);
  }
  return scores;
}

template <class T>
pick_list naive_dpp(const std::vector<T>& relevance, const funnel::matrix<double>& table,
                    std::size_t k, const funnel::dpp_options& options, pick_list chosen = {}) {
  while (chosen.size() < k) {
    const std::vector<double> scores = naive_scores(relevance, table, chosen, options);
    std::size_t pick = scores.size();
    for (std::size_t i = 0; i < scores.size(); ++i)
      if (!std::isnan(scores[i]) && (pick == scores.size() || scores[i] > scores[pick])) pick = i;
    chosen.push_back(pick);
  }
  return chosen;
}

auto look_up(const funnel::matrix<double>& table) {
  return [&table](std::size_t i, std::size_t j) { return table(i, j); };
}

}  // namespace

TEST_CASE("dpp: worked example") {
  constexpr double s[3][3] = {{1, .8, .2}, {.8, 1, .6}, {.2, .6, 1}};
  const auto similarity = [&](std::size_t i, std::size_t j) { return s[i][j]; };
  const std::vector<double> relevance{.9, .7, .5};
  pick_list picked(3);
  dpp(relevance, similarity, picked, {.relevance_weight = .5});
  CHECK(picked == pick_list{0, 2, 1});
  dpp(relevance, similarity, picked, {.relevance_weight = .9});
  CHECK(picked == pick_list{0, 1, 2});
}

TEST_CASE("dpp: what is left of each volume, published") {
  constexpr double s[3][3] = {{1, .8, .2}, {.8, 1, .6}, {.2, .6, 1}};
  const auto fill = [&](std::size_t j, const bool*, double* row) { std::copy_n(s[j], 3, row); };
  const double diagonal[] = {1, 1, 1};
  const bool taken[] = {false, false, false};
  funnel::arena scratch;
  const double none = 1e-10;
  funnel::detail::cholesky_volume all(3, fill, diagonal, 3, none, scratch);
  funnel::detail::window_volume last_two(3, fill, diagonal, 2, none, scratch);
  funnel::detail::cholesky_volume other(3, fill, diagonal, 3, none, scratch);
  all.add(0, taken);
  last_two.add(0, taken);
  CHECK(tolerance::within(all[2], .96, tolerance::elementwise<double>(1)));
  all.add(2, taken);
  last_two.add(2, taken);
  CHECK(tolerance::within(all[1], .158333, tolerance::printed(6)));
  CHECK(tolerance::within(last_two[1], .158333, tolerance::printed(6)));
  other.add(0, taken);
  CHECK(tolerance::within(other[1], .36, tolerance::elementwise<double>(1)));
  other.add(1, taken);
  CHECK(tolerance::within(other[2], .422222, tolerance::printed(6)));
}

TEMPLATE_TEST_CASE("dpp: agrees with determinants", "", float, double) {
  using T = TestType;
  funnel::random_generator bits(1);
  for (int round = 0; round < 30; ++round) {
    const std::size_t n = 2 + funnel::uniform_below(bits, 9);
    const std::size_t k = 1 + funnel::uniform_below(bits, n);
    const auto relevance = random_relevance<T>(bits, n);
    const auto vectors = random_vectors<T>(bits, n, n + 2, n, 0);
    const bool mapped = round % 2 == 0;
    funnel::dpp_options options{.relevance_weight = .9 * funnel::uniform01(bits),
                                .window = round % 3 == 0 ? 0 : 1 + funnel::uniform_below(bits, 4),
                                .jitter = round % 5 == 0 ? .1 : 0,
                                .range = mapped ? funnel::cosine_range::zero_to_one
                                                : funnel::cosine_range::minus_one_to_one};
    const auto table = cosines(vectors, mapped);
    auto jittered = table;
    for (std::size_t i = 0; i < n; ++i) jittered(i, i) += options.jitter;
    CAPTURE(round, n, k, options.window, options.relevance_weight);
    const pick_list expected = naive_dpp(relevance, jittered, k, options);
    pick_list picked(k);
    dpp(relevance, look_up(table), picked, options);
    CHECK(picked == expected);
    dpp(relevance, vectors, picked, options);
    CHECK(picked == expected);
    dpp(relevance, funnel::cosine_similarity(vectors, options.range), picked, options);
    CHECK(picked == expected);

    // Given picks are kept and count as shown.
    options.given = funnel::uniform_below(bits, k + 1);
    pick_list page(k, n);
    for (std::size_t t = 0; t < options.given; ++t) page[t] = n - 1 - t;
    const pick_list start(page.begin(), page.begin() + static_cast<std::ptrdiff_t>(options.given));
    const pick_list continued = naive_dpp(relevance, jittered, k, options, start);
    dpp(relevance, vectors, page, options);
    CHECK(page == continued);
    std::ranges::copy(start, page.begin());
    dpp(relevance, look_up(table), page, options);
    CHECK(page == continued);
  }
}

TEST_CASE("dpp: the window counts picks, one less than the source's w") {
  // Two directions, two items each. With both shown, a window of 1 has forgotten the first; one of
  // 2 has not, and no item has volume.
  funnel::matrix<float> vectors(4, 2);
  vectors(0, 0) = vectors(1, 1) = vectors(2, 0) = vectors(3, 1) = 1;
  const std::vector<float> relevance{1, .2f, .1f, .9f};
  pick_list picked(4);
  dpp(relevance, vectors, picked, {.window = 1});
  CHECK(picked == pick_list{0, 3, 2, 1});
  dpp(relevance, vectors, picked, {.window = 2});
  CHECK(picked == pick_list{0, 3, 1, 2});
}

TEST_CASE("dpp: many items of unequal S_ii") {
  funnel::random_generator bits(7);
  const std::size_t n = 600;
  const auto relevance = random_relevance<double>(bits, n);
  auto table = cosines(random_vectors<double>(bits, n, 12, n, 0));
  const auto quality = random_relevance<double>(bits, n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) table(i, j) *= (.5 + quality[i]) * (.5 + quality[j]);
  for (std::size_t window = 0; window < 4; ++window) {
    const funnel::dpp_options options{.relevance_weight = .2, .window = window};
    pick_list picked(6);
    dpp(relevance, look_up(table), picked, options);
    CHECK(picked == naive_dpp(relevance, table, 6, options));
  }
}

TEST_CASE("dpp: vectors and their cosines as a function agree on many items") {
  funnel::random_generator bits(8);
  const std::size_t n = 600;
  const auto relevance = random_relevance<float>(bits, n);
  const auto vectors = random_vectors<float>(bits, n, 48, n, 0);
  for (const std::size_t window : {std::size_t{0}, std::size_t{10}}) {
    pick_list picked(40), by_function(40);
    dpp(relevance, vectors, picked, {.window = window});
    dpp(relevance, funnel::cosine_similarity(vectors), by_function, {.window = window});
    CHECK(picked == by_function);
  }
}

TEST_CASE("dpp: a pick without volume changes nothing for the others") {
  // Items 0, 1 and 2 are one; 3 is close to them, 4 at right angles.
  funnel::matrix<float> vectors(5, 2);
  vectors(0, 0) = vectors(1, 0) = vectors(2, 0) = vectors(3, 0) = vectors(4, 1) = 1;
  vectors(3, 1) = .1f;
  const auto table = cosines(vectors);
  for (const std::size_t window : {std::size_t{0}, std::size_t{3}}) {
    const pick_list start{0, 1, 9, 9, 9};
    pick_list picked = start;
    const funnel::dpp_options options{.window = window, .given = 2};
    dpp(std::vector<float>{0, 0, 3, 1, 0}, vectors, picked, options);
    CHECK(picked == pick_list{0, 1, 4, 2, 3});
    picked = start;
    dpp(std::vector<float>{0, 0, 3, 1, 0}, look_up(table), picked, options);
    CHECK(picked == pick_list{0, 1, 4, 2, 3});
  }
}

TEST_CASE("dpp: vectors that are almost one count as one, in whichever way they are given") {
  // Of the three given the last two have d^2 of 5e-11, less than epsilon.
  funnel::matrix<float> vectors(6, 2);
  const float values[6][2] = {{1, 0}, {1, 7e-6f}, {1, -7e-6f}, {1, 1}, {1, .001f}, {1, .002f}};
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t f = 0; f < 2; ++f) vectors(i, f) = values[i][f];
  const std::vector<float> relevance{0, 0, 0, .5f, .6f, .55f};
  const auto table = cosines(vectors);
  const pick_list start{0, 1, 2, 9, 9}, right{0, 1, 2, 3, 4};
  for (const double epsilon : {1e-10, 1e-9}) {
    const funnel::dpp_options options{
        .relevance_weight = .5, .window = 3, .given = 3, .epsilon = epsilon};
    pick_list picked = start;
    dpp(relevance, vectors, picked, options);
    CHECK(picked == right);
    picked = start;
    dpp(relevance, funnel::cosine_similarity(vectors), picked, options);
    CHECK(picked == right);
    picked = start;
    dpp(relevance, look_up(table), picked, options);
    CHECK(picked == right);
  }
}

TEST_CASE("dpp: a pick of a window that has no more than epsilon left changes nothing") {
  // Pick 1 has .36 left beside pick 0. If it counts, item 2 has less left than item 3.
  constexpr double s[4][4] = {{1, .8, 0, .5}, {.8, 1, .5, .4}, {0, .5, 1, 0}, {.5, .4, 0, 1}};
  const auto similarity = [&](std::size_t i, std::size_t j) { return s[i][j]; };
  const std::vector<float> relevance(4, .5f);
  const auto third = [&](double epsilon, std::size_t window) {
    pick_list picked{0, 1, 9};
    dpp(relevance, similarity, picked, {.window = window, .given = 2, .epsilon = epsilon});
    return picked[2];
  };
  // k = 3 picks: a window of 2 is all that the last can see, one of 3 in a list of 4 slides.
  const auto third_of_four = [&](double epsilon) {
    pick_list picked{0, 1, 9, 9};
    dpp(relevance, similarity, picked, {.window = 2, .given = 2, .epsilon = epsilon});
    return picked[2];
  };
  CHECK(third(.3, 0) == 3);
  CHECK(third_of_four(.3) == 3);
  CHECK(third(.37, 0) == 2);
  CHECK(third_of_four(.37) == 2);
}

TEST_CASE("dpp: scaled copies tie, and the position decides") {
  funnel::random_generator bits(9);
  for (int round = 0; round < 50; ++round) {
    // Items 1 and 2, in either order, are one direction close to that of the first pick.
    const double noise = std::pow(10., -static_cast<double>(round % 5));
    auto vectors = random_vectors<float>(bits, 3, 8, 1, noise);
    for (std::size_t f = 0; f < 8; ++f) {
      vectors(1, f) = std::round(1024 * vectors(1, f));
      vectors(2, f) = 3 * vectors(1, f);
    }
    if (round % 2 == 0)
      std::swap_ranges(vectors.row(1).begin(), vectors.row(1).end(), vectors.row(2).begin());
    const std::vector<float> relevance{1, .5f, .5f};
    const auto table = cosines(vectors);
    pick_list picked(2);
    CAPTURE(round, noise);
    for (const std::size_t window : {std::size_t{0}, std::size_t{1}}) {
      dpp(relevance, vectors, picked, {.window = window});
      CHECK(picked == pick_list{0, 1});
      dpp(relevance, look_up(table), picked, {.window = window});
      CHECK(picked == pick_list{0, 1});
    }
  }
}

TEST_CASE("dpp: vectors of double at the ends of the number line have their direction") {
  for (const double size : {1e160, 1e-200, 5e-324, 1e308}) {
    CAPTURE(size);
    funnel::matrix<double> vectors(3, 2);
    vectors(0, 0) = size;
    vectors(1, 0) = 1;
    vectors(2, 1) = size;
    pick_list picked(3);
    dpp(std::vector<double>{1, .9, .2}, vectors, picked, {.relevance_weight = .5});
    CHECK(picked == pick_list{0, 2, 1});
  }
}

TEST_CASE("dpp: a similarity that knows fewer items is refused, and nothing is written") {
  const std::vector<float> relevance(50, .5f);
  const funnel::matrix<float> vectors(5, 3, 1.f);
  const funnel::matrix<funnel::category_id> tags(5, 1, funnel::category_id{1});
  const std::vector<float> weights{1};
  pick_list picked(3, 77);
  CHECK(refuses([&] { dpp(relevance, funnel::cosine_similarity(vectors), picked); },
                "funnel::dpp: ", "similarity has 5 items, expected 50 or more, as in relevance"));
  CHECK(refuses([&] { dpp(relevance, funnel::tag_similarity(tags, weights), picked); },
                "funnel::dpp: ", "similarity has 5 items, expected 50 or more, as in relevance"));
  CHECK(picked == pick_list(3, 77));
}

TEST_CASE("dpp: what rounding leaves of a volume is none, however small epsilon is") {
  // All lie in one plane: two picks span it, and the others follow by relevance.
  funnel::random_generator bits(12);
  constexpr std::size_t n = 40, d = 5;
  const auto axes = random_vectors<double>(bits, 2, d, 2, 0);
  const auto relevance = random_relevance<double>(bits, n);
  funnel::matrix<double> vectors(n, d);
  for (std::size_t i = 0; i < n; ++i) {
    const double x = funnel::standard_normal(bits), y = funnel::standard_normal(bits);
    for (std::size_t f = 0; f < d; ++f) vectors(i, f) = x * axes(0, f) + y * axes(1, f);
  }
  const auto table = cosines(vectors);
  pick_list picked(n), by_function(n);
  dpp(relevance, vectors, picked, {.epsilon = 0});
  CHECK(std::is_sorted(picked.begin() + 2, picked.end(),
                       [&](std::size_t i, std::size_t j) { return relevance[i] > relevance[j]; }));
  dpp(relevance, look_up(table), by_function, {.epsilon = 0});
  CHECK(picked == by_function);
}

TEST_CASE("dpp: jitter keeps some volume in every item") {
  // A twin loses 1/11 of its 11, which its relevance outweighs.
  funnel::matrix<float> vectors(3, 2);
  vectors(0, 0) = vectors(1, 0) = vectors(2, 1) = 1;
  const std::vector<float> relevance{1, .9f, 0};
  pick_list picked(3);
  for (std::size_t window = 0; window < 2; ++window) {
    dpp(relevance, vectors, picked, {.window = window});
    CHECK(picked == pick_list{0, 2, 1});
    dpp(relevance, vectors, picked, {.window = window, .jitter = 10});
    CHECK(picked == pick_list{0, 1, 2});
    dpp(relevance, funnel::cosine_similarity(vectors), picked, {.window = window, .jitter = 10});
    CHECK(picked == pick_list{0, 1, 2});
  }
}

TEST_CASE("dpp: 300 windowed picks with near-duplicates don't drift") {
  funnel::random_generator bits(2);
  constexpr std::size_t n = 330;
  constexpr std::size_t k = 300;
  const auto relevance = random_relevance<float>(bits, n);
  const auto vectors = random_vectors<float>(bits, n, 12, 40, 1e-3);
  const auto table = cosines(vectors);
  const funnel::dpp_options options{.relevance_weight = .5, .window = 9};
  pick_list picked(k), by_function(k);
  dpp(relevance, vectors, picked, options);
  dpp(relevance, look_up(table), by_function, options);
  CHECK(distinct_positions(picked, n));
  CHECK(by_function == picked);
  pick_list chosen;
  std::size_t far_off = 0;
  for (std::size_t t = 0; t < k; ++t) {
    if (t % 7 == 0) {  // every 7th step against determinants of all candidates
      const std::vector<double> scores = naive_scores(relevance, table, chosen, options);
      double best = -std::numeric_limits<double>::infinity();
      for (const double score : scores) best = std::isnan(score) ? best : std::max(best, score);
      // d^2 of near-duplicates is about 1e-6: the rounding of a 1 is a millionfold in its
      // logarithm.
      if (!tolerance::within(scores[picked[t]], best, tolerance::iterative<double>(k, 1e6)))
        ++far_off;
    }
    chosen.push_back(picked[t]);
  }
  CHECK(far_off == 0);
}

TEST_CASE("dpp: relevance alone sorts, and never takes a logarithm or a similarity") {
  const auto never = [](std::size_t, std::size_t) -> float { throw 1; };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> relevance{2, nan, 5, inf, 2, 9, -inf};
  pick_list picked(7);
  dpp(relevance, never, picked, {.relevance_weight = 1});
  CHECK(picked == pick_list{5, 2, 0, 4, 1, 3, 6});
  dpp(relevance, funnel::matrix<float>(7, 2, 1.f), picked, {.relevance_weight = 1});
  CHECK(picked == pick_list{5, 2, 0, 4, 1, 3, 6});
}

TEST_CASE("dpp: volume alone starts with the most relevant") {
  funnel::matrix<float> vectors(3, 2);
  vectors(0, 0) = .3f;
  vectors(1, 0) = 3;
  vectors(1, 1) = .1f;
  vectors(2, 1) = 7;
  pick_list picked(3);
  dpp(std::vector<float>{.2f, .9f, .8f}, vectors, picked, {.relevance_weight = 0});
  CHECK(picked[0] == 1);
  CHECK(picked[1] == 2);
}

TEST_CASE("dpp: as many picks as asked for, whatever the rank") {
  funnel::random_generator bits(3);
  constexpr std::size_t n = 60;
  const auto relevance = random_relevance<float>(bits, n);
  const auto close = random_vectors<float>(bits, n, 4, 10, 1e-7);
  const auto same = random_vectors<float>(bits, n, 4, 10, 0);
  const funnel::matrix<float> constant(n, 4, .5f);
  for (const funnel::matrix<float>& vectors : {close, same, constant}) {
    const auto table = cosines(vectors);
    for (const double weight : {0., .5, .999}) {
      for (const std::size_t window : {std::size_t{0}, std::size_t{1}, std::size_t{10}}) {
        pick_list picked(n, n);
        dpp(relevance, vectors, picked, {.relevance_weight = weight, .window = window});
        CHECK(distinct_positions(picked, n));
        dpp(relevance, look_up(table), picked, {.relevance_weight = weight, .window = window});
        CHECK(distinct_positions(picked, n));
      }
    }
  }

  // Behind the picks that span the space, those without volume follow by relevance.
  pick_list picked(n);
  dpp(relevance, same, picked, {.relevance_weight = .5});
  CHECK(std::ranges::is_sorted(picked.begin() + 4, picked.end(), [&](std::size_t a, std::size_t b) {
    return relevance[a] > relevance[b];
  }));
}

TEST_CASE("dpp: a similarity that is no kernel still gives an order") {
  const auto negative = [](std::size_t, std::size_t) { return -1.; };
  const auto nothing = [](std::size_t, std::size_t) {
    return std::numeric_limits<double>::quiet_NaN();
  };
  const auto huge = [](std::size_t i, std::size_t j) { return i == j ? 1 : 1e200; };
  const std::vector<float> relevance{.1f, .4f, .2f, .3f};
  for (std::size_t window = 0; window < 3; ++window) {
    pick_list picked(4);
    dpp(relevance, negative, picked, {.window = window});
    CHECK(picked == pick_list{1, 3, 2, 0});
    dpp(relevance, nothing, picked, {.window = window});
    CHECK(picked == pick_list{1, 3, 2, 0});
    dpp(relevance, huge, picked, {.window = window});
    CHECK(distinct_positions(picked, 4));
  }
}

TEST_CASE("dpp: vectors that are zero or not finite are unlike all others") {
  funnel::matrix<float> vectors(4, 2);
  vectors(0, 0) = 2;
  vectors(1, 0) = 5;
  vectors(3, 1) = std::numeric_limits<float>::infinity();
  for (const auto range :
       {funnel::cosine_range::minus_one_to_one, funnel::cosine_range::zero_to_one}) {
    for (std::size_t window = 0; window < 3; ++window) {
      pick_list picked(4);
      dpp(std::vector<float>{1, .9f, .2f, .1f}, vectors, picked,
          {.window = window, .range = range});
      CHECK(pick_list(picked.begin(), picked.begin() + 2) == pick_list{0, 2});
      CHECK(distinct_positions(picked, 4));
      if (window != 1) CHECK(picked == pick_list{0, 2, 3, 1});
    }
  }
}

TEST_CASE("dpp: relevance that is not finite comes last, by position") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  funnel::random_generator bits(4);
  const auto vectors = random_vectors<float>(bits, 6, 8, 6, 0);
  for (std::size_t window = 0; window < 4; ++window) {
    pick_list picked(6);
    dpp(std::vector<float>{nan, .1f, inf, .2f, -inf, .3f}, vectors, picked, {.window = window});
    CHECK(pick_list(picked.begin() + 3, picked.end()) == pick_list{0, 2, 4});
    CHECK(picked[0] == 5);
  }
}

TEST_CASE("dpp: the order of the input does not matter") {
  funnel::random_generator bits(5);
  for (int round = 0; round < 20; ++round) {
    const std::size_t n = 30;
    const auto relevance = random_relevance<float>(bits, n);
    const auto vectors = random_vectors<float>(bits, n, 24, n, 0);
    pick_list from(n);
    std::iota(from.begin(), from.end(), std::size_t{0});
    funnel::shuffle(bits, from);
    std::vector<float> moved_relevance(n);
    funnel::matrix<float> moved(n, 24);
    for (std::size_t i = 0; i < n; ++i) {
      moved_relevance[i] = relevance[from[i]];
      std::ranges::copy(vectors.row(from[i]), moved.row(i).begin());
    }
    const std::size_t window = round % 2 == 0 ? 0 : 5;
    pick_list picked(12), moved_picks(12);
    dpp(relevance, vectors, picked, {.window = window});
    dpp(moved_relevance, moved, moved_picks, {.window = window});
    for (std::size_t& i : moved_picks) i = from[i];
    CHECK(moved_picks == picked);
  }
}

TEST_CASE("dpp: edges") {
  pick_list nothing;
  dpp(std::vector<float>{}, funnel::matrix<float>(), nothing);
  CHECK(nothing.empty());
  const funnel::matrix<float> one(1, 3, 1.f);
  pick_list picked(1, 7);
  dpp(std::vector<float>{.5f}, one, picked, {.window = std::numeric_limits<std::size_t>::max()});
  CHECK(picked == pick_list{0});
  pick_list all(3), windowed(3);
  const std::vector<float> three{.1f, .2f, .3f};
  dpp(three, funnel::matrix<float>(3, 2, 1.f), all);
  for (std::size_t window = std::numeric_limits<std::size_t>::max(); window > 1; window /= 2) {
    dpp(three, funnel::matrix<float>(3, 2, 1.f), windowed, {.window = window});
    CHECK(windowed == all);
  }
  pick_list both(2);
  dpp(std::vector<float>{.1f, .2f}, funnel::matrix<float>(2, 0), both, {.window = 1});
  CHECK(both == pick_list{1, 0});
}

TEST_CASE("dpp: a warm arena is enough, and the answer is the same in it") {
  funnel::random_generator bits(6);
  const auto relevance = random_relevance<float>(bits, 300);
  const auto vectors = random_vectors<float>(bits, 300, 16, 300, 0);
  for (const std::size_t window : {std::size_t{0}, std::size_t{5}}) {
    pick_list expected(40);
    dpp(relevance, vectors, expected, {.window = window});
    funnel::arena scratch;
    std::size_t warm = 0;
    for (int request = 0; request < 4; ++request) {
      scratch.reset();
      pick_list picked(40);
      dpp(relevance, vectors, picked, {.window = window}, scratch);
      CHECK(picked == expected);
      if (request > 0) CHECK(scratch.capacity() == warm);
      warm = scratch.capacity();
    }
  }
}

TEST_CASE("dpp: refuses what it cannot do, and writes nothing then") {
  const std::vector<float> relevance{1, 2};
  const auto alike = [](std::size_t, std::size_t) { return 1.f; };
  const funnel::matrix<float> vectors(2, 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  pick_list picked(2, 77);
  const auto refused = [&](const funnel::dpp_options& options, std::string_view words) {
    return refuses([&] { dpp(relevance, alike, picked, options); }, "funnel::dpp: ", words) &&
           refuses([&] { dpp(relevance, vectors, picked, options); }, "funnel::dpp: ", words);
  };
  CHECK(refused({.relevance_weight = -.1}, "relevance_weight"));
  CHECK(refused({.relevance_weight = 1.1}, "relevance_weight"));
  CHECK(refused({.relevance_weight = nan}, "relevance_weight"));
  CHECK(refused({.jitter = -1}, "jitter"));
  CHECK(refused({.jitter = nan}, "jitter"));
  CHECK(refused({.epsilon = -1}, "epsilon"));
  CHECK(refused({.epsilon = nan}, "epsilon"));
  CHECK(refused({.given = 3}, "given is 3"));
  CHECK(refused({.given = 1}, "picked[0] is 77, expected below 2"));
  CHECK(picked == pick_list{77, 77});
  picked = {1, 1};
  CHECK(refused({.given = 2}, "expected an item that is not given before"));
  CHECK(refuses([&] { dpp(relevance, funnel::matrix<float>(3, 2), picked); },
                "funnel::dpp: ", "vectors has 3 rows, expected 2 as in relevance"));
  pick_list long_picks(12, 77);
  CHECK(refuses([&] { dpp(relevance, alike, long_picks); },
                "funnel::dpp: ", "picked has 12 values, expected at most 2, the number of items"));
  CHECK(long_picks == pick_list(12, 77));
}
