// SPDX-License-Identifier: MIT
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/adam.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <cmath>

using funnel::adam;

TEST_CASE("adam: two steps by hand") {
  small_model m;
  adam<double> optimizer({.learning_rate = 0.1});
  CHECK(near(step_weight(optimizer, m, 0.5), 0.900000002));
  CHECK(near(step_weight(optimizer, m, -0.25), 0.873366299));
  CHECK(m.weight.value(0, 1) == -2);

  small_model decayed;
  adam<double> decay({.learning_rate = 0.1}, {{.weight_decay = 0.5}});
  CHECK(near(step_weight(decay, decayed, 0.5), 0.850000002));
  CHECK(near(step_weight(decay, decayed, -0.25), 0.780866299));

  small_model rows;
  adam<double> by_row({.learning_rate = 0.1});
  step_row(by_row, rows, 2, {0.5, 0});
  CHECK(near(rows.table.value(2, 0), 4.900000002));
  step_row(by_row, rows, 2, {-0.25, 0});
  CHECK(near(rows.table.value(2, 0), 4.873366299));
}

TEST_CASE("adam: options that are something else in float") {
  CHECK(refuses([] { adam<float>({.epsilon = 1e60}); }, "funnel::adam", "epsilon"));
  CHECK(refuses([] { adam<float>({.learning_rate = 1e38, .first_decay = 0.99}); }, "funnel::adam",
                "learning_rate / (1 - first_decay)"));
  // Too small for float: 0 / 0 would be NaN, and it counts as the smallest that is safe.
  check_small_steps(adam<float>({.learning_rate = 0.1, .epsilon = 1e-60}));
}

TEST_CASE("adam: nothing cancels, whatever is kept of the means") {
  // Large gradients, and then small ones that a difference of means would lose.
  for (const double first : {0., 0.1, 0.5, 0.9}) {
    for (const double second : {0., 0.01, 0.3, 0.9, 0.999}) {
      one_weight<float> m;
      adam<float> optimizer({.learning_rate = 0.01, .first_decay = first, .second_decay = second});
      double mean = 0;
      double square = 0;
      int t = 0;
      for (const float g : {1.f, 1e-4f, 1e-4f, -1e-5f, 3.f, 1e-4f}) {
        const double wide = static_cast<double>(g);
        ++t;
        mean = first * mean + (1 - first) * wide;
        square = second * square + (1 - second) * wide * wide;
        const double move = -0.01 * (mean / (1 - std::pow(first, t))) /
                            (std::sqrt(square / (1 - std::pow(second, t))) + 1e-8);
        m.weight.value(0, 0) = 0;
        funnel::training_context<float> context;
        context.gradient(m.weight).values()(0, 0) = g;
        optimizer.step(m, context);
        CHECK(tolerance::within(static_cast<double>(m.weight.value(0, 0)), move,
                                tolerance::promised(1e-3, move)));
      }
    }
  }
}

TEST_CASE("adam: options outside their ranges are refused") {
  CHECK(refuses([] { adam<float>({.first_decay = 1}); }, "funnel::adam", "first_decay"));
  CHECK(refuses([] { adam<float>({.second_decay = -0.1}); }, "funnel::adam", "second_decay"));
  CHECK(refuses([] { adam<float>({.epsilon = 0}); }, "funnel::adam", "epsilon"));
}
