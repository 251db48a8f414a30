// SPDX-License-Identifier: MIT
#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"
#include "support/random_parameters.hpp"
#include "support/tolerance.hpp"

#include <array>
#include <limits>
#include <string>
#include <vector>

using funnel::activation;
using funnel::concat;
using funnel::dense;
using funnel::matrix;
using funnel::matrix_view;

namespace {

template <class T>
dense<T> random_dense(std::size_t in, std::size_t out, const funnel::dense_options& options = {}) {
  return with_random_parameters(dense<T>(in, out, options), 10);
}

/// bias + x W in double and the bound of its error in float.
void check_values(const dense<float>& layer, const matrix_view<const float>& x,
                  const matrix_view<const float>& y) {
  REQUIRE(y.rows() == x.rows());
  REQUIRE(y.cols() == layer.out());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) {
      double sum = layer.bias.value.empty() ? 0 : static_cast<double>(layer.bias.value(0, j));
      double magnitudes = std::abs(sum);
      for (std::size_t k = 0; k < x.cols(); ++k) {
        const double product =
            static_cast<double>(x(i, k)) * static_cast<double>(layer.weight.value(k, j));
        sum += product;
        magnitudes += std::abs(product);
      }
      if (!tolerance::within(static_cast<double>(y(i, j)), sum,
                             tolerance::reduction<float>(x.cols() + 2, magnitudes))) {
        FAIL_CHECK("y(" << i << ", " << j << ") is " << y(i, j) << ", expected " << sum);
      }
    }
  }
}

// A user of 5 values, a context of 3, items of 9: the two first are one row each.
constexpr std::size_t largest_batch = 500;
const matrix<float> user = random_matrix<float>(1, 5, 1);
const matrix<float> moment = random_matrix<float>(1, 3, 2);
const matrix<float> items = random_matrix<float>(largest_batch, 9, 3);

using value = matrix_view<const float>;
using three = funnel::concatenated<value, 3>;

/// All places that one-row parts can take among three.
std::array<three, 6> arrangements(const value& u, const value& m, const value& i) {
  return {three{{u, m, i}}, three{{u, i, m}}, three{{i, u, m}},
          three{{i, m, u}}, three{{m, i, u}}, three{{m, u, i}}};
}

}  // namespace

TEST_CASE("dense: worked by hand") {
  dense<float> layer(2, 3);
  const float weights[] = {1, 2, 3, 4, 5, 6};
  std::ranges::copy(weights, layer.weight.value.flat().begin());
  layer.bias.value(0, 1) = 10;
  matrix<float> x(1, 2);
  x(0, 0) = 1;
  x(0, 1) = -1;
  funnel::inference_context<float> context;
  const value y = layer(context, x.view());
  CHECK(y(0, 0) == -3);
  CHECK(y(0, 1) == 7);
  CHECK(y(0, 2) == -3);
  layer.function = activation::relu;
  const value positive = layer(context, x.view());
  CHECK(positive(0, 0) == 0);
  CHECK(positive(0, 1) == 7);
}

TEST_CASE("dense: a split product is the product of the copied columns") {
  for (const bool bias : {true, false}) {
    const dense<float> layer = random_dense<float>(17, 21, {.bias = bias});
    for (const std::size_t n : size_list{0, 1, 2, 7, 64}) {
      funnel::inference_context<float> context;
      for (const three& x : arrangements(user, moment, items.view().middle_rows(0, n)))
        check_values(layer, materialize(context, x), layer(context, x));
    }
  }
}

TEST_CASE("dense: a row has the same bits in every batch, whatever stands in one row") {
  for (const activation function : {activation::identity, activation::gelu}) {
    const dense<float> layer = random_dense<float>(17, 21, {.function = function});
    const auto frozen = funnel::freeze(layer);
    funnel::inference_context<float> context;
    const matrix<float> many_users = [] {
      matrix<float> all(largest_batch, 5);
      for (std::size_t i = 0; i < largest_batch; ++i)
        std::ranges::copy(user.row(0), all.row(i).begin());
      return all;
    }();
    const auto all = arrangements(user, moment, items);
    const auto repeated = arrangements(many_users, moment, items);
    for (std::size_t a = 0; a < all.size(); ++a) {
      INFO("arrangement " << a);
      const value whole = layer(context, all[a]);
      for (const std::size_t n : size_list{1, 7, 64}) {
        for (const std::size_t begin : size_list{0, 3, largest_batch - n}) {
          const three part = arrangements(user, moment, items.view().middle_rows(begin, n))[a];
          CHECK(same_bits(layer(context, part), whole.middle_rows(begin, n)));
        }
      }
      CHECK(same_bits(layer(context, repeated[a]), whole));
      CHECK(same_bits(frozen(context, all[a]), whole));
    }
  }
}

TEST_CASE("dense: training computes the same bits as serving") {
  const dense<double> layer = random_dense<double>(17, 21, {.function = activation::silu});
  const matrix<double> left = random_matrix<double>(1, 5, 4);
  const matrix<double> right = random_matrix<double>(30, 12, 5);
  funnel::inference_context<double> serving;
  double_training tape;
  CHECK(same_bits(view(layer(tape, concat(tape, left, right))),
                  layer(serving, concat(serving, left, right))));
}

TEST_CASE("dense: a NaN makes its row NaN and no other") {
  matrix<float> x = random_matrix<float>(14, 4, 6);
  x(5, 2) = std::numeric_limits<float>::quiet_NaN();
  funnel::inference_context<float> context;
  const value y = random_dense<float>(4, 20, {.function = activation::relu})(context, x.view());
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (const float v : y.row(i)) CHECK(std::isnan(v) == (i == 5));
  }
}

TEST_CASE("dense: parameters by name; no bias where none was asked for") {
  const auto names = [](const dense<float>& layer) {
    std::string all;
    funnel::for_each_parameter(
        layer, [&](std::string_view path, const auto&) { all += path, all += ' '; });
    return all;
  };
  CHECK(names(dense<float>(3, 4)) == "weight bias ");
  CHECK(names(dense<float>(3, 4, {.bias = false})) == "weight ");
  CHECK(funnel::count_parameters(dense<float>(3, 4)) == 16);
  CHECK(funnel::count_parameters(dense<float>(3, 4, {.bias = false})) == 12);
  CHECK(dense<float>(3, 4).weight.initial == funnel::initial_values::glorot_uniform);
}

TEST_CASE("dense: another number of columns is refused") {
  const dense<float> layer(3, 4);
  funnel::inference_context<float> context;
  const matrix<float> x(2, 4);
  CHECK(refuses([&] { layer(context, x.view()); }, "funnel::dense", "4 columns, expected 3"));
  CHECK(refuses([&] { layer(context, concat(context, x, x)); }, "funnel::dense", "8 columns"));
  CHECK(
      refuses([] { funnel::dense<float>(0, 2); }, "funnel::dense", "in is 0, expected 1 or more"));
  CHECK(refuses([] { funnel::dense<float>(2, 0); }, "funnel::dense", "out is 0"));
}

TEST_CASE("dense: gradients") {
  for (const activation function : {activation::identity, activation::tanh, activation::silu}) {
    check_layer(dense<double>(3, 4, {.function = function}), {{5, 3}},
                [](auto& context, const dense<double>& layer, const double_values& x) {
                  return layer(context, x[0]);
                });
  }
  const auto three_parts = [](auto& context, const dense<double>& layer, const double_values& x) {
    return layer(context, concat(context, x[0], x[1], x[2]));
  };
  const dense<double> layer(6, 4, {.function = activation::sigmoid});
  check_layer(layer, {{1, 2}, {5, 3}, {1, 1}}, three_parts);
  check_layer(layer, {{5, 3}, {1, 2}, {1, 1}}, three_parts);
  check_layer(layer, {{1, 2}, {1, 3}, {5, 1}}, three_parts);
  check_layer(layer, {{1, 3}, {1, 2}, {1, 1}}, three_parts);
  check_layer(dense<double>(6, 4, {.bias = false}), {{5, 3}, {1, 2}, {5, 1}}, three_parts);

  // Beside the caller's numbers, which have no gradient.
  const matrix<double> numbers = random_matrix<double>(5, 4, 7);
  check_layer(layer, {{1, 2}}, [&](auto& context, const dense<double>& l, const double_values& x) {
    return l(context, concat(context, numbers, x[0]));
  });
  // Twice in one step: both uses add up.
  check_layer(dense<double>(3, 3, {.function = activation::tanh}), {{4, 3}},
              [](auto& context, const dense<double>& l, const double_values& x) {
                return l(context, l(context, x[0]));
              });
}

TEST_CASE("dense: weights that were replaced by ones of another shape are refused") {
  const matrix<float> x(2, 3, 1.f);
  funnel::inference_context<float> context;
  funnel::training_context<float> tape;
  funnel::dense<float> layer(3, 4);
  layer.weight.value.assign(2, 4);
  CHECK(refuses([&] { layer(context, x.view()); }, "funnel::dense: weight is [2, 4]", "[3, 4]"));
  CHECK(refuses([&] { layer.freeze<funnel::default_arch>(); }, "funnel::dense: weight", "[3, 4]"));
  layer.weight.value.assign(3, 4);
  layer.bias.value.assign(1, 2);
  CHECK(refuses([&] { layer(context, x.view()); }, "funnel::dense: bias is [1, 2]", "[1, 4]"));
  layer.bias.value.assign(1, 4);
  layer.weight.kind = funnel::parameter_kind::rows;  // its gradient would have no values
  CHECK(
      refuses([&] { layer(tape, tape.input(x)); }, "funnel::dense: weight", "kind 1, expected 0"));

  // Between the forward step and the way back.
  for (const auto& [in, out] : {std::pair<std::size_t, std::size_t>{3, 1}, {5, 4}, {3, 9}}) {
    layer = funnel::dense<float>(3, 4);
    const auto y = layer(tape, tape.input(x));
    const auto loss = tape.make(1, 1);
    tape.record([y, loss] { y.gradient(0, 0) += loss.gradient(0, 0); });
    layer = funnel::dense<float>(in, out);
    CHECK(refuses([&] { tape.backward(loss); }, "funnel::dense", "expected"));
    tape.clear();
  }
}

TEST_CASE("dense: parts put together by hand whose rows do not meet are refused") {
  const matrix<float> three(3, 2), two(2, 1);
  const funnel::concatenated<matrix_view<const float>, 2> x{{three.view(), two.view()}};
  funnel::inference_context<float> context;
  CHECK(refuses([&] { funnel::dense<float>(3, 4)(context, x); }, "funnel::dense", "rows"));
}
