// SPDX-License-Identifier: MIT
#include <funnel/nn/gradient_check.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>

using funnel::check_gradients;
using funnel::matrix;
using funnel::parameter;

namespace {

using tape = funnel::training_context<double>;

struct model {
  parameter<double> first{1, 3};
  parameter<double> second{2, 2};
  parameter<double> mean{1, 1, funnel::initial_values::zeros, funnel::parameter_kind::statistic};

  model() {
    first.value = random_matrix<double>(1, 3, 1);
    second.value = random_matrix<double>(2, 2, 2);
  }
  void visit_parameters(auto&& visit) {
    visit("first", first);
    visit("second", second);
    visit("mean", mean);
  }
};

/// sum x^3 of both parameters, with a gradient of second[wrong] that is multiplied by `factor`.
auto sum_of_cubes(const model& m, std::size_t wrong, double factor) {
  return [&m, wrong, factor](tape& context) {
    const auto loss = context.make(1, 1);
    loss.values(0, 0) = 0;
    for (const parameter<double>* p : {&m.first, &m.second}) {
      for (const double x : p->value.flat()) loss.values(0, 0) += x * x * x;
    }
    context.record([&context, &m, wrong, factor, loss] {
      for (const parameter<double>* p : {&m.first, &m.second}) {
        const auto gradient = context.gradient(*p).values();
        for (std::size_t i = 0; i < p->value.size(); ++i) {
          const double x = p->value.flat()[i];
          const bool changed = p == &m.second && i == wrong;
          gradient.data()[i] += 3 * x * x * loss.gradient(0, 0) * (changed ? factor : 1);
        }
      }
    });
    return loss;
  };
}

constexpr std::size_t nowhere = 100;

}  // namespace

TEST_CASE("check_gradients: a right backward step passes") {
  model m;
  const model before = m;
  const auto result = check_gradients<double>(m, sum_of_cubes(m, nowhere, 1));
  CHECK(result.largest_error <= tolerance::finite_difference(0));
  CHECK(result.checked == 7);  // the statistic is not checked
  CHECK(result.nonzero == 7);
  CHECK(same_bits(m.first.value, before.first.value));  // all is put back
  CHECK(same_bits(m.second.value, before.second.value));
}

TEST_CASE("check_gradients: a wrong one is found, and where") {
  model m;
  for (const double factor : {1.001, 2., -1., 0.}) {
    for (const std::size_t position : size_list{0, 3}) {
      const auto result = check_gradients<double>(m, sum_of_cubes(m, position, factor));
      CHECK(result.largest_error > 100 * tolerance::finite_difference(0));
      CHECK(result.worst_parameter == "second");
      CHECK(result.worst_position == position);
    }
  }
}

TEST_CASE("check_gradients: a NaN is the worst of errors, wherever it stands") {
  model m;
  for (const std::size_t position : size_list{0, 3}) {
    const auto result = check_gradients<double>(
        m, sum_of_cubes(m, position, std::numeric_limits<double>::quiet_NaN()));
    CHECK_FALSE(result.largest_error <= tolerance::finite_difference(0));
    CHECK(result.worst_parameter == "second");
    CHECK(result.worst_position == position);
  }
}

TEST_CASE("check_gradients: a loss that reaches nothing shows in `nonzero`") {
  model m;
  const auto result = check_gradients<double>(m, [](tape& context) {
    const auto loss = context.make(1, 1);
    loss.values(0, 0) = 3;
    return loss;
  });
  CHECK(result.checked == 7);
  CHECK(result.nonzero == 0);
  CHECK(result.largest_error == 0);
}

TEST_CASE("check_gradients: a few values of each parameter, evenly spread") {
  model m;
  const auto result =
      check_gradients<double>(m, sum_of_cubes(m, 2, 5), {.values_per_parameter = 2});
  CHECK(result.checked == 4);
  CHECK(result.worst_position == 2);  // of 4 values, 0 and 2
}

TEST_CASE("check_gradients: a loss that throws leaves the model as it was") {
  model m;
  const auto before = m.first.value;
  int calls = 0;
  const auto loss = [&](tape& context) {
    if (++calls == 3) throw std::invalid_argument("the second evaluation");
    return sum_of_cubes(m, 2, 5)(context);
  };
  CHECK_THROWS_AS(check_gradients<double>(m, loss), std::invalid_argument);
  CHECK(same_bits(m.first.value, before));
}
