// SPDX-License-Identifier: MIT
#include <funnel/fusion/rank_fusion.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using doubles = std::vector<double>;

const double nan_estimate = std::numeric_limits<double>::quiet_NaN();

template <std::size_t N>
doubles fused(const funnel::rank_fusion<N, double>& formula,
              const funnel::matrix<double>& objectives) {
  funnel::arena scratch;
  doubles scores(objectives.rows(), -1.);
  funnel::fuse(formula, objectives, scores, scratch);
  return scores;
}

funnel::matrix<double> column(const doubles& values) {
  funnel::matrix<double> result(values.size(), 1);
  for (std::size_t i = 0; i < values.size(); ++i) result(i, 0) = values[i];
  return result;
}

}  // namespace

TEST_CASE("rank_fusion: golden values") {
  // Estimates fall with position, so that row r - 1 has rank r.
  doubles falling(100);
  for (std::size_t i = 0; i < 100; ++i) falling[i] = -static_cast<double>(i);
  const auto with_offset = fused<1>({.terms = {{{.power = 1, .offset = 10}}}}, column(falling));
  const std::pair<std::size_t, double> golden[] = {
      {1, .090909}, {2, .083333}, {3, .076923}, {10, .05}, {100, .009091}};
  for (const auto& [rank, value] : golden)
    CHECK(tolerance::within(with_offset[rank - 1], value, tolerance::printed(6)));
  const auto root = fused<1>({.terms = {{{.power = .5, .offset = 0}}}}, column(falling));
  CHECK(root[0] == 1);
  CHECK(root[3] == .5);
  CHECK(root[99] == .1);
}

TEST_CASE("rank_fusion: equal estimates share the smallest rank, NaN has rank n") {
  const funnel::rank_fusion<1, double> formula{.terms = {{{.offset = 0}}}};
  CHECK(fused(formula, column({5, 7, 5, 1})) == doubles{1. / 2, 1, 1. / 2, 1. / 4});
  CHECK(fused(formula, column({nan_estimate, 7, nan_estimate, 7, 2})) ==
        doubles{1. / 5, 1, 1. / 5, 1, 1. / 3});
  CHECK(fused(formula, column({nan_estimate, nan_estimate})) == doubles{1. / 2, 1. / 2});
  CHECK(fused(formula, column({3, nan_estimate})) == doubles{1, 1. / 2});
  CHECK(fused(formula, column({3})) == doubles{1});
  CHECK(fused(formula, column({-0., 0.})) == doubles{1, 1});
}

TEST_CASE("rank_fusion: equals a count of better candidates, of any scale and order") {
  funnel::random_generator bits(1);
  for (std::size_t n : {1u, 2u, 3u, 17u, 60u}) {
    funnel::matrix<double> objectives(n, 3);
    for (double& p : objectives.flat()) {
      p = static_cast<double>(funnel::uniform_below(bits, n));
      if (funnel::bernoulli(bits, .1)) p = nan_estimate;
    }
    const funnel::rank_fusion<3, double> formula{
        .terms = {{{.weight = 2, .power = .7, .offset = 3}, {.weight = 0}, {.weight = -.5}}}};
    const doubles scores = fused(formula, objectives);
    for (std::size_t i = 0; i < n; ++i) {
      double expected = 0;
      for (const std::size_t k : {0u, 2u}) {
        std::size_t rank = 1;
        for (std::size_t j = 0; j < n; ++j) rank += objectives(j, k) > objectives(i, k);
        if (std::isnan(objectives(i, k))) rank = n;
        const auto& term = formula.terms[k];
        expected += term.weight / (std::pow(double(rank), term.power) + term.offset);
      }
      CHECK(tolerance::within(scores[i], expected, tolerance::reduction<double>(2, 1)));
    }

    funnel::matrix<double> stretched = objectives;
    for (std::size_t i = 0; i < n; ++i) stretched(i, 0) = std::exp(objectives(i, 0) / 4) - 9;
    CHECK(fused(formula, stretched) == scores);

    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    funnel::shuffle(bits, order);
    funnel::matrix<double> shuffled(n, 3);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < 3; ++k) shuffled(i, k) = objectives(order[i], k);
    const doubles of_shuffled = fused(formula, shuffled);
    for (std::size_t i = 0; i < n; ++i) CHECK(of_shuffled[i] == scores[order[i]]);
  }
}

TEST_CASE("rank_fusion: allocates nothing after the first use of an arena") {
  funnel::matrix<float> objectives(5000, 2, .5f);
  std::vector<float> scores(5000);
  funnel::arena scratch;
  funnel::fuse(funnel::rank_fusion<2>(), objectives, scores, scratch);
  const std::size_t capacity = scratch.capacity();
  for (int round = 0; round < 3; ++round) {
    scratch.reset();
    funnel::fuse(funnel::rank_fusion<2>(), objectives, scores, scratch);
  }
  CHECK(scratch.capacity() == capacity);
}

TEST_CASE("rank_fusion: refuses terms whose denominator may vanish") {
  const funnel::rank_fusion<2> power{.terms = {{{}, {.power = -1}}}};
  CHECK(refuses([&] { power.check(2); }, "funnel::rank_fusion", "terms[1].power is -1"));
  const funnel::rank_fusion<2> offset{.terms = {{{.offset = -1}, {}}}};
  funnel::matrix<float> objectives(2, 2);
  std::vector<float> scores(2, 7.f), three(3);
  funnel::arena scratch;
  CHECK(refuses([&] { offset(objectives, scores, scratch); }, "funnel::rank_fusion",
                "terms[0].offset is -1"));
  CHECK(scores == std::vector<float>{7, 7});
  CHECK(refuses([&] { funnel::rank_fusion<2>()(objectives, three, scratch); },
                "funnel::", "scores has 3"));
}

TEST_CASE("rank_fusion: its state has every number, and is refused out of range") {
  const funnel::rank_fusion<2, double> formula{
      .terms = {{{.weight = 2, .power = .5, .offset = 3}, {.weight = 1, .power = 1, .offset = 0}}}};
  const saved_state file(formula);
  funnel::rank_fusion<2, double> loaded;
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  CHECK(loaded.terms[0].power == .5);
  CHECK(
      refuses_state(loaded, file.with("terms.1.power", std::vector{-1.}), "terms[1].power is -1"));
  CHECK(refuses_state(loaded, file.with("terms.0.offset", std::vector{-1.}),
                      "terms[0].offset is -1"));
}
