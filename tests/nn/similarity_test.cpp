// SPDX-License-Identifier: MIT
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/requests.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

using funnel::cosine;
using funnel::l2_normalize;
using funnel::matrix;
using funnel::multi_dot;
using funnel::pairwise_dot;
using funnel::row_dot;

namespace {

double exact_dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t j = 0; j < a.size(); ++j)
    sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  return sum;
}

}  // namespace

TEST_CASE("l2_normalize: 3, 4 becomes 0.6, 0.8; zero stays zero; NaN its row alone") {
  matrix<double> x(3, 2);
  x(0, 0) = 3;
  x(0, 1) = 4;
  x(2, 1) = std::nan("");
  funnel::inference_context<double> context;
  const auto y = l2_normalize(context, x.view());
  CHECK(tolerance::within(y(0, 0), 0.6, tolerance::elementwise<double>(0.6)));
  CHECK(tolerance::within(y(0, 1), 0.8, tolerance::elementwise<double>(0.8)));
  CHECK(y(1, 0) == 0);
  CHECK(y(1, 1) == 0);
  CHECK(std::isnan(y(2, 0)));
  CHECK(std::isnan(y(2, 1)));
}

TEST_CASE("l2_normalize: length one, whatever the length was") {
  for (const std::size_t d : size_list{1, 7, 16, 33}) {
    for (const double scale : {1e-9, 1., 1e9}) {
      const matrix<float> x = random_matrix<float>(4, d, 1, -scale, scale);
      funnel::inference_context<float> context;
      const auto y = l2_normalize(context, x.view());
      for (std::size_t i = 0; i < 4; ++i) {
        CHECK(tolerance::within(exact_dot(y.row(i), y.row(i)), 1,
                                tolerance::reduction<float>(d + 4, 1)));
        CHECK(same_bits(l2_normalize(context, x.view().middle_rows(i, 1)), y.middle_rows(i, 1)));
      }
    }
  }
}

TEST_CASE("row_dot, cosine, pairwise_dot: against the definitions") {
  const matrix<float> a = random_matrix<float>(5, 19, 1);
  const matrix<float> b = random_matrix<float>(5, 19, 2);
  const matrix<float> one = random_matrix<float>(1, 19, 3);
  funnel::inference_context<float> context;
  const auto check = [](float found, double expected, double magnitude = 19) {
    CHECK(tolerance::within(static_cast<double>(found), expected,
                            tolerance::reduction<float>(19, magnitude)));
  };
  const auto dots = row_dot(context, a.view(), b.view());
  const auto user_left = row_dot(context, one.view(), b.view());
  const auto user_right = row_dot(context, b.view(), one.view());
  const auto cosines = cosine(context, a.view(), one.view());
  const auto pairs = pairwise_dot(context, a.view(), b.view());
  REQUIRE(dots.cols() == 1);
  REQUIRE(user_left.rows() == 5);
  REQUIRE(pairs.cols() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    check(dots(i, 0), exact_dot(a.row(i), b.row(i)));
    check(user_left(i, 0), exact_dot(one.row(0), b.row(i)));
    CHECK(user_right(i, 0) == user_left(i, 0));
    check(cosines(i, 0),
          exact_dot(a.row(i), one.row(0)) /
              std::sqrt(exact_dot(a.row(i), a.row(i)) * exact_dot(one.row(0), one.row(0))),
          2);
    for (std::size_t j = 0; j < 5; ++j) check(pairs(i, j), exact_dot(a.row(i), b.row(j)));
  }
}

TEST_CASE("row_dot, multi_dot, pairwise_dot: the same bits for (a, b) and (b, a)") {
  for (const std::size_t d : size_list{1, 7, 64, 67}) {
    const matrix<float> a = random_matrix<float>(5, d, 1), b = random_matrix<float>(5, d, 2);
    funnel::inference_context<float> context;
    CHECK(same_bits(row_dot(context, a.view(), b.view()), row_dot(context, b.view(), a.view())));
    CHECK(
        same_bits(multi_dot(context, a.view(), b.view()), multi_dot(context, b.view(), a.view())));
    const auto pairs = pairwise_dot(context, a.view(), b.view());
    const auto turned = pairwise_dot(context, b.view(), a.view());
    for (std::size_t i = 0; i < 5; ++i)
      for (std::size_t j = 0; j < 5; ++j) CHECK(same_bits(&pairs(i, j), &turned(j, i), 1));
  }
}

TEST_CASE("cosine: 1 with itself, 0 with zero") {
  const matrix<double> x = random_matrix<double>(3, 6, 4);
  const matrix<double> zeros(3, 6);
  funnel::inference_context<double> context;
  const auto itself = cosine(context, x.view(), x.view());
  const auto nothing = cosine(context, x.view(), zeros.view());
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(tolerance::within(itself(i, 0), 1, tolerance::reduction<double>(6, 1)));
    CHECK(nothing(i, 0) == 0);
  }
}

TEST_CASE("l2_normalize: several vectors side by side, each as if alone") {
  matrix<float> x = random_matrix<float>(3, 4 * 7, 1);
  for (std::size_t j = 7; j < 14; ++j) x(1, j) = 0;
  x(2, 3) = std::nanf("");
  funnel::inference_context<float> context;
  const auto y = l2_normalize(context, x.view(), 7);
  REQUIRE(y.cols() == 28);
  for (std::size_t v = 0; v < 4; ++v)
    CHECK(
        same_bits(y.middle_cols(7 * v, 7), l2_normalize(context, x.view().middle_cols(7 * v, 7))));
  CHECK(l2_normalize(context, matrix<float>(2, 0).view(), 3).cols() == 0);
  CHECK(l2_normalize(context, matrix<float>(2, 0).view()).cols() == 0);
}

TEST_CASE("multi_dot: row_dot with each of the vectors; the bits of a row alone") {
  for (const std::size_t count : size_list{1, 2, 4, 5}) {
    const matrix<float> a = random_matrix<float>(40, count * 19, 1);
    const matrix<float> b = random_matrix<float>(40, 19, 2);
    funnel::inference_context<float> context;
    const auto y = multi_dot(context, a.view(), b.view());
    REQUIRE(y.rows() == 40);
    REQUIRE(y.cols() == count);
    for (std::size_t i = 0; i < 40; ++i) {
      CHECK(same_bits(multi_dot(context, a.view().middle_rows(i, 1), b.view().middle_rows(i, 1)),
                      y.middle_rows(i, 1)));
      for (std::size_t t = 0; t < count; ++t) {
        const auto vector = a.row(i).subspan(19 * t, 19);
        CHECK(tolerance::within(static_cast<double>(y(i, t)), exact_dot(vector, b.row(i)),
                                tolerance::reduction<float>(19, 19)));
      }
    }
  }
}

TEST_CASE("multi_dot: a of one row, or one row per request, is a in every row, to the bit") {
  const request_offsets requests = offsets_of({7, 1, 30, 2});
  const matrix<float> a = random_matrix<float>(4, 3 * 11, 1);
  const matrix<float> b = random_matrix<float>(40, 11, 2);
  const matrix<float> one(a.view().middle_rows(2, 1));
  funnel::inference_context<float> plain, context;
  context.group_rows(requests);
  CHECK(same_bits(multi_dot(context, a.view(), b.view()),
                  multi_dot(plain, repeated(a, requests).view(), b.view())));
  CHECK(same_bits(multi_dot(plain, one.view(), b.view()),
                  multi_dot(plain, repeated(one, {0, 40}).view(), b.view())));
  const matrix<float> item(b.view().middle_rows(5, 1));
  const matrix<float> users = random_matrix<float>(40, 3 * 11, 3);
  CHECK(same_bits(multi_dot(plain, users.view(), item.view()),
                  multi_dot(plain, users.view(), repeated(item, {0, 40}).view())));
}

TEST_CASE("similarity: shapes that don't fit are refused") {
  funnel::inference_context<double> context;
  const matrix<double> a(4, 3);
  const matrix<double> narrow(4, 2);
  const matrix<double> shorter(3, 3);
  CHECK(refuses([&] { row_dot(context, a.view(), narrow.view()); }, "funnel::row_dot",
                "b has 2 columns, expected 3 as in a"));
  CHECK(refuses([&] { row_dot(context, a.view(), shorter.view()); }, "funnel::row_dot",
                "b has 3 rows, expected 1, or 4 as in a"));
  CHECK(refuses([&] { multi_dot(context, a.view(), narrow.view()); }, "funnel::multi_dot",
                "a.cols() is 3, expected a multiple of 2, the columns of b"));
  CHECK(refuses([&] { multi_dot(context, a.view(), matrix<double>(4, 0).view()); },
                "funnel::multi_dot", "b.cols() is 0"));
  CHECK(refuses([&] { multi_dot(context, a.view(), shorter.view()); }, "funnel::multi_dot",
                "b has 3 rows, expected 1, or 4 as in a"));
  CHECK(refuses([&] { l2_normalize(context, a.view(), 2); }, "funnel::l2_normalize",
                "x.cols() is 3, expected a multiple of width, which is 2"));
  CHECK(refuses([&] { l2_normalize(context, a.view(), 0); }, "funnel::l2_normalize", "width is 0"));
  CHECK(refuses([&] { pairwise_dot(context, a.view(), narrow.view()); }, "funnel::pairwise_dot",
                "b has 2 columns, expected 3 as in a"));
}

TEST_CASE("similarity: gradients") {
  check_operation({{4, 15}}, [](auto& context, const double_values& x) {
    return l2_normalize(context, x[0], 5);
  });
  for (const std::vector<shape>& shapes :
       {std::vector<shape>{{4, 15}, {4, 5}}, {{1, 15}, {4, 5}}, {{4, 15}, {1, 5}}}) {
    check_operation(shapes, [](auto& context, const double_values& x) {
      return multi_dot(context, x[0], x[1]);
    });
  }
  check_operation({{3, 15}, {20, 5}}, [](auto& context, const double_values& x) {
    context.group_rows(offsets_of({2, 17, 1}));
    return multi_dot(context, x[0], x[1]);
  });
  check_operation(
      {{4, 5}}, [](auto& context, const double_values& x) { return l2_normalize(context, x[0]); });
  for (const std::vector<shape>& shapes :
       {std::vector<shape>{{4, 5}, {4, 5}}, {{1, 5}, {4, 5}}, {{4, 5}, {1, 5}}}) {
    check_operation(
        shapes, [](auto& context, const double_values& x) { return row_dot(context, x[0], x[1]); });
    check_operation(
        shapes, [](auto& context, const double_values& x) { return cosine(context, x[0], x[1]); });
    check_operation(shapes, [](auto& context, const double_values& x) {
      return pairwise_dot(context, x[0], x[1]);
    });
  }
  const matrix<double> numbers = random_matrix<double>(4, 5, 6);
  check_operation({{1, 5}}, [&](auto& context, const double_values& x) {
    return row_dot(context, context.input(numbers), x[0]);
  });
}

TEST_CASE("l2_normalize: a row of zeros has no gradient") {
  double_training context;
  const funnel::parameter<double> p(1, 3);
  const auto x = value_of_parameter(context, p);
  context.backward(weighted_sum(context, l2_normalize(context, x)));
  for (std::size_t j = 0; j < 3; ++j) CHECK(x.gradient(0, j) == 0);
}

TEMPLATE_TEST_CASE("l2_normalize, cosine: vectors of any length", "", float, double) {
  using real = TestType;
  const real largest = std::numeric_limits<real>::max();
  funnel::inference_context<real> context;
  funnel::training_context<real> tape;
  for (const std::size_t d : size_list{2, 3, 17, 64}) {
    const matrix<real> direction = random_matrix<real>(2, d, d, real(-1), real(1));
    const auto usual = l2_normalize(context, direction.view());
    const real angle = cosine(context, direction.view(), direction.view().middle_rows(1, 1))(0, 0);
    for (const real size : {largest, largest / 16, std::sqrt(largest), std::sqrt(largest) / 16}) {
      matrix<real> x(direction.view());
      for (real& value : x.flat()) value *= size;
      const auto found = l2_normalize(context, x.view());
      for (std::size_t j = 0; j < d; ++j) {
        CHECK(tolerance::within(static_cast<double>(found(0, j)), static_cast<double>(usual(0, j)),
                                tolerance::iterative<real>(d, 1)));
      }
      CHECK(tolerance::within(
          static_cast<double>(cosine(context, x.view(), x.view().middle_rows(1, 1))(0, 0)),
          static_cast<double>(angle), tolerance::iterative<real>(d, 1)));
      // And a gradient that is as small as the vector is long.
      const auto input = tape.make(2, d);
      std::ranges::copy(x.flat(), input.values.data());
      const auto y = l2_normalize(tape, input);
      const auto loss = tape.make(1, 1);
      tape.record([y, loss] { y.gradient(0, 0) += loss.gradient(0, 0); });
      tape.backward(loss);
      for (std::size_t j = 0; j < d; ++j) CHECK(std::isfinite(input.gradient(0, j)));
      tape.clear();
    }
  }
  matrix<real> x(1, 2, std::numeric_limits<real>::infinity());
  CHECK(std::isnan(l2_normalize(context, x.view())(0, 0)));
  CHECK(l2_normalize(context, matrix<real>(3, 0).view()).rows() == 3);
}
