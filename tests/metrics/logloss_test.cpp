// SPDX-License-Identifier: MIT
#include <funnel/metrics/logloss.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using floats = std::vector<float>;
using doubles = std::vector<double>;

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("logloss_from_logits: a mean whose sum is beyond the largest number") {
  const double most = std::numeric_limits<double>::max();
  const std::vector<double> logits{most, most, -most, 0}, labels{0, 0, 1, .5};
  const double exact = .75 * most;
  CHECK(tolerance::within(funnel::logloss_from_logits(logits, labels), exact,
                          tolerance::elementwise<double>(exact)));
}

TEST_CASE("logloss: worked by hand") {
  const double expected = -(std::log(.8) + std::log(1 - .4)) / 2;
  CHECK(tolerance::within(funnel::logloss(doubles{.8, .4}, doubles{1, 0}), expected,
                          tolerance::elementwise<double>(expected)));
  // The golden values of a soft target: y = .8 at z = 0 costs ln 2.
  CHECK(
      tolerance::within(funnel::logloss(doubles{.5}, doubles{.8}), .693147, tolerance::printed(6)));
  CHECK(tolerance::within(funnel::logloss_from_logits(doubles{0}, doubles{.8}), .693147,
                          tolerance::printed(6)));
}

TEST_CASE("logloss: sure and wrong is clipped, sure and right costs nothing much") {
  const double most = -std::log(1e-15);
  CHECK(tolerance::within(funnel::logloss(floats{0}, floats{1}), most,
                          tolerance::elementwise<double>(most)));
  CHECK(tolerance::within(funnel::logloss(floats{1}, floats{0}), most,
                          tolerance::elementwise<double>(most)));
  CHECK(funnel::logloss(floats{1, 0}, floats{1, 0}) == 0);
}

TEST_CASE("logloss: logits are not clipped and never overflow") {
  CHECK(funnel::logloss_from_logits(doubles{-5000}, doubles{1}) == 5000);
  CHECK(funnel::logloss_from_logits(doubles{5000}, doubles{0}) == 5000);
  CHECK(funnel::logloss_from_logits(doubles{5000}, doubles{1}) == 0);
  const double rare = std::exp(-40.);  // 1e-15 would hide it
  CHECK(tolerance::within(funnel::logloss_from_logits(doubles{40}, doubles{1}), rare,
                          tolerance::elementwise<double>(rare)));
}

TEST_CASE("logloss: logits and probabilities agree") {
  funnel::random_generator bits(3);
  for (std::size_t n : {1u, 7u, 64u}) {
    doubles logits(n), probabilities(n), labels(n);
    double naive = 0;
    for (std::size_t i = 0; i < n; ++i) {
      logits[i] = 4 * funnel::standard_normal(bits);
      probabilities[i] = 1 / (1 + std::exp(-logits[i]));
      labels[i] = i % 2 == 0 ? funnel::uniform01(bits) : double(funnel::bernoulli(bits, .5));
      naive -=
          labels[i] * std::log(probabilities[i]) + (1 - labels[i]) * std::log(1 - probabilities[i]);
    }
    naive /= static_cast<double>(n);
    // 1 - p loses digits where p is close to 1: exp(15) ulp bounds it here.
    const double bound = tolerance::elementwise<double>(1, std::exp(15.));
    CHECK(tolerance::within(funnel::logloss(probabilities, labels), naive, bound));
    CHECK(tolerance::within(funnel::logloss_from_logits(logits, labels), naive, bound));
  }
}

TEST_CASE("normalized_entropy: the base rate has 1, whatever it is") {
  for (const double positives : {1., 5., 9.}) {
    doubles labels(10), probabilities(10, positives / 10);
    for (std::size_t i = 0; i < 10; ++i) labels[i] = static_cast<double>(i) < positives ? 1 : 0;
    CHECK(tolerance::within(funnel::normalized_entropy(probabilities, labels), 1,
                            tolerance::reduction<double>(10, 1)));
    const doubles logits(10, std::log(positives / (10 - positives)));
    CHECK(tolerance::within(funnel::normalized_entropy_from_logits(logits, labels), 1,
                            tolerance::reduction<double>(10, 1)));
  }
  // Half the base entropy: H(1/2) = ln 2 against sqrt(2) a row.
  const double p = std::sqrt(.5);
  CHECK(tolerance::within(funnel::normalized_entropy(doubles{p, 1 - p}, doubles{1, 0}), .5,
                          tolerance::reduction<double>(2, 1)));
}

TEST_CASE("logloss: small probabilities keep their digits") {
  for (const double p : {1e-14, 1e-12, 1e-5}) {
    CHECK(tolerance::within(funnel::logloss(doubles{p}, doubles{0}), -std::log1p(-p),
                            tolerance::elementwise<double>(p)));
  }
  for (const double rate : {1e-17, 1e-8}) {
    const doubles logits{std::log(rate) - std::log1p(-rate)};
    CHECK(tolerance::within(funnel::normalized_entropy_from_logits(logits, doubles{rate}), 1,
                            tolerance::reduction<double>(40, 1)));
    CHECK(tolerance::within(funnel::normalized_entropy(doubles{rate}, doubles{rate}), 1,
                            tolerance::reduction<double>(1, 1)));
  }
}

TEST_CASE("logloss: what has no value") {
  CHECK(std::isnan(funnel::logloss(floats{}, floats{})));
  CHECK(std::isnan(funnel::logloss_from_logits(floats{}, floats{})));
  CHECK(std::isnan(funnel::normalized_entropy(floats{}, floats{})));
  CHECK(std::isnan(funnel::normalized_entropy(floats{.5f, .5f}, floats{1, 1})));
  CHECK(std::isnan(funnel::normalized_entropy_from_logits(floats{.5f}, floats{0})));
}

TEST_CASE("logloss: refuses what it cannot read") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses(
      [] {
        funnel::logloss(doubles{1}, doubles{1, 0});
      },
      "funnel::logloss", "labels has 2"));
  CHECK(refuses([] { funnel::logloss(doubles{1.5}, doubles{1}); }, "funnel::logloss",
                "probabilities[0] is 1.5"));
  CHECK(refuses([&] { funnel::logloss(doubles{nan}, doubles{1}); }, "funnel::logloss",
                "probabilities[0]"));
  CHECK(refuses([] { funnel::logloss(doubles{1}, doubles{-1}); }, "funnel::logloss",
                "labels[0] is -1"));
  CHECK(refuses([] { funnel::logloss_from_logits(doubles{infinity}, doubles{1}); },
                "funnel::logloss_from_logits", "logits[0]"));
  CHECK(refuses([] { funnel::logloss_from_logits(doubles{1}, doubles{2}); },
                "funnel::logloss_from_logits", "labels[0]"));
  CHECK(refuses([] { funnel::logloss_from_logits(doubles{1}, doubles{}); },
                "funnel::logloss_from_logits", "labels has"));
}
