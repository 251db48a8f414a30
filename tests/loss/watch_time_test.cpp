// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/watch_time.hpp>

#include <cmath>
#include <limits>
#include <numeric>

using namespace loss_test;
using funnel::watch_time_options;
using funnel::watch_time_target;

namespace {

auto watch_time(const std::vector<double>& times, const watch_time_options<double>& options) {
  return [&times, options](auto& context, const auto& z) {
    return funnel::watch_time_loss(context, z, times, options);
  };
}

/// What the loss learns for equal features.
double learned(const std::vector<double>& times, const watch_time_options<double>& options) {
  return funnel::predicted_watch_time(minimizer(times.size(), watch_time(times, options)), options);
}

}  // namespace

TEST_CASE("watch_time_loss: worked examples of the odds of the fraction", "[loss]") {
  const watch_time_options<double> odds = {.target = watch_time_target::odds_of_fraction,
                                           .time_scale = 1};
  const double cases[][4] = {
      {0, 0, .693147, .5}, {3, 0, .693147, -.25}, {30, 2, .191444, -.086945}};
  for (const auto& [t, z, loss, slope] : cases) {
    const std::vector<double> times = {t};
    const auto found = evaluate(column({z}), watch_time(times, odds));
    CHECK(tolerance::within(found.loss, loss, tolerance::printed(6)));
    CHECK(tolerance::within(found.gradient(0, 0), slope, tolerance::printed(6)));
  }
}

TEST_CASE("watch_time_loss: only the default learns the mean watch time", "[loss]") {
  struct learning {
    std::vector<double> times;
    double mean, odds;
    int odds_digits;
    double clicked;
  };
  const double grows = std::numeric_limits<double>::infinity();
  const learning cases[] = {{{60, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 6, .1091, 4, 6.667},
                            {{60, 60}, 60, 60, 3, grows},
                            {{10, 110}, 60, 19.016, 3, grows},
                            {{2, 120}, 61, 4.855, 3, grows}};
  for (const auto& [times, mean, odds, digits, clicked] : cases) {
    for (const double unit : {1.0, 60.0}) {  // the unit does not matter here
      CHECK(tolerance::within(learned(times, {.time_scale = unit}), mean,
                              tolerance::iterative<double>(100, mean)));
    }
    CHECK(tolerance::within(
        learned(times, {.target = watch_time_target::odds_of_fraction, .time_scale = 1}), odds,
        tolerance::printed(digits)));
    const double by_clicks =
        learned(times, {.target = watch_time_target::weighted_clicks, .time_scale = 1});
    if (clicked == grows) {
      CHECK(by_clicks > 1e12);  // as far as the search goes
    } else {
      CHECK(tolerance::within(by_clicks, clicked, tolerance::printed(3)));
    }
  }
  // Of the odds the unit decides what is learned.
  CHECK(tolerance::within(
      learned(cases[0].times, {.target = watch_time_target::odds_of_fraction, .time_scale = 60}),
      3.158, tolerance::printed(3)));
}

TEST_CASE("watch_time_loss: the default learns the mean of any times", "[loss]") {
  funnel::random_generator random(3);
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<double> times(20), weights(20);
    double sum = 0, total = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      times[i] = funnel::bernoulli(random, .4) ? 0 : 40 * funnel::standard_exponential(random);
      weights[i] = funnel::uniform01(random);
      sum += weights[i] * times[i];
      total += weights[i];
    }
    CHECK(tolerance::within(learned(times, {.time_scale = 30, .weights = weights}), sum / total,
                            tolerance::iterative<double>(100, sum / total)));
  }
}

TEST_CASE("watch_time_loss: gradients", "[loss]") {
  funnel::random_generator random(4);
  const auto x = random_matrix<double>(random, 6, 1, 4);
  const std::vector<double> times = {0, 3, 45, 1, 200, 0}, weights = {1, 2, 0, .5, 1, 1};
  for (const auto target : {watch_time_target::expected_time, watch_time_target::odds_of_fraction,
                            watch_time_target::weighted_clicks}) {
    check_gradient(x, watch_time(times, {.target = target, .time_scale = 30, .weights = weights}));
    check_gradient(x, watch_time(times, {.target = target, .time_scale = 30, .max_time = 40}));
  }
}

TEST_CASE("watch_time_loss: longer times count as the longest", "[loss]") {
  const std::vector<double> replayed = {10, 500}, clipped = {10, 60};
  const auto x = column({0.3, 0.4});
  CHECK(evaluate(x, watch_time(replayed, {.max_time = 60})).loss ==
        evaluate(x, watch_time(clipped, {})).loss);
}

TEST_CASE("watch_time_loss: extreme logits and nothing to learn from", "[loss]") {
  const std::vector<float> times = {0, 86400, 0, 86400};
  for (const auto target : {watch_time_target::expected_time, watch_time_target::odds_of_fraction,
                            watch_time_target::weighted_clicks}) {
    const auto found = evaluate(column({1e4f, -1e4f, -1e4f, 1e4f}), [&](auto& context, auto& z) {
      return funnel::watch_time_loss(context, z, times, {.target = target, .time_scale = 1});
    });
    CHECK(std::isfinite(found.loss));
    for (const float slope : found.gradient.flat()) CHECK(std::isfinite(slope));
  }
  // At the optimum of a long watch the loss is small terms, not a difference of large ones.
  const std::vector<float> longest = {1e6f};
  const auto best = evaluate(column({std::log(1e6f)}), [&](auto& context, auto& z) {
    return funnel::watch_time_loss(context, z, longest, {.time_scale = 1});
  });
  const double exact = std::log1p(1e6) + 1e6 * std::log1p(1e-6);
  CHECK(tolerance::within(best.loss, exact, tolerance::iterative<float>(4, exact)));

  const std::vector<double> one = {5}, none = {0};
  const auto masked = evaluate(column({1.0}), watch_time(one, {.weights = none}));
  CHECK(masked.loss == 0);
  CHECK(masked.gradient(0, 0) == 0);
}

TEST_CASE("predicted_watch_time: scale, clip, NaN", "[loss]") {
  const watch_time_options<float> options = {.time_scale = 60, .max_time = 3600};
  CHECK(funnel::predicted_watch_time(0.0f, options) == 60);
  CHECK(funnel::predicted_watch_time(1e4f, options) == 3600);
  CHECK(funnel::predicted_watch_time(-1e4f, options) == 0);
  CHECK(std::isfinite(funnel::predicted_watch_time(1e4f)));
  CHECK(std::isnan(funnel::predicted_watch_time(std::numeric_limits<float>::quiet_NaN(), options)));
}

TEST_CASE("watch_time_loss: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  const double inf = std::numeric_limits<double>::infinity();
  const auto error = [&](const std::vector<double>& times,
                         const watch_time_options<double>& options = {}) {
    return error_of(two, watch_time(times, options));
  };
  CHECK(contains(error({1, -1}), "funnel::watch_time_loss: times[1] is -1"));
  CHECK(contains(error({std::nan(""), 1}), "times[0] is nan"));
  CHECK(contains(error({1, inf}), "times[1] is inf"));
  CHECK(contains(error({1}), "times has 1 value, expected 2"));
  CHECK(contains(error({1, 1}, {.time_scale = 0}), "time_scale is 0"));
  CHECK(contains(error({1, 1}, {.max_time = -5}), "max_time is -5"));
  const std::vector<double> weights = {1, inf};
  CHECK(contains(error({1, 1}, {.weights = weights}), "weights[1] is inf"));
}
