// SPDX-License-Identifier: MIT
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"

using funnel::add;
using funnel::affine;
using funnel::matrix;
using funnel::multiply;
using funnel::subtract;

TEST_CASE("add, subtract, multiply, affine: element by element") {
  funnel::inference_context<double> context;
  const matrix<double> a = random_matrix<double>(4, 3, 1);
  const matrix<double> b = random_matrix<double>(4, 3, 2);
  const auto sum = add(context, a.view(), b.view());
  const auto difference = subtract(context, a.view(), b.view());
  const auto product = multiply(context, a.view(), b.view());
  const auto moved = affine(context, a.view(), 2.0, -0.5);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(sum(i, j) == a(i, j) + b(i, j));
      CHECK(difference(i, j) == a(i, j) - b(i, j));
      CHECK(product(i, j) == a(i, j) * b(i, j));
      CHECK(moved(i, j) == 2 * a(i, j) - 0.5);  // 2 a is exact
    }
  }
}

TEST_CASE("add, subtract, multiply: one row stands for all") {
  funnel::inference_context<double> context;
  const matrix<double> rows = random_matrix<double>(4, 3, 3);
  const matrix<double> row = random_matrix<double>(1, 3, 4);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(add(context, rows.view(), row.view())(i, j) == rows(i, j) + row(0, j));
      CHECK(subtract(context, rows.view(), row.view())(i, j) == rows(i, j) - row(0, j));
      CHECK(subtract(context, row.view(), rows.view())(i, j) == row(0, j) - rows(i, j));
      CHECK(multiply(context, row.view(), rows.view())(i, j) == rows(i, j) * row(0, j));
    }
  }
  CHECK(add(context, row.view(), row.view()).rows() == 1);
  CHECK(add(context, row.view(), rows.view().middle_rows(0, 0)).rows() == 0);
}

TEST_CASE("add, subtract, multiply: other shapes are refused") {
  funnel::inference_context<double> context;
  const matrix<double> a(4, 3);
  const matrix<double> narrow(4, 2);
  const matrix<double> shorter(3, 3);
  CHECK(refuses([&] { add(context, a.view(), narrow.view()); }, "funnel::add",
                "b has 2 columns, expected 3 as in a"));
  CHECK(refuses([&] { add(context, a.view(), shorter.view()); }, "funnel::add",
                "b has 3 rows, expected 1, or 4 as in a"));
  CHECK(refuses([&] { subtract(context, a.view(), shorter.view()); }, "funnel::subtract",
                "b has 3 rows, expected 1, or 4 as in a"));
  CHECK(
      refuses([&] { multiply(context, a.view(), narrow.view()); }, "funnel::multiply", "columns"));
}

TEST_CASE("add, subtract, multiply, affine: gradients") {
  for (const std::vector<shape>& shapes :
       {std::vector<shape>{{4, 3}, {4, 3}}, {{4, 3}, {1, 3}}, {{1, 3}, {4, 3}}, {{1, 3}, {1, 3}}}) {
    check_operation(shapes,
                    [](auto& context, const double_values& x) { return add(context, x[0], x[1]); });
    check_operation(shapes, [](auto& context, const double_values& x) {
      return subtract(context, x[0], x[1]);
    });
    check_operation(shapes, [](auto& context, const double_values& x) {
      return multiply(context, x[0], x[1]);
    });
  }
  check_operation({{4, 3}}, [](auto& context, const double_values& x) {
    return affine(context, x[0], -1.5, 0.25);
  });
  // A value with itself.
  check_operation({{4, 3}}, [](auto& context, const double_values& x) {
    return multiply(context, add(context, x[0], x[0]), x[0]);
  });
  check_operation({{4, 3}}, [](auto& context, const double_values& x) {
    return multiply(context, subtract(context, x[0], affine(context, x[0], 3)), x[0]);
  });
  // With the caller's numbers on either side.
  const matrix<double> numbers = random_matrix<double>(4, 3, 5);
  check_operation({{1, 3}}, [&](auto& context, const double_values& x) {
    const auto input = context.input(numbers);
    return add(context, multiply(context, input, x[0]), multiply(context, x[0], input));
  });
}
