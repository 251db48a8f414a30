// SPDX-License-Identifier: MIT
#include <funnel/calibration/fit_bias.hpp>

#include "calibration/samples.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

TEST_CASE("fit_bias: the mean estimate becomes the mean label, and the order stays") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto rows = draw(300, 1.3, static_cast<double>(seed) - 4, seed, 3);
    const auto fit = funnel::fit_bias(rows.logits, rows.labels);
    REQUIRE(fit.converged);
    CHECK(fit.iterations <= 8);
    CHECK(fit.a == 1);
    CHECK(tolerance::within(gradient(rows, 1, fit.b).first, 0,
                            tolerance::promised(1, funnel::platt_options().tolerance)));
  }
  // A shift is undone.
  const auto rows = draw(300, 1, 0, 9);
  doubles shifted = rows.logits;
  for (double& z : shifted) z += 25;
  const double plain = funnel::fit_bias(rows.logits, rows.labels).b;
  const auto fit = funnel::fit_bias(shifted, rows.labels);
  CHECK(fit.converged);
  CHECK(tolerance::within(fit.b, plain - 25, tolerance::promised(1e-7, 25)));
}

TEST_CASE("fit_bias: a start where sigma is flat, from which Newton alone would leave") {
  const doubles logits{0, 0, 0, 0, 100};
  const auto fit = funnel::fit_bias(logits, doubles{1, 1, .5, 0, 0});
  CHECK(fit.converged);
  double sum = 0;
  for (double z : logits) sum += fit.probability(z);
  CHECK(tolerance::within(sum, 2.5, tolerance::promised(5, funnel::platt_options().tolerance)));
}

TEST_CASE("fit_bias: a row that a model has masked changes nothing") {
  const auto check = [](auto scalar, double scale, double shift) {
    using t = decltype(scalar);
    const auto fit = [](const std::vector<t>& z, const std::vector<t>& y) {
      return funnel::fit_bias(z, y);
    };
    with_masked_rows<t>(scale, shift, fit, [](const auto& plain, const auto& masked) {
      REQUIRE(plain.converged);
      CHECK(masked.converged);
      CHECK(tolerance::within(masked.b, plain.b, tolerance::promised(1e-7, 1)));
    });
  };
  check(float(), 1, 0);
  check(double(), 1, 0);
  check(double(), 1, 20);
}

TEST_CASE("fit_bias: one class has no best b") {
  for (const double label : {0., 1.}) {
    const auto fit = funnel::fit_bias(doubles{1, 2}, doubles(2, label));
    CHECK_FALSE(fit.converged);
    CHECK(fit.b == 0);
    CHECK(funnel::fit_bias(doubles{1, 2}, doubles(2, label), {.smooth_labels = true}).converged);
  }
}

TEST_CASE("fit_bias: labels so small that their odds underflow") {
  const double least = 5e-324;
  const auto fit = funnel::fit_bias(doubles(5, 0.), doubles{least, 0, 0, 0, 0});
  CHECK(fit.converged);
  const double expected = std::log(least) - std::log(5.);
  CHECK(tolerance::within(fit.b, expected, tolerance::elementwise<double>(expected)));
}

TEST_CASE("fit_bias: logits whose mean rounds to infinity") {
  constexpr double most = std::numeric_limits<double>::max();
  const doubles logits(3, most), labels{.75, 1, 1};
  CHECK(funnel::fit_bias(logits, labels).b == -most);  // equal ones are shifted to about 0
}

TEST_CASE("fit_bias: refuses what it cannot read") {
  CHECK(refuses([] { funnel::fit_bias(doubles{}, doubles{}); }, "funnel::fit_bias",
                "logits is empty"));
  CHECK(refuses([] { funnel::fit_bias(doubles{1}, doubles{2}); }, "funnel::fit_bias",
                "labels[0] is 2"));
  CHECK(refuses([] { funnel::fit_bias(doubles{1}, doubles{1}, {.tolerance = 0}); },
                "funnel::fit_bias", "tolerance is 0"));
}
