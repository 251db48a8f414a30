// SPDX-License-Identifier: MIT
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adagrad.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>

using funnel::adagrad;

TEST_CASE("adagrad: two steps by hand, tables with one sum a row") {
  small_model m;
  adagrad<double> optimizer;
  CHECK(near(step_weight(optimizer, m, 0.5), 0.957742287));
  CHECK(near(step_weight(optimizer, m, -0.25), 0.977204761));
  CHECK(m.weight.value(0, 1) == -2);

  small_model rows;
  adagrad<double> by_row;
  step_row(by_row, rows, 1, {0.3, -0.4});  // sum 0.1 + (0.09 + 0.16) / 2 = 0.225
  CHECK(near(rows.table.value(1, 0), 3 - 0.031622777));
  CHECK(near(rows.table.value(1, 1), 4 + 0.042163702));
  step_row(by_row, rows, 1, {0.6, 0});  // sum 0.405
  CHECK(near(rows.table.value(1, 0), 3 - 0.031622777 - 0.047140452));
  CHECK(near(rows.table.value(1, 1), 4 + 0.042163702));
}

TEST_CASE("adagrad: options that are something else in float") {
  CHECK(refuses([] { adagrad<float>({.initial_accumulator = 1e60}); }, "funnel::adagrad",
                "initial_accumulator"));
  // Too small for float: 0 / 0 would be NaN, and it counts as the smallest that is safe.
  check_small_steps(
      adagrad<float>({.learning_rate = 0.1, .initial_accumulator = 0, .epsilon = 1e-60}));
  check_small_steps(
      adagrad<float>({.learning_rate = 0.1, .initial_accumulator = 1e-60, .epsilon = 1e-60}));
}

TEST_CASE("adagrad: the largest rate leaves rows without a gradient where they are") {
  one_weight<float> m;
  m.weight.value(0, 0) = m.table.value(0, 0) = 2;
  adagrad<float> optimizer({.learning_rate = static_cast<double>(std::numeric_limits<float>::max()),
                            .initial_accumulator = 0});
  funnel::training_context<float> context;
  context.gradient(m.weight).values()(0, 0) = 0;
  context.gradient(m.table).row(0)[0] = 0;
  optimizer.step(m, context);
  CHECK(m.weight.value(0, 0) == 2);
  CHECK(m.table.value(0, 0) == 2);
}

TEST_CASE("adagrad: sums of rows are in double") {
  const auto sum_after = [&]<class T>(T) {
    one_weight<T> w;
    adagrad<T> optimizer({.learning_rate = 1, .initial_accumulator = 1});
    for (int i = 0; i < 200000; ++i) {
      funnel::training_context<T> context;
      context.gradient(w.table).row(0)[0] = i % 2 == 0 ? T(1e-4) : T(-1e-4);
      optimizer.step(w, context);
    }
    // 1 / the root of the sum is how far a gradient of 1e-3 moves.
    w.table.value(0, 0) = 0;
    funnel::training_context<T> context;
    context.gradient(w.table).row(0)[0] = T(1e-3);
    optimizer.step(w, context);
    const double move = static_cast<double>(w.table.value(0, 0)) / 1e-3;
    return 1 / (move * move);
  };
  CHECK(tolerance::within(sum_after(float{}), 1.002001, tolerance::promised(1e-5, 1)));
  CHECK(tolerance::within(sum_after(double{}), 1.002001, tolerance::promised(1e-9, 1)));
}

TEST_CASE("adagrad: options outside their ranges are refused") {
  CHECK(refuses([] { adagrad<float>({.initial_accumulator = -1}); }, "funnel::adagrad",
                "initial_accumulator"));
  CHECK(refuses([] { adagrad<float>({.epsilon = 0}); }, "funnel::adagrad", "epsilon"));
}
