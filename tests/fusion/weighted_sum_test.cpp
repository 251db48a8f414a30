// SPDX-License-Identifier: MIT
#include <funnel/fusion/weighted_sum.hpp>

#include "support/catch.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

const float nan_estimate = std::numeric_limits<float>::quiet_NaN();
const float infinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("weighted_sum: worked by hand") {
  const funnel::weighted_sum<3> formula{.weights = {1, 2, -.5f}};
  CHECK(formula(std::vector{.25f, .5f, .5f}) == 1);
  CHECK(funnel::weighted_sum<2>()(std::vector{1.f, 2.f}) == 0);
  CHECK(funnel::weighted_sum<0>()({}) == 0);
}

TEST_CASE("click_times_weighted_sum: worked by hand") {
  const funnel::click_times_weighted_sum<2> formula{.weights = {2, 4}};
  CHECK(formula(std::vector{.5f, .25f, .125f}) == 1);
  // Clicks are worth 1 each: without weights it is the click rate.
  CHECK(funnel::click_times_weighted_sum<2>()(std::vector{.3f, .9f, .9f}) == .3f);
}

TEST_CASE("click_times_weighted_sum: the expected worth of an impression") {
  // 1 for a click and 3 for a like, over all outcomes.
  const double click = .3, like = .2;
  const double worth = (1 - click) * 0 + click * (1 - like) * 1 + click * like * (1 + 3);
  const funnel::click_times_weighted_sum<1, double> formula{.weights = {3}};
  CHECK(tolerance::within(formula(std::vector{click, like}), worth,
                          tolerance::reduction<double>(3, worth)));
}

TEST_CASE("weighted_sum: NaN counts where it has a weight, and only there") {
  const funnel::weighted_sum<2> sum{.weights = {1, 0}};
  CHECK(std::isnan(sum(std::vector{nan_estimate, 1.f})));
  CHECK(sum(std::vector{1.f, nan_estimate}) == 1);
  CHECK(sum(std::vector{1.f, infinity}) == 1);
  const funnel::click_times_weighted_sum<2> click{.weights = {1, 0}};
  CHECK(std::isnan(click(std::vector{nan_estimate, 1.f, 1.f})));
  CHECK(std::isnan(click(std::vector{1.f, nan_estimate, 1.f})));
  CHECK(click(std::vector{1.f, 1.f, infinity}) == 2);
}

TEST_CASE("weighted_sum: equal a sum in double, a candidate alone as in a batch") {
  funnel::random_generator bits(1);
  for (std::size_t n : {1u, 7u, 8u, 9u, 40u}) {
    funnel::matrix<float> objectives(n, 4);
    for (float& p : objectives.flat()) p = static_cast<float>(funnel::uniform01(bits));
    funnel::weighted_sum<4> sum;
    funnel::click_times_weighted_sum<3> click;
    for (float& w : sum.weights) w = static_cast<float>(funnel::standard_normal(bits));
    for (float& w : click.weights) w = static_cast<float>(funnel::standard_exponential(bits));
    std::vector<float> sums(n), clicks(n);
    funnel::fuse(sum, objectives, sums);
    funnel::fuse(click, objectives, clicks);
    for (std::size_t i = 0; i < n; ++i) {
      double s = 0, magnitude = 0, c = 1;
      for (std::size_t k = 0; k < 4; ++k) {
        s += double(sum.weights[k]) * double(objectives(i, k));
        magnitude += std::abs(double(sum.weights[k]) * double(objectives(i, k)));
        if (k > 0) c += double(click.weights[k - 1]) * double(objectives(i, k));
      }
      c *= double(objectives(i, 0));
      CHECK(tolerance::within(double(sums[i]), s, tolerance::reduction<float>(1, magnitude)));
      CHECK(tolerance::within(double(clicks[i]), c, tolerance::elementwise<float>(c)));
      CHECK(sums[i] == sum(objectives.row(i)));
    }
  }
}

TEST_CASE("weighted sums: their state has every weight") {
  const funnel::weighted_sum<2> sum{.weights = {1, .5f}};
  funnel::weighted_sum<2> loaded;
  saved_state(sum).load(loaded);
  CHECK(loaded.weights == sum.weights);
  const funnel::click_times_weighted_sum<3, double> clicks{.weights = {3, 0, -.25}};
  funnel::click_times_weighted_sum<3, double> loaded_clicks;
  saved_state(clicks).load(loaded_clicks);
  CHECK(loaded_clicks.weights == clicks.weights);
}
