// SPDX-License-Identifier: MIT
#include <funnel/nn/stop_gradient.hpp>

#include <funnel/nn/concat.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/inference_context.hpp>
#include <funnel/nn/slice.hpp>
#include <funnel/nn/training_context.hpp>

#include "support/catch.hpp"
#include "support/gradients.hpp"
#include "support/matrices.hpp"

using funnel::matrix;

TEST_CASE("stop_gradient: the same values, without a copy") {
  const matrix<float> x = random_matrix<float>(4, 7, 1);
  funnel::inference_context<float> context;
  CHECK(stop_gradient(context, x.view()).data() == x.data());
  funnel::training_context<float> tape;
  const auto value = tape.make(4, 7);
  const auto stopped = stop_gradient(tape, value);
  CHECK(stopped.values.data() == value.values.data());
  CHECK(!stopped.has_gradient());
  const auto slices = stop_gradient(tape, slice(tape, value, 2, 3));
  CHECK(slices.values.data() == value.values.data() + 2);
  CHECK(same_bits(view(slices), view(value).middle_cols(2, 3)));
}

TEST_CASE("stop_gradient: what comes after it trains, what comes before does not") {
  const funnel::dense<double> before(3, 4), after(4, 2);
  const matrix<double> x = random_matrix<double>(5, 3, 1);
  for (const bool joined : {false, true}) {
    funnel::training_context<double> tape;
    const auto h = before(tape, tape.input(x));
    const auto y = joined ? after(tape, stop_gradient(tape, concat(tape, h)))
                          : after(tape, stop_gradient(tape, h));
    tape.backward(weighted_sum(tape, y));
    for (const auto* p : {&before.weight, &before.bias})
      if (const auto* found = tape.find_gradient(*p))
        for (std::size_t i = 0; i < p->rows(); ++i)
          for (const double g : found->values().row(i)) CHECK(g == 0);
    REQUIRE(tape.find_gradient(after.bias) != nullptr);
    CHECK(tape.find_gradient(after.bias)->values()(0, 0) != 0);
  }
}

TEST_CASE("stop_gradient: x times its stopped self has half the gradient") {
  funnel::training_context<double> tape;
  const auto x = tape.make(1, 1);
  x.values(0, 0) = 3;
  tape.backward(multiply(tape, x, stop_gradient(tape, x)));
  CHECK(x.gradient(0, 0) == 3);  // that of x * x is 6
}
