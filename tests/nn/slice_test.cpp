// SPDX-License-Identifier: MIT
#include <funnel/nn/slice.hpp>

#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/normalization.hpp>
#include <funnel/nn/similarity.hpp>
#include <funnel/nn/softmax.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"

#include <vector>

using funnel::matrix;
using funnel::slice;

TEST_CASE("slice: the columns, without a copy") {
  funnel::inference_context<float> context;
  const auto x = random_matrix<float>(4, 7, 1);
  const auto part = slice(context, x.view(), 2, 3);
  REQUIRE(part.rows() == 4);
  REQUIRE(part.cols() == 3);
  CHECK(part.data() == x.data() + 2);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 3; ++j) CHECK(part(i, j) == x(i, j + 2));
  CHECK(same_bits(slice(context, x.view(), 0, 7), x.view()));
  CHECK(slice(context, x.view(), 7, 0).cols() == 0);
  CHECK(slice(context, x.view().middle_rows(0, 0), 1, 2).rows() == 0);

  // The caller's data has no gradient, and neither has its slice.
  funnel::training_context<float> tape;
  const auto input = slice(tape, tape.input(x), 2, 3);
  CHECK(!input.has_gradient());
  CHECK(same_bits(view(input), part));
}

TEST_CASE("slice: operations give the bits of a copy of the columns") {
  const auto wide = random_matrix<float>(40, 29, 1);
  const auto begin = 3, count = 17;
  const matrix<float> copy(wide.view().middle_cols(begin, count));
  funnel::inference_context<float> context;
  funnel::training_context<float> tape;
  funnel::dense<float> layer(17, 9, {.function = funnel::activation::gelu});
  layer.weight.value = random_matrix<float>(17, 9, 2);
  funnel::layer_norm<float> norm(17);
  const auto check = [&](const auto& run) {
    CHECK(same_bits(run(context, slice(context, wide.view(), begin, count)),
                    run(context, copy.view())));
    CHECK(same_bits(run(tape, slice(tape, tape.input(wide), begin, count)).values,
                    run(tape, tape.input(copy)).values));
  };
  check([&](auto& c, const auto& x) { return layer(c, x); });
  check([&](auto& c, const auto& x) { return layer(c, concat(c, x)); });
  check([&](auto& c, const auto& x) { return norm(c, x); });
  check([&](auto& c, const auto& x) { return softmax(c, x); });
  check([&](auto& c, const auto& x) { return l2_normalize(c, x); });
  check([&](auto& c, const auto& x) { return pairwise_dot(c, x, x); });
  check([&](auto& c, const auto& x) { return activate(c, x, funnel::activation::tanh); });
}

TEST_CASE("slice: gradients go to the columns") {
  check_operation({{4, 5}}, [](auto& context, const double_values& x) {
    return multiply(context, slice(context, x[0], 0, 3), slice(context, x[0], 2, 3));
  });
  // A slice of a slice, through a layer; of one row, which is broadcast.
  check_layer(funnel::dense<double>(2, 3, {.function = funnel::activation::tanh}), {{4, 6}, {1, 5}},
              [](auto& context, const auto& layer, const double_values& x) {
                const auto inner = slice(context, slice(context, x[0], 1, 5), 1, 2);
                return add(context, layer(context, inner), slice(context, x[1], 2, 3));
              });
  double_training context;
  const auto x = context.make(2, 4);
  std::ranges::fill(x.values.row(0), 1.), std::ranges::fill(x.values.row(1), 2.);
  context.backward(weighted_sum(context, slice(context, x, 1, 2)));
  CHECK(x.gradient(0, 0) == 0);
  CHECK(x.gradient(0, 1) != 0);
  CHECK(x.gradient(1, 3) == 0);
}

TEST_CASE("slice: columns that are not there are refused") {
  funnel::inference_context<double> context;
  const matrix<double> x(2, 4);
  CHECK(refuses([&] { slice(context, x.view(), 5, 0); }, "funnel::slice",
                "begin is 5, expected at most 4, the columns of x"));
  CHECK(refuses([&] { slice(context, x.view(), 3, 2); }, "funnel::slice",
                "count is 2, expected at most 1, the columns of x from column 3 on"));
}
