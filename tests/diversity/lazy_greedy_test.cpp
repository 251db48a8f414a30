// SPDX-License-Identifier: MIT
#include <funnel/diversity/dpp.hpp>
#include <funnel/diversity/mmr.hpp>

#include "diversity/picks.hpp"
#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

namespace {

/// What `pick_lazily` promises, by holding every item against every pick at every pick.
template <class Arch, class T, class Options, class Bound>
std::size_t pick_eagerly(std::span<const T> relevance, std::span<std::size_t> picked,
                         const Options& options, bool* taken, funnel::arena& scratch,
                         funnel::detail::ranked_units<Arch, T, typename Bound::value>& items,
                         Bound& bound) {
  using S = typename Bound::value;
  using pack = funnel::detail::pack<Arch, S>;
  constexpr std::size_t width = funnel::detail::lanes<Arch, S>;
  funnel::detail::slate page(options.rules, relevance.size(), picked.size(), scratch);
  S* products = scratch.allocate<S>((funnel::direction_block + funnel::direction_slack) * width);
  for (std::size_t g = 0; g < items.groups(); ++g) items.make(g);
  for (std::size_t t = 0; t < options.given; ++t) bound.show(picked[t]);
  for (std::size_t t = options.given; t < picked.size(); ++t) {
    const bool* admitted = page.admit(picked.first(t), taken);
    if (admitted == nullptr) return t;
    std::vector<double> scores(items.size(), -std::numeric_limits<double>::infinity());
    double best = scores.empty() ? 0 : scores[0];
    for (std::size_t g = 0; g < items.groups(); ++g) {
      pack state = bound.start();
      for (std::size_t s = 0; s < bound.count(); ++s) {
        const std::size_t block = s / funnel::direction_block * funnel::direction_block;
        funnel::lane_products_kernel(Arch{}, items.group(g),
                                     bound.directions() + block * items.cols(), items.cols(),
                                     s - block, s - block + 1, products);
        state = bound.fold(state, pack::load_unaligned(products + (s - block) * width), s);
      }
      S states[width];
      state.store_unaligned(states);
      for (std::size_t lane = 0; lane < width && g * width + lane < items.size(); ++lane) {
        const std::size_t p = g * width + lane;
        const double base =
            options.relevance_weight * static_cast<double>(relevance[items.item(p)]);
        if (!admitted[items.item(p)]) continue;
        scores[p] = bound.count() == 0 ? base : bound.score(p, states[lane], base);
        best = std::max(best, scores[p]);
      }
    }
    std::size_t item = relevance.size();
    for (std::size_t p = items.size(); p-- > 0;)
      if (std::isfinite(best) && scores[p] >= best - 1e-12 * std::max(1., std::abs(best)))
        item = items.item(p);
    if (item == relevance.size())
      item = static_cast<std::size_t>(std::find(admitted, admitted + item, true) - admitted);
    picked[t] = item;
    taken[item] = true;
    bound.show(item);
  }
  return picked.size();
}

template <bool Lazy, class Arch, class T, class Options, class Bound>
std::size_t pick(std::span<const T> relevance, std::span<std::size_t> picked,
                 const Options& options, bool* taken, funnel::arena& scratch,
                 funnel::detail::ranked_units<Arch, T, typename Bound::value>& items,
                 Bound& bound) {
  if constexpr (Lazy)
    return funnel::detail::pick_lazily(relevance, picked, options, taken, scratch, items, bound);
  else
    return pick_eagerly(relevance, picked, options, taken, scratch, items, bound);
}

/// `mmr` and `dpp` from vectors, lazily or not.
template <bool Lazy, class Arch, class T>
std::size_t pick(const std::vector<T>& values, const funnel::matrix<T>& vectors, pick_list& picked,
                 const funnel::mmr_options& options) {
  funnel::arena scratch;
  const std::span<const T> relevance(values);
  const std::size_t window = funnel::detail::sliding_window(options.window, picked.size());
  bool* taken = funnel::detail::mark_given("funnel::mmr", values.size(), picked, options, scratch);
  funnel::detail::ranked_units<Arch, T, T> items(relevance, vectors, scratch);
  funnel::detail::likeness_bound<Arch, T> bound(items, options.relevance_weight, options.range,
                                                window > 0, window > 0 ? window : picked.size(),
                                                scratch);
  return pick<Lazy>(relevance, picked, options, taken, scratch, items, bound);
}
template <bool Lazy, class Arch, class T>
std::size_t pick(const std::vector<T>& values, const funnel::matrix<T>& vectors, pick_list& picked,
                 const funnel::dpp_options& options) {
  funnel::arena scratch;
  const std::span<const T> relevance(values);
  const std::size_t window = funnel::detail::sliding_window(options.window, picked.size());
  bool* taken = funnel::detail::mark_given("funnel::dpp", values.size(), picked, options, scratch);
  funnel::detail::ranked_units<Arch, T, float> items(relevance, vectors, scratch);
  funnel::detail::volume_bound<Arch, T> bound(items, options, window > 0,
                                              window > 0 ? window : picked.size(), scratch);
  return pick<Lazy>(relevance, picked, options, taken, scratch, items, bound);
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
  for (std::size_t i = 0; i < n; ++i) {
    const bool copy = i > 0 && kinds > 0 && below(3) == 0;
    const std::size_t from = copy ? below(i) : 0;
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
  funnel::shuffle(bits, std::span(all));
  std::copy_n(all.begin(), x.given, x.picked.begin());
  x.labels.resize(below(3) == 0 ? 1 + below(2) : 0);
  for (auto& column : x.labels) {
    for (std::size_t i = 0; i < n; ++i)
      column.push_back(static_cast<funnel::category_id>(below(5)));
    x.rules.push_back({.labels = column,
                       .window = 1 + below(5),
                       .most = below(3),
                       .hard = x.rules.empty() && below(2) == 0});
  }
  return x;
}

/// Picks made lazily and not, in `rounds` random problems.
template <class Arch, class T, class Options>
void check_against_eager(std::size_t rounds, std::uint64_t seed) {
  constexpr std::size_t width = funnel::detail::lanes<Arch, T>;
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
    pick_list eager = x.picked;
    CAPTURE(width, seed, round, n, options.window, options.given, options.relevance_weight);
    const std::size_t made = pick<true, Arch>(x.relevance, x.vectors, lazy, options);
    CHECK(made == pick<false, Arch>(x.relevance, x.vectors, eager, options));
    CHECK(lazy == eager);
  }
}

}  // namespace

TEST_CASE("lazy picks: the same as with every item looked at, whatever the ties and rules") {
  for_each_arch([](auto arch) {
    using Arch = decltype(arch);
    check_against_eager<Arch, float, funnel::mmr_options>(150, 1);
    check_against_eager<Arch, float, funnel::dpp_options>(150, 2);
  });
  check_against_eager<funnel::default_arch, double, funnel::mmr_options>(150, 3);
  check_against_eager<funnel::default_arch, double, funnel::dpp_options>(150, 4);
}

TEST_CASE("lazy picks: the same on a register more or less of items") {
  funnel::random_generator bits(5);
  constexpr std::size_t width = funnel::detail::lanes<funnel::default_arch, float>;
  for (const std::size_t n : {width - 1, width, width + 1, 16 * width, 16 * width + 1})
    for (const std::size_t window : size_list{0, 1, 15, 16, 17, 40}) {
      const auto relevance = random_relevance<float>(bits, n);
      const auto vectors = random_vectors<float>(bits, n, 9, n, 0);
      const auto check = [&](const auto& options) {
        pick_list lazy(n), eager(n);
        pick<true, funnel::default_arch>(relevance, vectors, lazy, options);
        pick<false, funnel::default_arch>(relevance, vectors, eager, options);
        CHECK(lazy == eager);
      };
      check(funnel::mmr_options{.window = window});
      check(funnel::dpp_options{.window = window});
    }
}

TEST_CASE("lazy picks: all instruction sets agree") {
  funnel::random_generator bits(6);
  for (int round = 0; round < 10; ++round) {
    const auto relevance = random_relevance<double>(bits, 200);
    const auto vectors = random_vectors<double>(bits, 200, 20, 150, 1e-2);
    const std::size_t window = round % 2 == 0 ? 0 : 7;
    pick_list by_mmr(60), by_dpp(60);
    funnel::mmr<double>(relevance, vectors, by_mmr, {.window = window});
    funnel::dpp<double>(relevance, vectors, by_dpp, {.window = window});
    for_each_arch([&](auto arch) {
      using Arch = decltype(arch);
      pick_list picked(60);
      funnel::mmr<double, Arch>(relevance, vectors, picked, {.window = window});
      CHECK(picked == by_mmr);
      funnel::dpp<double, Arch>(relevance, vectors, picked, {.window = window});
      CHECK(picked == by_dpp);
    });
  }
}

TEST_CASE("lazy picks: vectors and their cosines as a function agree, duplicates included") {
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
    funnel::dpp(relevance, funnel::cosine_similarity(vectors), by_function,
                {.relevance_weight = weight, .window = window});
    CAPTURE(round, window, weight);
    CHECK(picked == by_function);
  }
}

TEST_CASE("ranked items: by relevance, then by position; what is not finite is left out") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> odd{-0., -1, nan, 3e300, 0, inf, 3e300, -1e-300, 5e-324, -inf, 2};
  pick_list order(odd.size()), spare(odd.size());
  std::size_t* ranked = order.data();
  const std::size_t count =
      funnel::detail::rank_by_relevance(std::span<const double>(odd), ranked, spare.data());
  CHECK(pick_list(ranked, ranked + count) == pick_list{3, 6, 10, 8, 0, 4, 7, 1});

  funnel::random_generator bits(8);
  for (const std::size_t n : size_list{0, 1, 2, 255, 256, 257, 3000}) {
    auto relevance = random_relevance<float>(bits, n);
    for (std::size_t i = 0; i < n; i += 3) relevance[i] = -relevance[i / 2];
    pick_list expected(n), a(n), b(n);
    for (std::size_t i = 0; i < n; ++i) expected[i] = i;
    std::ranges::stable_sort(
        expected, [&](std::size_t i, std::size_t j) { return relevance[i] > relevance[j]; });
    ranked = a.data();
    CHECK(funnel::detail::rank_by_relevance(std::span<const float>(relevance), ranked, b.data()) ==
          n);
    CHECK(pick_list(ranked, ranked + n) == expected);
  }
}
