// SPDX-License-Identifier: MIT
#include <funnel/optim/schedule.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <vector>

using funnel::cosine_schedule;
using funnel::linear_schedule;
using funnel::step_schedule;

namespace {

bool close(double a, double b) {
  return tolerance::within(a, b, tolerance::iterative<double>(1, 1));
}

}  // namespace

TEST_CASE("linear_schedule: worked by hand") {
  // Up over 2 steps, down over 4, a fifth stays.
  const linear_schedule schedule{.peak = 1, .steps = 6, .warmup = 2, .last_fraction = 0.2};
  const std::vector<double> expected{0.5, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2};
  for (std::size_t step = 0; step < expected.size(); ++step)
    CHECK(close(schedule(step), expected[step]));
  CHECK(close(schedule(1000000), 0.2));
  CHECK(linear_schedule{.peak = 0.3, .steps = 4}(0) == 0.3);
  CHECK(linear_schedule{.peak = 0.3, .steps = 4}(4) == 0);
}

TEST_CASE("cosine_schedule: worked by hand") {
  const cosine_schedule schedule{.peak = 2, .steps = 8, .warmup = 4};
  const std::vector<double> expected{
      0.5, 1, 1.5, 2, 2, 1 + 0.7071067811865476, 1, 1 - 0.7071067811865476, 0, 0};
  for (std::size_t step = 0; step < expected.size(); ++step)
    CHECK(close(schedule(step), expected[step]));
  CHECK(close(cosine_schedule{.peak = 2, .steps = 8, .warmup = 4, .last_fraction = 0.5}(6), 1.5));
  CHECK(close(cosine_schedule{.peak = 2, .steps = 8, .last_fraction = 0.5}(8), 1));
}

TEST_CASE("schedule: rise, then fall, and never leave [0, peak]") {
  for (const std::size_t warmup : {std::size_t{0}, std::size_t{7}, std::size_t{30}}) {
    const linear_schedule linear{.peak = 1, .steps = 20, .warmup = warmup, .last_fraction = 0.1};
    const cosine_schedule cosine{.peak = 1, .steps = 20, .warmup = warmup, .last_fraction = 0.1};
    for (std::size_t step = 0; step < 40; ++step) {
      const bool rises = step + 1 < warmup;
      CHECK((rises ? linear(step + 1) > linear(step) : linear(step + 1) <= linear(step)));
      CHECK((rises ? cosine(step + 1) > cosine(step) : cosine(step + 1) <= cosine(step)));
      CHECK((linear(step) > 0 && linear(step) <= 1));
      CHECK((cosine(step) > 0 && cosine(step) <= 1));
    }
  }
}

TEST_CASE("step_schedule: halves every interval") {
  const step_schedule schedule{.peak = 8, .interval = 3};
  const std::vector<double> expected{8, 8, 8, 4, 4, 4, 2};
  for (std::size_t step = 0; step < expected.size(); ++step)
    CHECK(schedule(step) == expected[step]);
  CHECK(close(step_schedule{.peak = 1, .interval = 1, .factor = 0.1}(3), 0.001));
}

TEST_CASE("schedule: the first step has its share of the peak, the ends are exact") {
  const double last = 0.1;
  for (const std::size_t warmup : {std::size_t{1}, std::size_t{3}, std::size_t{10}}) {
    const linear_schedule linear{.peak = 0.7, .steps = 20, .warmup = warmup, .last_fraction = last};
    const cosine_schedule cosine{.peak = 0.7, .steps = 20, .warmup = warmup, .last_fraction = last};
    CHECK(close(linear(0), 0.7 / static_cast<double>(warmup)));
    CHECK(cosine(0) == linear(0));
    CHECK(linear(warmup - 1) == 0.7);
    CHECK(linear(20) == 0.7 * last);
    CHECK(cosine(20) == 0.7 * last);
  }
  CHECK(refuses([] { step_schedule{.peak = 1, .interval = 0}(3); }, "funnel::step_schedule",
                "interval is 0"));
}
