// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/pairwise.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

using namespace loss_test;
using funnel::pair_weight;
using funnel::pairwise_options;

namespace {

using offsets = std::vector<std::uint32_t>;

auto pairwise(const std::vector<double>& teacher, const offsets& lists,
              const pairwise_options<double>& options = {}) {
  return [&teacher, &lists, options](auto& context, const auto& z) {
    return funnel::pairwise_distillation(context, z, teacher, lists, options);
  };
}

}  // namespace

TEST_CASE("pairwise_distillation: worked example", "[loss]") {
  const std::vector<double> teacher = {.9, .3};
  const offsets one = {0, 2};
  const auto found = evaluate(column({1.0, .2}), pairwise(teacher, one));
  CHECK(tolerance::within(found.loss, .371101, tolerance::printed(6)));
  CHECK(tolerance::within(found.gradient(0, 0), -.310026, tolerance::printed(6)));
  CHECK(found.gradient(1, 0) == -found.gradient(0, 0));
}

TEST_CASE("pairwise_distillation: weights, margin, sharpness", "[loss]") {
  const std::vector<double> teacher = {.1, .5, .9};
  const offsets one = {0, 3};
  const auto x = column({.3, -.2, .7});
  const auto term = [&](std::size_t better, std::size_t worse, double sharpness) {
    return std::log1p(std::exp(-sharpness * (x(better, 0) - x(worse, 0))));
  };
  const double bound = tolerance::iterative<double>(6, 2);
  const auto loss = [&](const pairwise_options<double>& options) {
    return evaluate(x, pairwise(teacher, one, options)).loss;
  };
  CHECK(tolerance::within(
      loss({}), (.4 * term(1, 0, 1) + .4 * term(2, 1, 1) + .8 * term(2, 0, 1)) / 1.6, bound));
  CHECK(tolerance::within(loss({.weight = pair_weight::equal, .sharpness = 3}),
                          (term(1, 0, 3) + term(2, 1, 3) + term(2, 0, 3)) / 3, bound));
  CHECK(tolerance::within(loss({.margin = .5}), term(2, 0, 1), bound));
}

TEST_CASE("pairwise_distillation: gradients over several lists", "[loss]") {
  funnel::random_generator random(9);
  const auto x = random_matrix<double>(random, 9, 1, 3);
  const std::vector<double> teacher = {.1, .5, .5, .9, .2, .7, .1, .8, .3};
  const offsets lists = {0, 4, 4, 5, 9};  // four, none, one, four
  for (const auto weight : {pair_weight::difference, pair_weight::equal}) {
    check_gradient(x, pairwise(teacher, lists, {.weight = weight, .sharpness = 2}));
  }
}

TEST_CASE("pairwise_distillation: candidates of different requests never meet", "[loss]") {
  const std::vector<double> teacher = {.1, .2, .9, .8};
  const offsets lists = {0, 2, 4};
  const auto kept = evaluate(column({1.0, 2.0, 3.0, 5.0}), pairwise(teacher, lists));
  const auto shifted = evaluate(column({101.0, 102.0, 3.0, 5.0}), pairwise(teacher, lists));
  CHECK(tolerance::within(kept.loss, shifted.loss, tolerance::elementwise<double>(kept.loss, 64)));
}

TEST_CASE("pairwise_distillation: ties, lists of one and no lists give 0", "[loss]") {
  const std::vector<double> equal = {.4, .4, .4}, different = {.1, .4, .9};
  const offsets together = {0, 3}, alone = {0, 1, 2, 3};
  for (const auto weight : {pair_weight::difference, pair_weight::equal}) {
    for (const auto& found :
         {evaluate(column({1.0, 2.0, 5.0}), pairwise(equal, together, {.weight = weight})),
          evaluate(column({1.0, 2.0, 5.0}), pairwise(different, alone, {.weight = weight}))}) {
      CHECK(found.loss == 0);
      for (const double slope : found.gradient.flat()) CHECK(slope == 0);
    }
  }
  const offsets none = {0};
  CHECK(evaluate(funnel::matrix<double>(0, 1), pairwise({}, none)).loss == 0);
}

TEST_CASE("pairwise_distillation: orders differences that probabilities can't show", "[loss]") {
  // Logits 10 and 12 are both probability 1 to three digits; wrongly ordered they still count.
  const std::vector<double> teacher = {.9, .2};
  const offsets one = {0, 2};
  const auto found = evaluate(column({10.0, 12.0}), pairwise(teacher, one));
  const double exact = std::log1p(std::exp(2.0));
  CHECK(tolerance::within(found.loss, exact, tolerance::elementwise<double>(exact)));
}

TEST_CASE("pairwise_distillation: extreme logits in float", "[loss]") {
  const std::vector<float> teacher = {.9f, .2f};
  const offsets one = {0, 2};
  const auto loss = [&](auto& context, const auto& z) {
    return funnel::pairwise_distillation(context, z, teacher, one);
  };
  const auto wrong = evaluate(column({-1e4f, 1e4f}), loss);
  CHECK(wrong.loss == 2e4);
  CHECK(wrong.gradient(0, 0) == -1);
  CHECK(wrong.gradient(1, 0) == 1);
  CHECK(evaluate(column({1e4f, -1e4f}), loss).loss == 0);
}

TEST_CASE("pairwise_distillation: a gradient that rounding takes beyond the largest number is that",
          "[loss]") {
  constexpr double largest = std::numeric_limits<double>::max();
  const std::vector<double> teacher = {1, -0x1.414c3423c5fd7p900, -.0625, -2};
  const offsets one = {0, 4};
  const auto found =
      evaluate(column({0.0, 1.0, -8.0, -8.0}), pairwise(teacher, one, {.sharpness = largest}));
  CHECK(found.gradient(1, 0) == largest);
  for (const double slope : found.gradient.flat()) CHECK(std::isfinite(slope));
}

TEST_CASE("pairwise_distillation: errors", "[loss]") {
  const auto error = [](const std::vector<double>& teacher, const offsets& lists,
                        const pairwise_options<double>& options = {}) {
    return error_of(column({0.0, 1.0}), pairwise(teacher, lists, options));
  };
  CHECK(contains(error({.5}, {0, 2}),
                 "funnel::pairwise_distillation: teacher has 1 value, expected 2"));
  CHECK(contains(error({.5, std::nan("")}, {0, 2}), "teacher[1] is nan"));
  CHECK(contains(error({.5, .1}, {}), "offsets is empty"));
  CHECK(contains(error({.5, .1}, {1, 2}), "offsets[0] is 1, expected 0"));
  CHECK(contains(error({.5, .1}, {0, 1}), "offsets[1] is 1, expected 2, the number of logits"));
  CHECK(contains(error({.5, .1}, {0, 2, 1, 2}),
                 "offsets[2] is 1, expected 2 or more, as the one before"));
  CHECK(contains(error({.5, .1}, {0, 2}, {.margin = -1}), "margin is -1"));
  CHECK(contains(error({.5, .1}, {0, 2}, {.sharpness = 0}), "sharpness is 0"));
}
