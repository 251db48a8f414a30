// SPDX-License-Identifier: MIT
#include <funnel/nn/sum.hpp>

#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/initialization.hpp>
#include <funnel/nn/slice.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <array>
#include <cstdint>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

using value = matrix_view<const double>;
using offsets = std::vector<std::uint32_t>;

/// Second-order term of a factorization machine over the vectors of the fields, side by side:
/// (|sum_f v_f|^2 - sum_f |v_f|^2) / 2.
template <funnel::Context C>
funnel::value_of<C> fm_pooling(C& context, const funnel::value_of<C>& fields, std::size_t dim) {
  const auto sum = row_sum(context, fields, dim);
  const auto square_of_sum = multiply(context, sum, sum);
  const auto sum_of_squares = row_sum(context, multiply(context, fields, fields), dim);
  return affine(context, row_sum(context, subtract(context, square_of_sum, sum_of_squares)), .5);
}

}  // namespace

TEMPLATE_TEST_CASE("sum, mean: element by element, from left to right", "", float, double) {
  using t = TestType;
  funnel::inference_context<t> context;
  for (const std::size_t d : size_list{1, 3, 8, 33}) {
    const auto a = random_matrix<t>(4, d, 1), b = random_matrix<t>(4, d, 2),
               c = random_matrix<t>(4, d, 3), row = random_matrix<t>(1, d, 4);
    const auto three = sum(context, {a.view(), b.view(), c.view()});
    const auto with_row = sum(context, {row.view(), a.view(), row.view()});
    const auto average = mean(context, {a.view(), b.view(), row.view()});
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < d; ++j) {
        CHECK(three(i, j) == a(i, j) + b(i, j) + c(i, j));
        CHECK(with_row(i, j) == row(0, j) + a(i, j) + row(0, j));
        CHECK(average(i, j) == (a(i, j) + b(i, j) + row(0, j)) * (t(1) / 3));
      }
    }
    CHECK(same_bits(sum(context, {a.view()}), a.view()));
    CHECK(same_bits(mean(context, {a.view()}), a.view()));
    CHECK(same_bits(sum(context, {a.view(), b.view()}), add(context, a.view(), b.view())));
    // Of vectors and arrays, whose length the program chooses.
    const std::vector<matrix_view<const t>> list{a, b, c};
    CHECK(same_bits(sum(context, list), three));
    CHECK(same_bits(mean(context, std::array<matrix_view<const t>, 2>{a, a}), a.view()));
    CHECK(sum(context, {row.view(), row.view()}).rows() == 1);
    CHECK(sum(context, {row.view(), a.view().middle_rows(0, 0)}).rows() == 0);
  }
}

TEST_CASE("sum, mean: one row per request") {
  const offsets requests{0, 1, 4, 6};
  const auto user = random_matrix<double>(3, 5, 1), items = random_matrix<double>(6, 5, 2),
             moment = random_matrix<double>(1, 5, 3);
  matrix<double> users(6, 5);
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t i = requests[r]; i < requests[r + 1]; ++i)
      std::ranges::copy(user.row(r), users.row(i).begin());
  funnel::inference_context<double> plain, context;
  context.group_rows(requests);
  CHECK(same_bits(sum(context, {moment.view(), user.view(), items.view()}),
                  sum(plain, {moment.view(), users.view(), items.view()})));
  CHECK(same_bits(mean(context, {items.view(), user.view(), moment.view()}),
                  mean(plain, {items.view(), users.view(), moment.view()})));
  CHECK(sum(context, {moment.view(), user.view()}).rows() == 3);
}

TEMPLATE_TEST_CASE("row_sum, row_mean: columns, and blocks of columns", "", float, double) {
  using t = TestType;
  funnel::inference_context<t> context;
  for (const std::size_t width : size_list{1, 2, 5, 16}) {
    const auto x = random_matrix<t>(3, 4 * width, 7);
    const auto total = row_sum(context, x.view(), width);
    const auto average = row_mean(context, x.view(), width);
    REQUIRE(total.rows() == 3);
    REQUIRE(total.cols() == width);
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < width; ++j) {
        const t by_hand = x(i, j) + x(i, width + j) + x(i, 2 * width + j) + x(i, 3 * width + j);
        CHECK(total(i, j) == by_hand);
        CHECK(average(i, j) == by_hand / 4);  // 1/4 is exact
      }
    }
    CHECK(same_bits(row_sum(context, x.view(), 4 * width), x.view()));
    CHECK(row_sum(context, x.view().middle_rows(0, 0)).rows() == 0);
  }
  matrix<t> numbers(1, 3);
  numbers(0, 0) = 1, numbers(0, 1) = 2, numbers(0, 2) = 6;
  CHECK(row_sum(context, numbers.view())(0, 0) == 9);
  CHECK(row_mean(context, numbers.view())(0, 0) == t(9) * (t(1) / 3));
  // Columns of a wider value.
  CHECK(row_sum(context, slice(context, numbers.view(), 1, 2))(0, 0) == 8);
}

TEST_CASE("row_sum: pools the fields of a factorization machine") {
  constexpr std::size_t n = 5, k = 4, dim = 3;
  funnel::embedding<double> table(20, dim);
  funnel::random_generator bits(3);
  funnel::initialize(table, bits);
  funnel::matrix<std::uint32_t> ids(n, k);
  for (std::uint32_t& id : ids.flat())
    id = static_cast<std::uint32_t>(funnel::uniform_below(bits, 20));
  funnel::inference_context<double> context;
  const auto pooled = fm_pooling(context, table(context, ids.view()), dim);
  for (std::size_t i = 0; i < n; ++i) {
    double pairs = 0, magnitude = 0;
    for (std::size_t f = 0; f < k; ++f) {
      for (std::size_t g = 0; g < f; ++g) {
        for (std::size_t j = 0; j < dim; ++j) {
          const double term = table.table.value(ids(i, f), j) * table.table.value(ids(i, g), j);
          pairs += term;
          magnitude += std::abs(term);
        }
      }
      for (std::size_t j = 0; j < dim; ++j)
        magnitude += table.table.value(ids(i, f), j) * table.table.value(ids(i, f), j);
    }
    CHECK(tolerance::within(pooled(i, 0), pairs,
                            tolerance::reduction<double>(2 * k * k * dim, magnitude)));
  }
  check_layer(table, {}, [&](auto& tape, const auto& layer, const double_values&) {
    return fm_pooling(tape, layer(tape, ids.view()), dim);
  });
}

TEST_CASE("sum, mean, row_sum, row_mean: gradients") {
  for (const std::vector<shape>& shapes : {std::vector<shape>{{4, 3}, {4, 3}, {4, 3}},
                                           {{1, 3}, {4, 3}, {1, 3}},
                                           {{1, 3}, {1, 3}},
                                           {{4, 3}}}) {
    check_operation(shapes, [](auto& context, const double_values& x) { return sum(context, x); });
    check_operation(shapes, [](auto& context, const double_values& x) { return mean(context, x); });
  }
  const offsets requests{0, 2, 3, 7};
  check_operation({{3, 4}, {7, 4}, {1, 4}}, [&](auto& context, const double_values& x) {
    context.group_rows(requests);
    return mean(context, {x[2], x[0], x[1], x[0]});  // one of them twice
  });
  // With the caller's numbers, which have no gradient.
  const auto numbers = random_matrix<double>(4, 3, 5);
  check_operation({{1, 3}}, [&](auto& context, const double_values& x) {
    return sum(context, {context.input(numbers), x[0]});
  });
  for (const std::size_t width : size_list{1, 2, 3, 6}) {
    check_operation({{4, 6}}, [&](auto& context, const double_values& x) {
      return row_sum(context, x[0], width);
    });
    check_operation({{4, 6}}, [&](auto& context, const double_values& x) {
      return row_mean(context, slice(context, x[0], 0, 6), width);
    });
  }
  double_training context;
  CHECK_NOTHROW(context.backward(row_sum(context, context.input(matrix<double>(1, 2)))));
}

TEST_CASE("sum, mean, row_sum, row_mean: what is refused") {
  funnel::inference_context<double> context;
  const matrix<double> a(4, 3), narrow(4, 2), shorter(3, 3);
  CHECK(refuses([&] { sum(context, std::vector<value>{}); }, "funnel::sum",
                "values is empty, expected 1 value or more"));
  CHECK(refuses(
      [&] {
        mean(context, {a.view(), narrow.view()});
      },
      "funnel::mean", "a value has 2 columns, expected 3 as in the others"));
  CHECK(refuses(
      [&] {
        sum(context, {a.view(), shorter.view()});
      },
      "funnel::sum", "a value has 3 rows, expected 1, or 4 as in the others"));
  CHECK(refuses([&] { row_sum(context, a.view(), 2); }, "funnel::row_sum",
                "x.cols() is 3, expected a multiple of width, which is 2"));
  CHECK(refuses([&] { row_mean(context, a.view(), 0); }, "funnel::row_mean",
                "width is 0, expected 1 or more"));
  CHECK(refuses([&] { row_mean(context, value(nullptr, 2, 0)); }, "funnel::row_mean",
                "x.cols() is 0"));
}
