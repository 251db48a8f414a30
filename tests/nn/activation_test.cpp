// SPDX-License-Identifier: MIT
#include <funnel/nn/activation.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"

#include <limits>

using funnel::activate;
using funnel::activation;
using funnel::add;
using funnel::affine;
using funnel::matrix;

constexpr activation all_activations[] = {activation::identity, activation::relu,
                                          activation::sigmoid,  activation::tanh,
                                          activation::silu,     activation::gelu};

TEST_CASE("activate: the kernel on every row, in both contexts") {
  const matrix<float> wide = random_matrix<float>(3, 20, 1, -3, 3);
  const auto x = wide.view().middle_cols(2, 17);
  for (const activation function : all_activations) {
    funnel::inference_context<float> serving;
    funnel::training_context<float> tape;
    const auto y = activate(serving, x, function);
    matrix<float> expected(3, 17);
    for (std::size_t i = 0; i < 3; ++i) {
      funnel::activation_kernel(funnel::default_arch{}, x.row(i).data(), expected.row(i).data(), 17,
                                function);
    }
    CHECK(same_bits(y, expected));
    CHECK(same_bits(view(activate(tape, tape.input(x), function)), expected));
  }
}

TEST_CASE("activate: identity is the value itself") {
  const matrix<float> x = random_matrix<float>(3, 4, 2);
  funnel::inference_context<float> context;
  CHECK(activate(context, x.view(), activation::identity).data() == x.data());
}

TEST_CASE("activate: gradients") {
  for (const activation function : all_activations) {
    INFO("function " << static_cast<int>(function));
    check_operation({{4, 5}}, [&](auto& context, const double_values& x) {
      // Values up to 3: where the functions bend and where they are flat.
      return activate(context, affine(context, x[0], 3.0), function);
    });
  }
}

TEST_CASE("activate: relu has no slope at zero; a NaN's gradient is NaN") {
  double_training context;
  funnel::parameter<double> p(1, 2);
  p.value(0, 1) = std::numeric_limits<double>::quiet_NaN();
  const auto x = value_of_parameter(context, p);
  const auto y = activate(context, x, activation::relu);
  const auto z = activate(context, x, activation::silu);
  CHECK(std::isnan(y.values(0, 1)));
  context.backward(weighted_sum(context, add(context, y, z)));
  CHECK(std::isnan(x.gradient(0, 1)));
  funnel::parameter<double> zeros(1, 2);
  double_training at_zero;
  const auto zero = value_of_parameter(at_zero, zeros);
  at_zero.backward(weighted_sum(at_zero, activate(at_zero, zero, activation::relu)));
  CHECK(zero.gradient(0, 0) == 0);
}
