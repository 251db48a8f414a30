// SPDX-License-Identifier: MIT
#include <funnel/nn/training_context.hpp>
#include <funnel/optim/clip_gradients.hpp>

#include "optim/small_models.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>

TEST_CASE("clip_gradients: shortens all together, and says how long they were") {
  small_model m;
  const auto fill = [&](tape& context) {
    set(context.gradient(m.weight).values().row(0), {3, 0});
    set(context.gradient(m.table).row(2), {0, 4});
    context.gradient(m.mean).values()(0, 0) = 100;  // not learned, not counted
  };
  tape context;
  fill(context);
  CHECK(near(clip_gradients(m, context, 1), 5));
  CHECK(near(context.gradient(m.weight).values()(0, 0), 0.6));
  CHECK(near(context.gradient(m.table).row(2)[1], 0.8));
  CHECK(context.gradient(m.mean).values()(0, 0) == 100);
  CHECK(near(clip_gradients(m, context, 1), 1));

  tape longer;
  fill(longer);
  CHECK(near(clip_gradients(m, longer, 10), 5));
  CHECK(longer.gradient(m.weight).values()(0, 0) == 3);

  tape bad;
  fill(bad);
  bad.gradient(m.table).row(0)[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK(std::isnan(clip_gradients(m, bad, 1)));
  CHECK(bad.gradient(m.weight).values()(0, 0) == 3);

  tape empty;
  CHECK(clip_gradients(m, empty, 1) == 0);
  CHECK(refuses([&] { clip_gradients(m, empty, 0); }, "funnel::clip_gradients", "max_norm"));
}

TEMPLATE_TEST_CASE("clip_gradients: lengths at the ends of the numbers", "", float, double) {
  using real = TestType;
  const double largest = static_cast<double>(std::numeric_limits<real>::max());
  const double smallest = static_cast<double>(std::numeric_limits<real>::min());
  for (const double size :
       {largest / 8, std::sqrt(largest) * 8, 1., std::sqrt(smallest) / 64, smallest}) {
    one_weight<real> m;
    funnel::training_context<real> context;
    const auto fill = [&] {
      context.gradient(m.weight).values()(0, 0) = static_cast<real>(3 * size);
      context.gradient(m.table).row(0)[0] = static_cast<real>(4 * size);
    };
    fill();
    const double norm = clip_gradients(m, context, 2 * size);
    CHECK(tolerance::within(norm, 5 * size, tolerance::elementwise<real>(5 * size)));
    const double first = static_cast<double>(context.gradient(m.weight).values()(0, 0));
    CHECK(tolerance::within(first, 1.2 * size, tolerance::elementwise<real>(1.2 * size)));
    if (size < 1) continue;
    fill();
    clip_gradients(m, context, 1e-3);  // the factor has no exact number where size is the largest
    const double second = static_cast<double>(context.gradient(m.table).row(0)[0]);
    CHECK(tolerance::within(second, 0.8e-3, tolerance::elementwise<real>(0.8e-3)));
  }
}

TEST_CASE("clip_gradients: an infinite gradient is reported, and nothing is clipped") {
  small_model m;
  tape context;
  set(context.gradient(m.weight).values().row(0), {3, std::numeric_limits<double>::infinity()});
  set(context.gradient(m.table).row(2), {0, 4});
  CHECK(clip_gradients(m, context, 1) == std::numeric_limits<double>::infinity());
  CHECK(context.gradient(m.weight).values()(0, 0) == 3);
  CHECK(context.gradient(m.table).row(2)[1] == 4);
}
