// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/log_watch_time.hpp>
#include <funnel/loss/mse.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

auto log_time(const std::vector<double>& times,
              const funnel::log_watch_time_options<double>& options = {}) {
  return [=](auto& context, const auto& x) {
    return funnel::log_watch_time_loss(context, x, times, options);
  };
}

}  // namespace

TEST_CASE("log_watch_time: worked by hand", "[loss]") {
  CHECK(funnel::log_watch_time(0.) == 0);
  CHECK(tolerance::within(funnel::log_watch_time(std::exp(2.) - 1), 2,
                          tolerance::elementwise<double>(2)));
  // 30 s are 3 times 10 s: ln 4; 1000 s count as 90 s: ln 10.
  const funnel::log_watch_time_options<double> options{.time_scale = 10, .max_time = 90};
  CHECK(funnel::log_watch_time(30., options) == std::log1p(3.));
  CHECK(funnel::log_watch_time(1000., options) == std::log1p(9.));
  CHECK(std::isnan(funnel::log_watch_time(not_a_number)));
  // (1 - ln 4)^2 and (0 - 0)^2, of two rows.
  const auto [loss, gradient] = evaluate(column({1.0, 0.0}), log_time({30, 0}, options));
  const double apart = 1 - std::log1p(3.);
  CHECK(tolerance::within(loss, apart * apart / 2, tolerance::elementwise<double>(loss)));
  CHECK(tolerance::within(gradient(0, 0), apart, tolerance::elementwise<double>(apart)));
  CHECK(gradient(1, 0) == 0);
  CHECK(evaluate(column({2.0}), log_time({1e300}, options)).loss ==
        evaluate(column({2.0}), log_time({90}, options)).loss);
}

TEST_CASE("log_watch_time_loss: is mse_loss of the logarithms", "[loss]") {
  funnel::random_generator random(1);
  const auto x = random_matrix<double>(random, 6, 1, 5);
  const std::vector<double> times = {0, 5, 80, 500, 1, 3}, weights = {1, 0, 2, .5, 3, 1};
  std::vector<double> targets;
  for (const double time : times) targets.push_back(std::log1p(time / 4));
  const auto found = evaluate(x, log_time(times, {.time_scale = 4, .weights = weights}));
  const auto expected = evaluate(x, [&](auto& context, const auto& value) {
    return funnel::mse_loss(context, value, targets, {.weights = weights});
  });
  CHECK(found.loss == expected.loss);
  CHECK(std::ranges::equal(found.gradient.flat(), expected.gradient.flat()));
  check_gradient(x, log_time(times, {.time_scale = 4, .max_time = 100, .weights = weights}));
  CHECK(evaluate(column({0.0, 0.0}), log_time({1, 1}, {.total_weight = 8})).loss ==
        evaluate(column({0.0}), log_time({1})).loss / 4);
}

TEST_CASE("log_watch_time_loss: learns the mean logarithm, below the mean time", "[loss]") {
  // Half 0 s and half 120 s: sqrt(121) - 1 = 10 s, where the mean is 60 s.
  const double x = minimizer(2, log_time({0, 120}));
  CHECK(tolerance::within(std::expm1(x), 10, tolerance::iterative<double>(100, 10)));
}

TEST_CASE("log_watch_time_loss: rows of weight 0, no rows, NaN, the ends", "[loss]") {
  const std::vector<double> mask{1, 0};
  CHECK(evaluate(column({1.0, not_a_number}), log_time({3, 5}, {.weights = mask})).loss ==
        evaluate(column({1.0}), log_time({3})).loss);
  const std::vector<double> nothing{0, 0};
  CHECK(evaluate(column({1.0, 2.0}), log_time({3, 5}, {.weights = nothing})).loss == 0);
  CHECK(evaluate(funnel::matrix<double>(0, 1), log_time({})).loss == 0);
  CHECK(std::isnan(evaluate(column({not_a_number}), log_time({1})).loss));
  constexpr double most = std::numeric_limits<double>::max();
  CHECK(std::isfinite(evaluate(column({0.0}), log_time({most}, {.time_scale = 1e-300})).loss));
  CHECK(std::isfinite(
      funnel::log_watch_time(std::numeric_limits<float>::max(), {.time_scale = 1e-38f})));
}

TEST_CASE("log_watch_time_loss: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  CHECK(contains(error_of(funnel::matrix<double>(2, 2), log_time({1, 0})),
                 "funnel::log_watch_time_loss: predictions has 2 columns, expected 1"));
  CHECK(contains(error_of(two, log_time({1})), "times has 1 value, expected 2 as in predictions"));
  for (const double bad : {-1., not_a_number, infinity})
    CHECK(contains(error_of(two, log_time({0, bad})), "times[1] is"));
  for (const double bad : {0., -1., not_a_number, infinity}) {
    CHECK(contains(error_of(two, log_time({1, 0}, {.time_scale = bad})), "time_scale is"));
    CHECK(contains(error_of(two, log_time({1, 0}, {.max_time = bad})), "max_time is"));
  }
  const std::vector<double> negative{1, -1};
  CHECK(contains(error_of(two, log_time({1, 0}, {.weights = negative})), "weights[1] is -1"));
  CHECK(contains(error_of(two, log_time({1, 0}, {.total_weight = -2})), "total_weight is -2"));
}
