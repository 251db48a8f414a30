// SPDX-License-Identifier: MIT
#include <funnel/nn/model_gradients.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <utility>

using funnel::parameter;
using funnel::parameter_kind;

TEST_CASE("model_gradients: zero when first requested after clear, whatever was there") {
  parameter<double> weight(2, 3);
  parameter<double> table(5, 2, funnel::initial_values::normal, parameter_kind::rows);
  funnel::model_gradients<double> gradients;
  CHECK(gradients.find_gradient(weight) == nullptr);
  for (int step = 0; step < 3; ++step) {
    auto values = gradients.gradient(weight).values();
    CHECK(std::ranges::all_of(values.row(1), [](double g) { return g == 0; }));
    std::ranges::fill(values.row(1), 4.);
    CHECK(gradients.gradient(weight).values()(1, 2) == 4);  // the same one, as it is
    CHECK(gradients.gradient(table).touched().empty());
    gradients.gradient(table).row(3)[0] = 7;
    CHECK(gradients.find_gradient(weight) != nullptr);
    gradients.clear();
    CHECK(gradients.find_gradient(weight) == nullptr);
    CHECK(gradients.find_gradient(table) == nullptr);
  }
  // Room for others' rows is not a gradient, and what is old does not count as rows of this step.
  gradients.gradient(table).row(3)[0] = 7;
  gradients.clear();
  funnel::parameter_gradient<double> other(table);
  other.row(1)[1] = 2;
  gradients.reserve(table, other);
  CHECK(gradients.find_gradient(table) == nullptr);
  CHECK(gradients.gradient(table).touched().empty());
  CHECK(gradients.gradient(table).row(3)[0] == 0);

  weight = parameter<double>(1, 2);  // another shape under the same address
  CHECK(gradients.gradient(weight).values().cols() == 2);
}

TEST_CASE("model_gradients: what is set needs no zeros") {
  parameter<double> weight(2, 3);
  funnel::model_gradients<double> gradients;
  for (int step = 0; step < 3; ++step) {
    const auto first = gradients.gradient_to_set(weight);
    CHECK(first.is_new);
    CHECK(gradients.find_gradient(weight) != nullptr);
    std::fill_n(first.values.data(), 6, 5.);
    const auto second = gradients.gradient_to_set(weight);
    CHECK_FALSE(second.is_new);
    CHECK(second.values(1, 2) == 5);
    CHECK(gradients.gradient(weight).values()(0, 0) == 5);
    gradients.clear();
    if (step == 1) CHECK(gradients.gradient(weight).values()(0, 0) == 0);
    gradients.clear();
  }
  gradients.gradient(weight);
  CHECK_FALSE(gradients.gradient_to_set(weight).is_new);  // zeros, to which one adds
  weight = parameter<double>(1, 2);
  CHECK(gradients.gradient_to_set(weight).is_new);
  CHECK(gradients.gradient_to_set(weight).values.cols() == 2);
}

TEST_CASE("model_gradients: swapped between parts of a batch") {
  const parameter<double> weight(1, 1);
  funnel::training_context<double> context;
  funnel::model_gradients<double> first, second;
  std::swap(context.gradients(), first);
  context.gradient(weight).values()(0, 0) = 1;
  std::swap(context.gradients(), first);
  std::swap(context.gradients(), second);
  context.gradient(weight).values()(0, 0) += 2;
  std::swap(context.gradients(), second);
  CHECK(context.find_gradient(weight) == nullptr);
  CHECK(first.find_gradient(weight)->values()(0, 0) == 1);
  CHECK(second.find_gradient(weight)->values()(0, 0) == 2);
}
