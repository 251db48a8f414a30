// SPDX-License-Identifier: MIT
#include <funnel/optim/sgd.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <limits>

using funnel::sgd;

TEST_CASE("sgd: two steps by hand") {
  small_model m;
  sgd<double> plain({.learning_rate = 0.1});
  CHECK(near(step_weight(plain, m, 0.5), 0.95));
  CHECK(near(step_weight(plain, m, -0.25), 0.975));
  CHECK(m.weight.value(0, 1) == -2);  // a gradient of 0 moves nothing

  small_model with_momentum;
  sgd<double> momentum({.learning_rate = 0.1, .momentum = 0.9});
  CHECK(near(step_weight(momentum, with_momentum, 0.5), 0.95));   // v = 0.5
  CHECK(near(step_weight(momentum, with_momentum, 0.5), 0.855));  // v = 0.95
  CHECK(near(step_weight(momentum, with_momentum, 0), 0.7695));   // v = 0.855

  small_model decayed;
  sgd<double> decay({.learning_rate = 0.1}, {{.weight_decay = 0.5}});
  CHECK(near(step_weight(decay, decayed, 0.5), 0.9));  // 1 - 0.1 (0.5 + 0.5)
  CHECK(near(decayed.weight.value(0, 1), -1.9));
}

TEST_CASE("sgd: options that are something else in float") {
  CHECK(refuses([] { sgd<float>({.momentum = 1 - 1e-9}); }, "funnel::sgd", "momentum"));
}

TEST_CASE("sgd: options outside their ranges are refused") {
  const double nan_rate = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses([] { sgd<float>({.learning_rate = 0}); }, "funnel::sgd", "learning_rate is 0"));
  CHECK(refuses([&] { sgd<float>({.learning_rate = nan_rate}); }, "funnel::sgd", "learning_rate"));
  CHECK(refuses([] { sgd<float>({.momentum = 1}); }, "funnel::sgd", "momentum is 1"));
  CHECK(refuses([] { sgd<float>({.weight_decay = -1}); }, "funnel::sgd", "weight_decay"));
}
