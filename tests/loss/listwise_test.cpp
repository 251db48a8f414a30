// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/listwise.hpp>

#include <cmath>
#include <cstdint>

using namespace loss_test;
using funnel::listwise_options;
using funnel::teacher_scale;

namespace {

using offsets = std::vector<std::uint32_t>;

auto listwise(const std::vector<double>& teacher, const offsets& lists,
              const listwise_options<double>& options = {}) {
  return [&teacher, &lists, options](auto& context, const auto& z) {
    return funnel::listwise_distillation(context, z, teacher, lists, options);
  };
}

}  // namespace

TEST_CASE("listwise_distillation: by hand", "[loss]") {
  // The teacher's logits 0 and ln 3 are probabilities 1/4 and 3/4 of the list; the student's 0 and
  // 0 are halves: the loss is ln 2, the slopes 1/2 - 1/4 and 1/2 - 3/4.
  const offsets one = {0, 2};
  const std::vector<double> probabilities = {.5, .75}, logits = {0, std::log(3)};
  for (const auto& found :
       {evaluate(column({0.0, 0.0}), listwise(probabilities, one)),
        evaluate(column({0.0, 0.0}), listwise(logits, one, {.scale = teacher_scale::logit}))}) {
    CHECK(tolerance::within(found.loss, std::log(2), tolerance::elementwise<double>(1)));
    CHECK(tolerance::within(found.gradient(0, 0), .25, tolerance::elementwise<double>(1)));
    CHECK(tolerance::within(found.gradient(1, 0), -.25, tolerance::elementwise<double>(1)));
  }
}

TEST_CASE("listwise_distillation: gradients over several lists, with a temperature", "[loss]") {
  funnel::random_generator random(10);
  const auto x = random_matrix<double>(random, 8, 1, 3);
  const std::vector<double> teacher = {.1, .5, .5, .9, .2, .7, 0, 1};
  const offsets lists = {0, 4, 4, 5, 8};
  for (const double temperature : {.5, 1.0, 3.0})
    check_gradient(x, listwise(teacher, lists, {.temperature = temperature}));
}

TEST_CASE("listwise_distillation: the teacher's own logits are the best ones", "[loss]") {
  const std::vector<double> teacher = {1, -2, .5};
  const offsets one = {0, 3};
  // Softmax doesn't see a shift of all.
  const auto found =
      evaluate(column({8.0, 5.0, 7.5}),
               listwise(teacher, one, {.temperature = 2, .scale = teacher_scale::logit}));
  for (const double slope : found.gradient.flat())
    CHECK(tolerance::within(slope, 0, tolerance::iterative<double>(3, 1)));
  double sum = 0, entropy = 0;
  for (const double t : teacher) sum += std::exp(t / 2);
  for (const double t : teacher) entropy -= std::exp(t / 2) / sum * (t / 2 - std::log(sum));
  CHECK(tolerance::within(found.loss, entropy, tolerance::iterative<double>(3, 1)));
}

TEST_CASE("listwise_distillation: lists of one don't count", "[loss]") {
  const std::vector<double> teacher = {.3, .1, .6}, pair = {.1, .6}, one = {.3};
  const offsets single = {0, 1, 3}, alone = {0, 2}, only = {0, 1}, none = {0};
  const auto mixed = evaluate(column({4.0, 1.0, 2.0}), listwise(teacher, single));
  CHECK(mixed.loss == evaluate(column({1.0, 2.0}), listwise(pair, alone)).loss);
  CHECK(mixed.gradient(0, 0) == 0);
  CHECK(evaluate(column({4.0}), listwise(one, only)).loss == 0);
  CHECK(evaluate(funnel::matrix<double>(0, 1), listwise({}, none)).loss == 0);
}

TEST_CASE("listwise_distillation: equal teacher's scores ask for equal logits", "[loss]") {
  const std::vector<double> teacher = {.2, .2};
  const offsets one = {0, 2};
  const auto found = evaluate(column({1.0, 1.0}), listwise(teacher, one));
  for (const double slope : found.gradient.flat())
    CHECK(tolerance::within(slope, 0, tolerance::elementwise<double>(1)));
}

TEST_CASE("listwise_distillation: sure teachers and extreme logits stay finite", "[loss]") {
  const std::vector<float> teacher = {0, 1, .5f};
  const offsets one = {0, 3};
  const auto found = evaluate(column({1e4f, -1e4f, 0.0f}), [&](auto& context, const auto& z) {
    return funnel::listwise_distillation(context, z, teacher, one);
  });
  CHECK(std::isfinite(found.loss));
  for (const float slope : found.gradient.flat()) CHECK(std::isfinite(slope));
}

TEST_CASE("listwise_distillation: errors", "[loss]") {
  const auto error = [](const std::vector<double>& teacher, const offsets& lists,
                        const listwise_options<double>& options = {}) {
    return error_of(column({0.0, 1.0}), listwise(teacher, lists, options));
  };
  CHECK(contains(error({.5}, {0, 2}),
                 "funnel::listwise_distillation: teacher has 1 value, expected 2"));
  CHECK(contains(error({.5, 1.5}, {0, 2}), "teacher[1] is 1.5, expected a number in [0, 1]"));
  CHECK(contains(error({.5, INFINITY}, {0, 2}, {.scale = teacher_scale::logit}),
                 "teacher[1] is inf, expected a finite number"));
  CHECK(contains(error({.5, .1}, {0, 1}), "offsets[1] is 1, expected 2, the number of logits"));
  CHECK(contains(error({.5, .1}, {0, 2}, {.temperature = 0}), "temperature is 0"));
  CHECK(contains(error({.5, .1}, {0, 2}, {.smallest_probability = .5}),
                 "smallest_probability is 0.5"));
}
