// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/softmax.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::mixture;
using funnel::softmax;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

matrix<double> row(const std::vector<double>& values) {
  return matrix<double>(funnel::matrix_view<const double>(values.data(), 1, values.size()));
}

std::vector<double> softmax_of(const std::vector<double>& values) {
  funnel::inference_context<double> context;
  const matrix<double> x = row(values);
  const auto y = softmax(context, x.view());
  return {y.row(0).begin(), y.row(0).end()};
}

}  // namespace

TEST_CASE("softmax: known values") {
  const std::vector<double> y = softmax_of({std::log(1.), std::log(2.), std::log(3.)});
  for (std::size_t j = 0; j < 3; ++j) {
    const double expected = static_cast<double>(j + 1) / 6;
    CHECK(tolerance::within(y[j], expected, tolerance::iterative<double>(1, expected)));
  }
  CHECK(softmax_of({-3}) == std::vector<double>{1});
  CHECK(softmax_of({}).empty());
}

TEMPLATE_TEST_CASE("softmax: against the definition; each row alone", "", float, double) {
  for (const std::size_t d : size_list{1, 3, 16, 17, 40}) {
    const matrix<TestType> x = random_matrix<TestType>(5, d, 1, -20, 20);
    funnel::inference_context<TestType> context;
    const auto y = softmax(context, x.view());
    for (std::size_t i = 0; i < 5; ++i) {
      double sum = 0;
      for (const TestType value : x.row(i)) sum += std::exp(static_cast<double>(value));
      double total = 0;
      for (std::size_t j = 0; j < d; ++j) {
        // exp carries the rounding of x - max, up to 40.
        const double expected = std::exp(static_cast<double>(x(i, j))) / sum;
        CHECK(tolerance::within(static_cast<double>(y(i, j)), expected,
                                tolerance::iterative<TestType>(d, expected) +
                                    tolerance::elementwise<TestType>(40 * expected)));
        total += static_cast<double>(y(i, j));
      }
      CHECK(tolerance::within(total, 1, tolerance::reduction<TestType>(d, 1)));
      CHECK(same_bits(softmax(context, x.view().middle_rows(i, 1)), y.middle_rows(i, 1)));
    }
  }
}

TEST_CASE("softmax: large values, masks and values that are not finite") {
  const std::vector<double> moved = softmax_of({1000, 1001, 999});
  const std::vector<double> small = softmax_of({0, 1, -1});
  CHECK(moved == small);  // the differences are exact
  const std::vector<double> masked = softmax_of({0, -infinity, 1});
  const std::vector<double> alone = softmax_of({0, 1});
  CHECK(masked == std::vector<double>{alone[0], 0, alone[1]});
  CHECK(softmax_of({-infinity, -infinity}) == std::vector<double>{0, 0});
  for (const std::vector<double>& bad : {std::vector<double>{0, not_a_number, 1},
                                         {not_a_number, -infinity},
                                         {-infinity, not_a_number},
                                         {0, infinity},
                                         {infinity, not_a_number, -infinity}}) {
    for (const double value : softmax_of(bad)) CHECK(std::isnan(value));
  }
}

TEST_CASE("softmax: gradients") {
  check_operation({{4, 5}},
                  [](auto& context, const double_values& x) { return softmax(context, x[0]); });
}

TEST_CASE("softmax: masked positions get no gradient") {
  double_training context;
  funnel::parameter<double> p(2, 3);
  p.value.row(0)[1] = -infinity;
  for (double& value : p.value.row(1)) value = -infinity;
  const auto x = value_of_parameter(context, p);
  context.backward(weighted_sum(context, softmax(context, x)));
  CHECK(x.gradient(0, 1) == 0);
  CHECK(x.gradient(0, 0) != 0);
  CHECK(
      tolerance::within(x.gradient(0, 0) + x.gradient(0, 2), 0, tolerance::elementwise<double>(1)));
  for (std::size_t j = 0; j < 3; ++j) CHECK(x.gradient(1, j) == 0);
}

TEST_CASE("mixture: each row weighs its own") {
  funnel::inference_context<double> context;
  matrix<double> weights(2, 2);
  weights(0, 0) = 1;
  weights(1, 0) = 0.25;
  weights(1, 1) = 0.75;
  const matrix<double> a = random_matrix<double>(2, 9, 1);
  const matrix<double> b = random_matrix<double>(2, 9, 2);
  const std::vector<funnel::matrix_view<const double>> values{a, b};
  const auto y = mixture(context, weights.view(), values);
  for (std::size_t j = 0; j < 9; ++j) {
    CHECK(y(0, j) == a(0, j));
    CHECK(tolerance::within(y(1, j), 0.25 * a(1, j) + 0.75 * b(1, j),
                            tolerance::reduction<double>(2, 1)));
  }
  CHECK(same_bits(mixture(context, weights.view().middle_rows(0, 0),
                          std::vector{values[0].middle_rows(0, 0), values[1].middle_rows(0, 0)}),
                  matrix<double>(0, 9)));
}

TEST_CASE("mixture: gradients") {
  check_operation({{4, 2}, {4, 3}, {4, 3}}, [](auto& context, const double_values& x) {
    return mixture(context, softmax(context, x[0]), std::span(x).subspan(1));
  });
  // Weights and values in two mixtures: what they get adds up.
  check_operation({{4, 2}, {4, 3}, {4, 3}}, [](auto& context, const double_values& x) {
    const auto weights = softmax(context, x[0]);
    const auto first = mixture(context, weights, std::span(x).subspan(1));
    const auto again = std::vector{first, x[2]};
    return mixture(context, weights, std::span<const std::decay_t<decltype(first)>>(again));
  });
}

TEST_CASE("mixture: shapes that don't fit are refused") {
  funnel::inference_context<double> context;
  const matrix<double> weights(2, 2);
  const matrix<double> a(2, 3);
  const matrix<double> longer(3, 3);
  const matrix<double> wider(2, 4);
  using values = std::vector<funnel::matrix_view<const double>>;
  const auto run = [&](const values& v) {
    return [&context, &weights, v] { mixture(context, weights.view(), v); };
  };
  CHECK(refuses(run({}), "funnel::mixture", "values is empty"));
  CHECK(refuses(run({a}), "funnel::mixture", "weights has 2 columns, expected 1 as in values"));
  CHECK(refuses(run({a, longer}), "funnel::mixture", "[3, 3], expected [2, 3]"));
  CHECK(refuses(run({a, wider}), "funnel::mixture", "[2, 4], expected [2, 3]"));
}
