// SPDX-License-Identifier: MIT
#include <funnel/calibration/platt.hpp>

#include "calibration/samples.hpp"
#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace {

double loss(const sample& rows, double a, double b) {
  double sum = 0;
  for (std::size_t i = 0; i < rows.logits.size(); ++i) {
    const double z = a * rows.logits[i] + b;
    sum += std::log1p(std::exp(-std::abs(z))) + std::max(z, 0.) - rows.labels[i] * z;
  }
  return sum / static_cast<double>(rows.logits.size());
}

}  // namespace

TEST_CASE("fit_platt: two points of known rates are met exactly") {
  // Rate 1/5 at z = 0 and 4/5 at z = 1: b = -ln 4, a = 2 ln 4.
  const sample rows{{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}, {1, 0, 0, 0, 0, 1, 1, 1, 1, 0}};
  const auto fit = funnel::fit_platt(rows.logits, rows.labels, {.tolerance = 1e-14});
  CHECK(fit.converged);
  CHECK(tolerance::within(fit.b, -std::log(4.), tolerance::iterative<double>(10, 2)));
  CHECK(tolerance::within(fit.a, 2 * std::log(4.), tolerance::iterative<double>(10, 3)));
  CHECK(tolerance::within(fit.probability(1.), .8, tolerance::iterative<double>(10, 1)));
  CHECK(tolerance::within(fit.logit(0.), -std::log(4.), tolerance::iterative<double>(10, 2)));
  // The same of soft labels.
  const auto soft = funnel::fit_platt(doubles{0, 1}, doubles{.2, .8}, {.tolerance = 1e-14});
  CHECK(soft.converged);
  CHECK(tolerance::within(soft.a, fit.a, tolerance::iterative<double>(10, 3)));
}

TEST_CASE("fit_platt: finds what the labels were drawn with") {
  const auto rows = draw(20000, .6, -1.5, 1);
  const auto fit = funnel::fit_platt(rows.logits, rows.labels);
  REQUIRE(fit.converged);
  CHECK(fit.iterations <= 10);
  const auto [level, slope] = gradient(rows, fit.a, fit.b);
  const double asked = funnel::platt_options().tolerance;
  CHECK(tolerance::within(level, 0, tolerance::promised(1, asked)));
  CHECK(tolerance::within(slope, 0, tolerance::promised(4, asked)));  // deviation 2, mean -1
  // The deviation of either by Fisher information is below 4 / sqrt(n).
  CHECK(tolerance::within(fit.a, .6, tolerance::statistical(4, rows.logits.size())));
  CHECK(tolerance::within(fit.b, -1.5, tolerance::statistical(4, rows.logits.size())));
  const double best = loss(rows, fit.a, fit.b);
  for (double da : {-.01, 0., .01})
    for (double db : {-.01, 0., .01})
      if (da != 0 || db != 0) CHECK(loss(rows, fit.a + da, fit.b + db) > best);

  const std::vector<float> z(rows.logits.begin(), rows.logits.end());
  const std::vector<float> y(rows.labels.begin(), rows.labels.end());
  const auto narrow = funnel::fit_platt(z, y);
  CHECK(narrow.converged);
  CHECK(tolerance::within(narrow.a, fit.a, tolerance::iterative<float>(1, 1)));
}

TEST_CASE("fit_platt: converges from logits of any scale and place") {
  const auto rows = draw(500, -.8, .3, 2);
  const auto fit = funnel::fit_platt(rows.logits, rows.labels);
  REQUIRE(fit.converged);
  for (const double scale : {1e-6, 1e3, 1e6})
    for (const double shift : {0., 1e4}) {
      sample moved = rows;
      for (double& z : moved.logits) z = scale * (z + shift);
      const auto other = funnel::fit_platt(moved.logits, moved.labels);
      CHECK(other.converged);
      // Fits to a gradient of 1e-10 agree to about that over the curvature, and shifts lose digits.
      CHECK(tolerance::within(other.a * scale, fit.a, tolerance::promised(1e-7, fit.a)));
      CHECK(tolerance::within(other.logit(moved.logits[7]), fit.logit(rows.logits[7]),
                              tolerance::promised(1e-7, 1)));
    }
}

TEST_CASE("fit_platt: separated classes have no best slope, smoothing gives them one") {
  const doubles logits{-2, -1, 1, 2};
  for (const doubles& labels : {doubles{0, 0, 1, 1}, doubles{1, 1, 0, 0}, doubles{1, 1, 1, 1},
                                doubles{0, 0, 0, 0}, doubles{0, .5, 1, 1}}) {
    const auto fit = funnel::fit_platt(logits, labels);
    CHECK_FALSE(fit.converged);
    CHECK(fit.a == 1);
    CHECK(fit.b == 0);
    const auto smooth = funnel::fit_platt(logits, labels, {.smooth_labels = true});
    CHECK(smooth.converged);
    CHECK(std::isfinite(smooth.a));
  }
  // Platt's targets: 3/4 and 1/4 for two of each, so at -1 and 1 a = ln 3 is near.
  const auto two = funnel::fit_platt(doubles{-1, -1, 1, 1}, doubles{0, 0, 1, 1},
                                     {.tolerance = 1e-14, .smooth_labels = true});
  CHECK(tolerance::within(two.a, std::log(3.), tolerance::iterative<double>(10, 1)));
  CHECK(tolerance::within(two.b, 0, tolerance::iterative<double>(10, 1)));
}

TEST_CASE("fit_platt: equal logits keep their slope and are shifted") {
  const auto fit = funnel::fit_platt(doubles(4, .1), doubles{1, 0, 0, 0});
  CHECK(fit.converged);
  CHECK(fit.a == 1);
  CHECK(tolerance::within(fit.probability(.1), .25, tolerance::promised(1e-9, 1)));
  CHECK_FALSE(funnel::fit_platt(doubles{3}, doubles{1}).converged);
}

TEST_CASE("fit_platt: too few steps are reported") {
  const auto rows = draw(500, 2, 1, 3);
  const auto fit = funnel::fit_platt(rows.logits, rows.labels, {.max_iterations = 1});
  CHECK_FALSE(fit.converged);
  CHECK(fit.iterations == 1);
}

TEST_CASE("fit_platt: far outliers, from which Newton's whole steps would leave") {
  const sample rows{{.24, -746, 6.13, 5209, 1.92, 4724, 1.39, -28.7, 77.7, 1.59, .056},
                    {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}};
  CHECK(funnel::fit_platt(rows.logits, rows.labels).converged);
}

TEST_CASE("fit_platt: a row that a model has masked changes nothing") {
  const auto check = [](auto scalar, double scale, double shift) {
    using t = decltype(scalar);
    const auto fit = [](const std::vector<t>& z, const std::vector<t>& y) {
      return funnel::fit_platt(z, y);
    };
    with_masked_rows<t>(scale, shift, fit, [](const auto& plain, const auto& masked) {
      REQUIRE(plain.converged);
      CHECK(masked.converged);
      CHECK(masked.iterations < 30);
      // Fits to a gradient of 1e-10 agree to about that over the curvature.
      CHECK(tolerance::within(masked.a, plain.a, tolerance::promised(1e-7, plain.a)));
      CHECK(tolerance::within(masked.b, plain.b, tolerance::promised(1e-7, plain.b)));
    });
  };
  check(float(), 1, 0);
  check(double(), 1, 0);
  check(double(), 1, 20);
}

TEST_CASE("fit_platt: masked rows may be most of them") {
  const auto rows = draw(400, .65, -.3, 5);
  std::vector<float> logits(rows.logits.begin(), rows.logits.end());
  std::vector<float> labels(rows.labels.begin(), rows.labels.end());
  const auto plain = funnel::fit_platt(logits, labels);
  REQUIRE(plain.converged);
  for (const std::size_t masked : {399u, 400u, 401u, 3000u})
    for (const float far : {std::numeric_limits<float>::lowest(), -1e9f, -1e4f}) {
      std::vector<float> z = logits, y = labels;
      z.resize(logits.size() + masked, far);
      y.resize(z.size(), 0);
      const auto fit = funnel::fit_platt(z, y);
      CHECK(fit.converged);
      CHECK(tolerance::within(fit.a, plain.a, tolerance::promised(1e-6, plain.a)));
      CHECK(tolerance::within(fit.b, plain.b, tolerance::promised(1e-6, plain.b)));
    }
  // Two values, one of them of half the rows: met exactly.
  const std::vector<double> two{1, 1, 1, 1, 3, 3, 3}, seen{1, 0, 0, 0, 1, 1, 0};
  const auto fit = funnel::fit_platt(two, seen);
  CHECK(fit.converged);
  CHECK(tolerance::within(fit.probability(1.), 1. / 4, tolerance::promised(1e-8, 1)));
  CHECK(tolerance::within(fit.probability(3.), 2. / 3, tolerance::promised(1e-8, 1)));
}

TEST_CASE("fit_platt: a far row with the other label is fitted too, and it says so") {
  // The best slope is as good as 0 then: one row of a surely wrong logit costs more than all others.
  const auto rows = draw(1000, .65, -.3, 4);
  for (const double far : {1e5, 1e10, 1e30, 1e300})
    for (const double label : {1., .5}) {
      sample moved = rows;
      moved.logits.push_back(-far);
      moved.labels.push_back(label);
      const auto fit = funnel::fit_platt(moved.logits, moved.labels);
      CHECK(fit.converged);
      CHECK(std::abs(fit.a) < 1e-3);
      const double rate = fit.probability(moved.logits[0]);
      double mean = 0;
      for (const double y : rows.labels) mean += y / 1000;
      CHECK(tolerance::within(rate, mean, tolerance::promised(.01, 1)));
    }
}

TEST_CASE("fit_platt: an infinite a is not returned") {
  const double least = 5e-324;
  const auto fit = funnel::fit_platt(doubles{0, least, 0, least}, doubles{0, 1, 1, 1});
  CHECK_FALSE(fit.converged);
  CHECK(fit.a == 1);
  CHECK(fit.b == 0);
}

TEST_CASE("fit_platt: last steps whose gain the rounding of the loss hides") {
  CHECK(funnel::fit_platt(doubles{0, 1, -5, 4, 0, 0}, doubles{0, 0, 0, 1, 1, 1}).converged);
  CHECK(funnel::fit_platt(doubles{94, -2, 1, -6}, doubles{1, 0, 1, 1}).converged);
}

TEST_CASE("fit_platt: logits whose mean rounds to infinity") {
  constexpr double most = std::numeric_limits<double>::max();
  const doubles logits(3, most), labels{.75, 1, 1};
  CHECK(funnel::fit_platt(logits, labels).b == -most);
}

TEST_CASE("fit_platt: refuses what it cannot read") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses([] { funnel::fit_platt(doubles{}, doubles{}); }, "funnel::fit_platt",
                "logits is empty"));
  CHECK(refuses(
      [] {
        funnel::fit_platt(doubles{1}, doubles{1, 0});
      },
      "funnel::fit_platt", "labels has 2"));
  CHECK(refuses([&] { funnel::fit_platt(doubles{nan}, doubles{1}); }, "funnel::fit_platt",
                "logits[0]"));
}

TEST_CASE("platt_scaling: its state is loaded whole, or refused") {
  const sample rows = draw(300, .7, -.2, 5);
  const funnel::platt_scaling fit = funnel::fit_platt(rows.logits, rows.labels);
  const saved_state file(fit);
  funnel::platt_scaling loaded;
  file.load(loaded);
  CHECK(loaded.converged);
  CHECK(loaded.iterations == fit.iterations);
  for (const double z : {-3., 0., 1.5}) {
    CHECK(loaded.logit(z) == fit.logit(z));
    CHECK(loaded.probability(z) == fit.probability(z));
  }
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {std::nan(""), infinity}) {
    CHECK(refuses_state(loaded, file.with("a", doubles{bad}), "platt_scaling: a is"));
    CHECK(refuses_state(loaded, file.with("b", doubles{bad}), "platt_scaling: b is"));
  }
}

TEST_CASE("fit_platt and fit_bias: numbers of any type give the fit that doubles give") {
  const std::vector<int> logits{-3, 1, 2, 0, 4, -1, 0};
  const std::vector<std::uint8_t> labels{0, 1, 0, 0, 1, 1, 0};
  const doubles z(logits.begin(), logits.end()), y(labels.begin(), labels.end());
  const std::vector<float> narrow(logits.begin(), logits.end());
  const funnel::platt_scaling expected = funnel::fit_platt(z, y), bias = funnel::fit_bias(z, y);
  REQUIRE(expected.converged);
  for (const auto& fit : {funnel::fit_platt(logits, labels), funnel::fit_platt(narrow, labels),
                          funnel::fit_platt(std::span(z), labels)}) {
    CHECK(fit.a == expected.a);
    CHECK(fit.b == expected.b);
  }
  CHECK(funnel::fit_bias(logits, labels).b == bias.b);
  CHECK(refuses(
      [&] {
        funnel::fit_platt(logits, std::vector<int>{0, 2, 0, 0, 1, 1, 0});
      },
      "funnel::fit_platt", "labels[1] is 2"));
}
