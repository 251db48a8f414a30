// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/distillation.hpp>

#include <cmath>
#include <cstdint>

using namespace loss_test;
using funnel::distillation_options;

namespace {

std::vector<double> targets_of(const std::vector<double>& labels,
                               const std::vector<double>& teacher,
                               const distillation_options<double>& options = {}) {
  std::vector<double> targets(labels.size());
  funnel::distillation_targets(labels, teacher, targets, options);
  return targets;
}

std::string error(const std::vector<double>& labels, const std::vector<double>& teacher,
                  const distillation_options<double>& options = {}) {
  std::vector<double> targets(labels.size(), -7);
  try {
    funnel::distillation_targets(labels, teacher, targets, options);
  } catch (const std::invalid_argument& caught) {
    for (const double target : targets) CHECK(target == -7);
    return caught.what();
  }
  return {};
}

evaluation<double> cross_entropy(double z, const std::vector<double>& labels) {
  return evaluate(column({z}), [&](auto& context, const auto& x) {
    return funnel::bce_with_logits(context, x, labels);
  });
}

}  // namespace

TEST_CASE("distillation_targets: worked example", "[loss]") {
  const auto targets = targets_of({1}, {.6});
  CHECK(targets[0] == .8);
  const auto found = cross_entropy(0, targets);
  CHECK(tolerance::within(found.loss, .693147, tolerance::printed(6)));
  CHECK(tolerance::within(found.gradient(0, 0), -.3, tolerance::elementwise<double>(.3)));
}

TEST_CASE("distillation_targets: the loss is the same mix of both losses", "[loss]") {
  for (const double lambda : {0.0, .2, .5, 1.0}) {
    const double mixed =
        cross_entropy(1.3, targets_of({1}, {.25}, {.teacher_weight = lambda})).loss;
    const double exact =
        (1 - lambda) * cross_entropy(1.3, {1}).loss + lambda * cross_entropy(1.3, {.25}).loss;
    CHECK(tolerance::within(mixed, exact, tolerance::iterative<double>(2, 2)));
  }
}

TEST_CASE("distillation_targets: what was not shown has the teacher alone", "[loss]") {
  const std::vector<std::uint8_t> shown = {1, 0};
  const auto targets = targets_of({0, std::nan("")}, {.5, .3}, {.shown = shown});
  CHECK(targets == std::vector<double>{.25, .3});
}

TEST_CASE("distillation_targets: in place, and always a probability", "[loss]") {
  std::vector<float> labels = {0, 1, 1, 1};
  const std::vector<float> teacher = {0, 1, 0, 1};
  funnel::distillation_targets(labels, teacher, labels, {.teacher_weight = .1f});
  for (const float target : labels) CHECK((target >= 0 && target <= 1));
  CHECK(labels[1] == 1);
}

TEST_CASE("distillation_targets: errors", "[loss]") {
  const std::vector<std::uint8_t> shown = {1};
  CHECK(contains(error({1, 0}, {.5}), "funnel::distillation_targets: teacher has 1 value"));
  CHECK(contains(error({1, 0}, {.5, 1.01}), "teacher[1] is 1.01"));
  CHECK(contains(error({1, 0}, {std::nan(""), .1}), "teacher[0] is nan"));
  CHECK(contains(error({1, 2}, {.5, .1}), "labels[1] is 2"));
  CHECK(contains(error({1, 0}, {.5, .1}, {.teacher_weight = 1.5}), "teacher_weight is 1.5"));
  CHECK(contains(error({1, 0}, {.5, .1}, {.shown = shown}), "shown has 1 value, expected 2"));
}

TEST_CASE("check_teacher: usual, drifted and broken teachers", "[loss]") {
  const auto check = [](const std::vector<double>& teacher, double usual_mean) {
    return funnel::check_teacher(teacher, usual_mean);
  };
  const auto usual = check({.1, .3}, .2);
  CHECK(usual.usable);
  CHECK(usual.invalid == 0);
  CHECK(tolerance::within(usual.mean, .2, tolerance::elementwise<double>(.2)));
  CHECK(check({.25}, .2).usable);        // 25 % more
  CHECK_FALSE(check({.27}, .2).usable);  // 35 % more
  CHECK_FALSE(check({.13}, .2).usable);
  const auto broken = check({.2, std::nan(""), 1.5, -.1, .2}, .2);
  CHECK_FALSE(broken.usable);
  CHECK(broken.invalid == 3);
  CHECK(tolerance::within(broken.mean, .2, tolerance::elementwise<double>(.2)));
  CHECK_FALSE(check({}, .2).usable);
  CHECK_FALSE(check({std::nan("")}, .2).usable);
  CHECK_THROWS_AS(check({.2}, 0), std::invalid_argument);
  CHECK_THROWS_AS(check({.2}, std::nan("")), std::invalid_argument);
  CHECK_THROWS_AS(funnel::check_teacher(std::vector<float>{}, .2, -1), std::invalid_argument);
}
