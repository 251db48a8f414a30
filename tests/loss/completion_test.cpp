// SPDX-License-Identifier: MIT
#include "loss/loss_support.hpp"

#include <funnel/loss/bce.hpp>
#include <funnel/loss/completion.hpp>

#include <cmath>
#include <limits>

using namespace loss_test;
using funnel::completion_options;
using funnel::completion_target;

namespace {

auto completion(const std::vector<double>& played, const std::vector<double>& lengths,
                const completion_options<double>& options = {}) {
  return [&played, &lengths, options](auto& context, const auto& z) {
    return funnel::completion_loss(context, z, played, lengths, options);
  };
}

/// Cross-entropy with labels written out.
evaluation<double> expected(const funnel::matrix<double>& x, const std::vector<double>& labels,
                            const std::vector<double>& weights) {
  return evaluate(x, [&](auto& context, const auto& z) {
    return funnel::bce_with_logits(context, z, labels, {.weights = weights});
  });
}

}  // namespace

TEST_CASE("completion_loss: the labels of both targets", "[loss]") {
  // 4 of 10 minutes; 8 of 10, the boundary; just below; played twice; no length; a negative one.
  const std::vector<double> played = {4, 8, 7.999, 20, 3, 3}, lengths = {10, 10, 10, 10, 0, -1};
  const auto x = column({0.1, -0.5, 1.0, 2.0, -3.0, 0.7});
  const auto fraction = evaluate(x, completion(played, lengths));
  const auto by_hand = expected(x, {.4, .8, .7999, 1, 0, 0}, {1, 1, 1, 1, 0, 0});
  CHECK(tolerance::within(fraction.loss, by_hand.loss, tolerance::iterative<double>(6, 3)));
  CHECK(fraction.gradient(4, 0) == 0);
  CHECK(fraction.gradient(5, 0) == 0);

  const auto finished =
      evaluate(x, completion(played, lengths, {.target = completion_target::finished}));
  CHECK(finished.loss == expected(x, {0, 1, 0, 1, 0, 0}, {1, 1, 1, 1, 0, 0}).loss);
}

TEST_CASE("completion_loss: exactly 80 % is finished, in any unit, and a millisecond less is not",
          "[loss]") {
  // Lengths up to ten minutes, all whole numbers of milliseconds of which four fifths are whole too.
  const auto finished = [](auto scalar, double per_unit, int less) {
    using t = decltype(scalar);
    std::vector<t> played, lengths;
    for (int fifth = 1; fifth <= 120000; ++fifth) {
      played.push_back(static_cast<t>((4 * fifth - less) / per_unit));
      lengths.push_back(static_cast<t>(5 * fifth / per_unit));
    }
    const auto found = evaluate(funnel::matrix<t>(120000, 1), [&](auto& context, const auto& z) {
      return funnel::completion_loss(context, z, played, lengths,
                                     {.target = completion_target::finished});
    });
    return std::ranges::count_if(found.gradient.flat(), [](t slope) { return slope < 0; });
  };
  for (const double per_unit : {1., 1000., 60000.}) {  // milliseconds, seconds, minutes
    CHECK(finished(float(), per_unit, 0) == 120000);
    CHECK(finished(float(), per_unit, 1) == 0);
    CHECK(finished(double(), per_unit, 0) == 120000);
    CHECK(finished(double(), per_unit, 1) == 0);
  }
}

TEST_CASE("completion_loss: other thresholds are as exact, and none overflows", "[loss]") {
  const auto finishes = [](auto played, auto at, auto length) {
    return funnel::detail::reaches(played, at, length);
  };
  for (int percent = 1; percent <= 150; ++percent)
    for (int length = 1; length <= 3000; ++length) {
      const auto exact = [&](auto scalar, int less) {
        using t = decltype(scalar);
        return finishes(static_cast<t>((percent * length - less) / 1000.),
                        static_cast<t>(percent / 100.), static_cast<t>(length / 10.));
      };
      if (!exact(float(), 0) || exact(float(), 1) || !exact(double(), 0) || exact(double(), 1))
        FAIL(percent << " % of " << length);
    }
  const double most = std::numeric_limits<double>::max();
  CHECK(finishes(most, 1., most));
  CHECK_FALSE(finishes(most, 2., most));
  CHECK(finishes(0., .8, 0.));
}

TEST_CASE("completion_loss: exactly 80 % is finished, at any length", "[loss]") {
  const auto all_finished = [](auto scalar) {
    using t = decltype(scalar);
    std::vector<t> played, lengths;
    for (int fifth = 1; fifth <= 2000; ++fifth) {
      played.push_back(static_cast<t>(4 * fifth));
      lengths.push_back(static_cast<t>(5 * fifth));
    }
    const auto found = evaluate(funnel::matrix<t>(2000, 1), [&](auto& context, const auto& z) {
      return funnel::completion_loss(context, z, played, lengths,
                                     {.target = completion_target::finished});
    });
    for (const t slope : found.gradient.flat()) {
      if (!(slope < 0)) return false;  // label 0
    }
    return true;
  };
  CHECK(all_finished(float()));
  CHECK(all_finished(double()));
}

TEST_CASE("completion_loss: a head learns the mean fraction", "[loss]") {
  const std::vector<double> played = {4, 30, 0, 9}, lengths = {10, 20, 15, 10};
  const double z = minimizer(4, completion(played, lengths));
  CHECK(tolerance::within(1 / (1 + std::exp(-z)), (.4 + 1 + 0 + .9) / 4,
                          tolerance::iterative<double>(100, 1)));
}

TEST_CASE("completion_loss: gradients, weights, nothing to learn from", "[loss]") {
  const std::vector<double> played = {4, 8, 20, 3}, lengths = {10, 9, 10, 0};
  const std::vector<double> weights = {1, .5, 2, 1};
  const auto x = column({0.1, -0.5, 1.0, 2.0});
  check_gradient(x, completion(played, lengths, {.weights = weights}));
  check_gradient(x, completion(played, lengths, {.target = completion_target::finished}));
  const std::vector<double> unknown = {0, 0, 0, -3};
  const auto none = evaluate(x, completion(played, unknown));
  CHECK(none.loss == 0);
  for (const double slope : none.gradient.flat()) CHECK(slope == 0);
}

TEST_CASE("completion_loss: errors", "[loss]") {
  const auto two = column({0.0, 1.0});
  const auto error = [&](const std::vector<double>& played, const std::vector<double>& lengths,
                         const completion_options<double>& options = {}) {
    return error_of(two, completion(played, lengths, options));
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(contains(error({1, -1}, {2, 2}), "funnel::completion_loss: played[1] is -1"));
  CHECK(contains(error({nan, 1}, {2, 2}), "played[0] is nan"));
  CHECK(contains(error({1, 1}, {2, nan}), "lengths[1] is nan"));
  CHECK(contains(error({1}, {2, 2}), "played has 1 value, expected 2"));
  CHECK(contains(error({1, 1}, {2}), "lengths has 1 value, expected 2"));
  CHECK(contains(error({1, 1}, {2, 2}, {.finished_fraction = 0}), "finished_fraction is 0"));
}
