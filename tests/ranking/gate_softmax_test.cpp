// SPDX-License-Identifier: MIT
#include <funnel/loss/bce.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/sgd.hpp>
#include <funnel/ranking/gate_diagnostics.hpp>
#include <funnel/ranking/gate_softmax.hpp>
#include <funnel/ranking/mmoe.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

using funnel::gate_softmax;
using funnel::matrix;
using funnel::mmoe;

namespace {

/// The same gate in every row.
matrix<double> logits_of(const std::vector<double>& gate, std::size_t rows) {
  matrix<double> logits(rows, gate.size());
  for (std::size_t i = 0; i < rows; ++i)
    std::ranges::transform(gate, logits.row(i).begin(), [](double g) { return std::log(g); });
  return logits;
}

struct distribution {
  std::vector<double> mean, deviation;
};

/// What the weights of a gate are on average over all 2^k ways to drop some, by the definition.
distribution exact_distribution(const std::vector<double>& gate, double rate) {
  const std::size_t k = gate.size();
  distribution found{std::vector<double>(k), std::vector<double>(k)};
  for (std::size_t mask = 0; mask < (std::size_t{1} << k); ++mask) {  // bit set: dropped
    double probability = 1, kept = 0;
    for (std::size_t j = 0; j < k; ++j) {
      const bool drop = (mask >> j & 1) != 0;
      probability *= drop ? rate : 1 - rate;
      kept += drop ? 0 : gate[j];
    }
    for (std::size_t j = 0; j < k; ++j) {
      const bool drop = (mask >> j & 1) != 0;
      const double weight = kept == 0 ? gate[j] : drop ? 0 : gate[j] / kept;
      found.mean[j] += probability * weight;
      found.deviation[j] += probability * weight * weight;
    }
  }
  for (std::size_t j = 0; j < k; ++j)
    found.deviation[j] = std::sqrt(found.deviation[j] - found.mean[j] * found.mean[j]);
  return found;
}

}  // namespace

TEST_CASE("gate_softmax: the mean weights of a polarized gate") {
  const std::vector<double> gate{.98, .01, .01};
  const distribution exact = exact_distribution(gate, .1);
  CHECK(tolerance::within(exact.mean[0], .8848, tolerance::printed(4)));
  CHECK(tolerance::within(exact.mean[1], .0576, tolerance::printed(4)));
  CHECK(tolerance::within(exact.mean[2], .0576, tolerance::printed(4)));

  constexpr std::size_t n = 50000;
  const matrix<double> logits = logits_of(gate, n);
  double_training tape(1);
  const auto weights = view(gate_softmax(tape, tape.input(logits), .1));
  for (std::size_t j = 0; j < 3; ++j) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += weights(i, j);
    CHECK(tolerance::within(sum / n, exact.mean[j], tolerance::statistical(exact.deviation[j], n)));
  }
}

TEST_CASE("gate_softmax: the weights of every row sum to 1, and a dropped gate has none") {
  constexpr std::size_t n = 4000;
  for (const double rate : {.1, .5, .9}) {
    const matrix<double> logits = random_matrix<double>(n, 4, 2, -5, 5);
    double_training tape(3);
    const auto weights = view(gate_softmax(tape, tape.input(logits), rate));
    funnel::inference_context<double> context;
    const auto plain = softmax(context, logits.view());
    std::size_t unchanged = 0;
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0, kept = 0;
      for (std::size_t j = 0; j < 4; ++j) {
        sum += weights(i, j);
        kept += weights(i, j) > 0 ? plain(i, j) : 0;
      }
      REQUIRE(tolerance::within(sum, 1, tolerance::reduction<double>(4, 1)));
      for (std::size_t j = 0; j < 4; ++j) {
        if (weights(i, j) == 0) continue;  // what is kept shares the weight in proportion
        REQUIRE(tolerance::within(weights(i, j), plain(i, j) / kept,
                                  tolerance::iterative<double>(4, 1)));
      }
      unchanged += same_bits(weights.middle_rows(i, 1), plain.middle_rows(i, 1)) ? 1 : 0;
    }
    // Rows in which nothing is dropped, or everything would have been: none is all zeros or NaN.
    const double expected = std::pow(rate, 4) + std::pow(1 - rate, 4);
    CHECK(tolerance::within(static_cast<double>(unchanged) / n, expected,
                            tolerance::statistical(std::sqrt(expected * (1 - expected)), n)));
  }
}

TEST_CASE("gate_softmax: a mixture keeps its size when the favored expert is dropped") {
  // Dropout on the outputs of the softmax would leave .02 of it.
  const matrix<double> logits = logits_of({.98, .01, .01}, 500);
  double_training tape(4);
  const auto weights = gate_softmax(tape, tape.input(logits), .1);
  const matrix<double> ones(500, 1, 1.);
  const std::vector<double_value> experts(3, tape.input(ones));
  const auto mixed = funnel::mixture(tape, weights, std::span<const double_value>(experts));
  std::size_t favorite_dropped = 0;
  for (std::size_t i = 0; i < 500; ++i) {
    favorite_dropped += weights.values(i, 0) == 0 ? 1 : 0;
    REQUIRE(tolerance::within(mixed.values(i, 0), 1, tolerance::reduction<double>(3, 1)));
  }
  CHECK(favorite_dropped > 0);
}

TEST_CASE("gate_softmax: every row and every task has masks of its own") {
  constexpr std::size_t n = 4000, k = 3;
  constexpr double rate = .3;
  mmoe<double, 2> experts(2, {.experts = k, .expert_sizes = {1}, .gate_dropout = rate});
  const matrix<double> x = random_matrix<double>(n, 2, 2);
  double_training tape(5);
  const auto weights = experts.gate_weights(tape, tape.input(x));
  std::size_t dropped = 0, both_tasks = 0, row_and_next = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto zero = [&](std::size_t t, std::size_t row) {
      return weights[t].values(row % n, 1) == 0;
    };
    dropped += zero(0, i) ? 1 : 0;
    both_tasks += zero(0, i) && zero(1, i) ? 1 : 0;
    row_and_next += zero(0, i) && zero(0, i + 1) ? 1 : 0;
  }
  const double once = rate - std::pow(rate, k);  // less the rows that keep all
  const auto check = [](std::size_t count, double probability) {
    CHECK(tolerance::within(static_cast<double>(count) / n, probability,
                            tolerance::statistical(std::sqrt(probability * (1 - probability)), n)));
  };
  check(dropped, once);
  check(both_tasks, once * once);
  check(row_and_next, once * once);
}

TEST_CASE("gate_softmax: none when serving, none at rate 0, the same for the same seed") {
  const matrix<double> logits = random_matrix<double>(50, 4, 6);
  funnel::inference_context<double> context;
  const auto plain = softmax(context, logits.view());
  CHECK(same_bits(gate_softmax(context, logits.view(), .9), plain));
  const auto train = [&](std::uint64_t seed, double rate) {
    double_training tape(seed);
    return matrix<double>(view(gate_softmax(tape, tape.input(logits), rate)));
  };
  CHECK(same_bits(train(1, 0), plain));
  CHECK(same_bits(train(1, .5), train(1, .5)));
  CHECK_FALSE(same_bits(train(1, .5), train(2, .5)));
}

TEST_CASE("gate_softmax: gradients, none for a gate that is dropped") {
  for (const double rate : {0., .1, .3}) {
    check_operation({{12, 4}}, [rate](auto& context, const double_values& x) {
      return gate_softmax(context, x[0], rate);
    });
  }
  double_training tape(7);
  funnel::parameter<double> p(30, 3);
  p.value = random_matrix<double>(30, 3, 8);
  const auto logits = value_of_parameter(tape, p);
  const auto weights = gate_softmax(tape, logits, .4);
  tape.backward(weighted_sum(tape, weights));
  for (std::size_t i = 0; i < 30; ++i) {
    std::size_t kept = 0;
    for (std::size_t j = 0; j < 3; ++j) kept += weights.values(i, j) > 0 ? 1 : 0;
    for (std::size_t j = 0; j < 3; ++j) {
      if (weights.values(i, j) == 0) {
        CHECK(logits.gradient(i, j) == 0);
      } else if (kept > 1) {
        CHECK(logits.gradient(i, j) != 0);
      }
    }
  }
}

TEST_CASE("gate_softmax: a rate outside [0, 1) is refused") {
  const matrix<double> logits(2, 3);
  const auto message = [&](double rate) {
    return refuses(
               [&] {
                 double_training tape;
                 gate_softmax(tape, tape.input(logits), rate);
               },
               "funnel::gate_softmax", "expected a number in [0, 1)") &&
           refuses(
               [&] {
                 funnel::inference_context<double> context;
                 gate_softmax(context, logits.view(), rate);
               },
               "funnel::gate_softmax", "expected a number in [0, 1)");
  };
  CHECK(message(1));
  CHECK(message(-.1));
  CHECK(message(std::numeric_limits<double>::quiet_NaN()));
}

namespace {

struct small_ranker {
  mmoe<float, 1> experts;
  funnel::dense<float> click{2, 1};

  void visit_parameters(auto&& visit) {
    visit("experts", experts);
    visit("click", click);
  }
};

/// Trains on "both or neither", which takes two of these small experts, from a gate that gives all
/// but .0004 to the first expert; gives how many experts serving does without afterward.
std::size_t dead_after_training(double gate_dropout, std::uint64_t seed) {
  constexpr std::size_t n = 64, k = 4;
  small_ranker model{
      mmoe<float, 1>(3, {.experts = k, .expert_sizes = {2}, .gate_dropout = gate_dropout})};
  funnel::random_generator bits(seed);
  funnel::initialize(model, bits);
  matrix<float>& gate = model.experts.gates.weight.value;
  gate.assign(3, k, 0);
  gate(2, 0) = 9;  // input 2 is always 1
  matrix<float> x(n, 3, 1);
  std::vector<float> clicks(n);
  const auto draw = [&] {
    for (std::size_t i = 0; i < n; ++i) {
      x(i, 0) = static_cast<float>(funnel::standard_normal(bits));
      x(i, 1) = static_cast<float>(funnel::standard_normal(bits));
      clicks[i] = (x(i, 0) > 0) == (x(i, 1) > 0) ? 1 : 0;
    }
  };
  funnel::sgd<float> optimizer({.learning_rate = 1});
  funnel::training_context<float> tape(seed);
  for (int step = 0; step < 2000; ++step) {
    draw();
    const auto h = model.experts(tape, tape.input(x));
    tape.backward(funnel::bce_with_logits(tape, model.click(tape, h[0]), clicks));
    optimizer.step(model, tape);
    tape.clear();
  }
  funnel::inference_context<float> context;
  funnel::gate_diagnostics<1> watched(k);
  for (int batch = 0; batch < 10; ++batch) {
    draw();
    watched.add(model.experts.gate_weights(context, x.view()));
  }
  return watched.dead_experts().size();
}

}  // namespace

TEST_CASE("gate_softmax: keeps every expert alive where without it one dies") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CHECK(dead_after_training(0, seed) >= 1);
    CHECK(dead_after_training(.1, seed) == 0);
  }
}
