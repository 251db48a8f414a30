// SPDX-License-Identifier: MIT
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include "diversity/picks.hpp"
#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <type_traits>

namespace {

using funnel::detail::scan;

/// `mmr` and `dpp` from vectors, items looked at lazily, eagerly or as it comes.
template <class Arch, class T>
std::size_t pick(scan how, const std::vector<T>& values, const funnel::matrix<T>& vectors,
                 pick_list& picked, const funnel::mmr_options& options) {
  funnel::arena scratch;
  bool* taken = funnel::detail::check_mmr(values.size(), picked, options, scratch);
  return funnel::detail::mmr_of_vectors<Arch>(std::span<const T>(values),
                                              funnel::matrix_view<const T>(vectors),
                                              std::span(picked), options, taken, scratch, how);
}
template <class Arch, class T>
std::size_t pick(scan how, const std::vector<T>& values, const funnel::matrix<T>& vectors,
                 pick_list& picked, const funnel::dpp_options& options) {
  funnel::arena scratch;
  bool* taken = funnel::detail::check_dpp(values.size(), picked, options, scratch);
  return funnel::detail::dpp_of_vectors<Arch>(std::span<const T>(values),
                                              funnel::matrix_view<const T>(vectors),
                                              std::span(picked), options, taken, scratch, how);
}

/// The similarity of two rows, as a function that nobody can look into.
template <class T>
auto as_function(const funnel::cosine_similarity<T>& similarity) {
  return [&similarity](std::size_t i, std::size_t j) { return similarity(i, j); };
}

template <class T>
struct problem {
  std::vector<T> relevance;
  funnel::matrix<T> vectors;
  pick_list picked = {};  // given picks in front
  std::size_t given = 0;
  std::vector<std::vector<funnel::category_id>> labels = {};
  std::vector<funnel::slate_rule> rules = {};
};

/// Items with all that makes ties and breaks: equal relevance and none, directions that are equal
/// or nearly so, opposite, of any length, zero or not finite; given picks and rules.
template <class T>
problem<T> random_problem(funnel::random_generator& bits, std::size_t n, std::size_t d) {
  const auto below = [&](std::size_t m) { return funnel::uniform_below(bits, m); };
  problem<T> x{.relevance = random_relevance<T>(bits, n), .vectors = {n, d}};
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const T inf = std::numeric_limits<T>::infinity();
  const std::size_t steps = below(3) == 0 ? 4 : 0;
  for (T& r : x.relevance) {
    if (steps > 0) r = std::floor(r * static_cast<T>(steps)) / static_cast<T>(steps);
    if (below(20) == 0) r = below(2) == 0 ? nan : -inf;
  }
  const std::size_t kinds = below(4);  // how odd the vectors are
  const double noise = std::pow(10., -static_cast<double>(below(7)));
  const std::size_t originals = below(3) == 0 ? 1 + below(8) : n;  // the others are copies
  for (std::size_t i = 0; i < n; ++i) {
    const bool copy = i >= originals || (i > 0 && kinds > 0 && below(3) == 0);
    const std::size_t from = copy ? below(std::min(i, originals)) : 0;
    const double factor = copy && below(4) == 0 ? -3 : 1;
    const double size = copy && kinds > 1 && below(2) == 0 ? noise : 0;
    for (std::size_t f = 0; f < d; ++f)
      x.vectors(i, f) = static_cast<T>(copy ? factor * static_cast<double>(x.vectors(from, f)) +
                                                  size * funnel::standard_normal(bits)
                                            : funnel::standard_normal(bits));
    if (kinds > 2 && d > 0 && below(10) == 0) {
      if (below(2) == 0)
        std::ranges::fill(x.vectors.row(i), T(0));
      else
        x.vectors(i, below(d)) = below(2) == 0 ? nan : inf;
    }
  }
  x.picked.assign(1 + below(n), n);
  x.given = below(3) == 0 ? below(x.picked.size() + 1) : 0;
  pick_list all(n);
  for (std::size_t i = 0; i < n; ++i) all[i] = i;
  funnel::shuffle(bits, all);
  std::copy_n(all.begin(), x.given, x.picked.begin());
  x.labels.resize(below(3) == 0 ? 1 + below(2) : 0);
  for (auto& column : x.labels) {
    for (std::size_t i = 0; i < n; ++i)
      column.push_back(static_cast<funnel::category_id>(below(5)));
    x.rules.push_back({.labels = column,
                       .window = 1 + below(5),
                       .max_count = below(3),
                       .hard = x.rules.empty() && below(2) == 0});
  }
  return x;
}

/// Picks made lazily and not, in `rounds` random problems.
template <class Arch, class T, class Options>
void check_against_eager(std::size_t rounds, std::uint64_t seed) {
  constexpr std::size_t width = funnel::detail::lanes<Arch, float>;
  funnel::random_generator bits(seed);
  for (std::size_t round = 0; round < rounds; ++round) {
    const std::size_t n = 1 + funnel::uniform_below(bits, 120);
    const auto x = random_problem<T>(bits, n, funnel::uniform_below(bits, 24));
    Options options{
        .window = funnel::uniform_below(bits, 3) == 0 ? 0 : 1 + funnel::uniform_below(bits, 20),
        .given = x.given,
        .rules = x.rules,
        .range = round % 2 == 0 ? funnel::cosine_range::zero_to_one
                                : funnel::cosine_range::minus_one_to_one};
    const double weights[] = {0, .01, .3, .5, .9, 1 - 1e-9};
    options.relevance_weight = weights[funnel::uniform_below(bits, 6)];
    if constexpr (std::is_same_v<Options, funnel::dpp_options>) {
      const double jitters[] = {0, 0, .01, 1e300};
      const double epsilons[] = {1e-10, 1e-10, 0, .4, 2};
      options.jitter = jitters[funnel::uniform_below(bits, 4)];
      options.epsilon = epsilons[funnel::uniform_below(bits, 5)];
    }
    pick_list lazy = x.picked;
    CAPTURE(width, seed, round, n, options.window, options.given, options.relevance_weight);
    const std::size_t made = pick<Arch>(scan::lazy, x.relevance, x.vectors, lazy, options);
    for (const scan how : {scan::eager, scan::adaptive}) {
      pick_list other = x.picked;
      CHECK(made == pick<Arch>(how, x.relevance, x.vectors, other, options));
      CHECK(lazy == other);
    }
    if constexpr (std::is_same_v<Options, funnel::mmr_options>) {
      const funnel::cosine_similarity<T> similarity(x.vectors, options.range);
      pick_list by_function = x.picked;
      CHECK(made == funnel::mmr(x.relevance, as_function(similarity), by_function, options));
      CHECK(lazy == by_function);
    }
  }
}

}  // namespace

TEST_CASE("lazy_greedy: the same as with every item looked at, whatever the ties and rules") {
  for_each_arch([](auto arch) {
    using Arch = decltype(arch);
    check_against_eager<Arch, float, funnel::mmr_options>(200, 1);
    check_against_eager<Arch, float, funnel::dpp_options>(200, 2);
  });
  check_against_eager<funnel::default_arch, double, funnel::mmr_options>(200, 3);
  check_against_eager<funnel::default_arch, double, funnel::dpp_options>(200, 4);
}

TEST_CASE("lazy_greedy: the same on a register more or less of items") {
  funnel::random_generator bits(5);
  constexpr std::size_t width = funnel::detail::lanes<funnel::default_arch, float>;
  for (const std::size_t n : {width - 1, width, width + 1, 16 * width, 16 * width + 1})
    for (const std::size_t window : size_list{0, 1, 15, 16, 17, 40}) {
      const auto relevance = random_relevance<float>(bits, n);
      const auto vectors = random_vectors<float>(bits, n, 9, n, 0);
      const auto check = [&](const auto& options) {
        pick_list lazy(n), eager(n);
        pick<funnel::default_arch>(scan::lazy, relevance, vectors, lazy, options);
        pick<funnel::default_arch>(scan::eager, relevance, vectors, eager, options);
        CHECK(lazy == eager);
      };
      check(funnel::mmr_options{.window = window});
      check(funnel::dpp_options{.window = window});
    }
}

TEST_CASE("lazy_greedy: all instruction sets agree") {
  funnel::random_generator bits(6);
  for (int round = 0; round < 10; ++round) {
    const auto relevance = random_relevance<double>(bits, 200);
    const auto vectors = random_vectors<double>(bits, 200, 20, 150, 1e-2);
    const std::size_t window = round % 2 == 0 ? 0 : 7;
    pick_list by_mmr(60), by_dpp(60);
    funnel::mmr(relevance, vectors, by_mmr, {.window = window});
    funnel::dpp(relevance, vectors, by_dpp, {.window = window});
    for_each_arch([&](auto arch) {
      using Arch = decltype(arch);
      pick_list picked(60);
      funnel::mmr<Arch>(relevance, vectors, picked, {.window = window});
      CHECK(picked == by_mmr);
      funnel::dpp<Arch>(relevance, vectors, picked, {.window = window});
      CHECK(picked == by_dpp);
    });
  }
}

TEST_CASE("lazy_greedy: vectors and their cosines as a function agree, duplicates included") {
  funnel::random_generator bits(7);
  for (int round = 0; round < 40; ++round) {
    const std::size_t n = 150;
    const auto relevance = random_relevance<float>(bits, n);
    const auto vectors =
        random_vectors<float>(bits, n, round % 5 == 0 ? 4 : 16, 100, round % 2 == 0 ? 0 : 1e-2);
    // 4 values and 5 picks in view or more: they span the space, and relevance alone is left.
    const std::size_t window = round % 3 == 0 ? 0 : static_cast<std::size_t>(round % 12);
    const double weight = .1 * (round % 10);
    pick_list picked(100), by_function(100);
    funnel::dpp(relevance, vectors, picked, {.relevance_weight = weight, .window = window});
    const auto table = cosines(vectors);
    funnel::dpp(relevance, [&](std::size_t i, std::size_t j) { return table(i, j); }, by_function,
                {.relevance_weight = weight, .window = window});
    CAPTURE(round, window, weight);
    CHECK(picked == by_function);
    funnel::dpp(relevance, funnel::cosine_similarity(vectors), by_function,
                {.relevance_weight = weight, .window = window});
    CHECK(picked == by_function);
  }
}

TEST_CASE("rank_by_relevance: by relevance, then by position; what is not finite is left out") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> odd{-0., -1, nan, 3e300, 0, inf, 3e300, -1e-300, 5e-324, -inf, 2};
  const auto ranked = [](const auto& relevance) {
    using R = std::decay_t<decltype(relevance[0])>;
    std::vector<funnel::detail::ranked_item<R>> order(relevance.size() + 1), spare(order);
    auto* sorted = order.data();
    const std::size_t count =
        funnel::detail::rank_by_relevance(std::span<const R>(relevance), sorted, spare.data());
    pick_list items;
    for (std::size_t p = 0; p < count; ++p) items.push_back(sorted[p].item);
    return items;
  };
  CHECK(ranked(odd) == pick_list{3, 6, 10, 8, 0, 4, 7, 1});

  funnel::random_generator bits(8);
  for (const std::size_t n : size_list{0, 1, 2, 255, 256, 257, 3000}) {
    auto relevance = random_relevance<float>(bits, n);
    for (std::size_t i = 0; i < n; i += 3) relevance[i] = -relevance[i / 2];
    pick_list expected(n);
    for (std::size_t i = 0; i < n; ++i) expected[i] = i;
    std::ranges::stable_sort(
        expected, [&](std::size_t i, std::size_t j) { return relevance[i] > relevance[j]; });
    CHECK(ranked(relevance) == expected);
  }
}

namespace {

/// Items as re-ranking gets them: `kind` 0 has uniform relevance, 1 has it equal, 2 bunched near 1, 3
/// copies of few vectors, 4 one vector, 5 copies and equal relevance.
problem<float> usual_problem(int kind, std::size_t n) {
  constexpr std::size_t d = 24, topics = 12;
  funnel::random_generator bits(static_cast<std::uint64_t>(100 + kind));
  problem<float> x{random_relevance<float>(bits, n), funnel::matrix<float>(n, d)};
  const auto centers = random_vectors<float>(bits, topics, d, topics, 0);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t topic = kind == 4 ? 0 : funnel::uniform_below(bits, topics);
    for (std::size_t f = 0; f < d; ++f)
      x.vectors(i, f) =
          centers(topic, f) + (kind < 3 ? static_cast<float>(funnel::standard_normal(bits)) : 0.f);
    if (kind == 1 || kind == 5) x.relevance[i] = .5f;
    if (kind == 2) x.relevance[i] = 1 / (1 + std::exp(-12 - 4 * x.relevance[i]));
  }
  return x;
}

}  // namespace

TEST_CASE("lazy_greedy: on the data of re-ranking, past the switch to holding all items at once") {
  for (int kind = 0; kind < 6; ++kind) {
    const auto x = usual_problem(kind, 1250);
    const funnel::cosine_similarity<float> similarity(x.vectors);
    const auto table = cosines(x.vectors);
    for (const std::size_t window : size_list{0, 10}) {
      CAPTURE(kind, window);
      const auto check = [&](const auto& options, const auto& eager_page) {
        for (const scan how : {scan::lazy, scan::eager, scan::adaptive}) {
          pick_list picked(40);
          pick<funnel::default_arch>(how, x.relevance, x.vectors, picked, options);
          CHECK(picked == eager_page);
        }
      };
      pick_list page(40);
      const funnel::mmr_options mmr{.window = window};
      funnel::mmr(x.relevance, as_function(similarity), page, mmr);
      check(mmr, page);
      const funnel::dpp_options dpp{.window = window};
      funnel::dpp(
          x.relevance, [&](std::size_t i, std::size_t j) { return table(i, j); }, page, dpp);
      check(dpp, page);
    }
  }
}
