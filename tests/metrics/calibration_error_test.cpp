// SPDX-License-Identifier: MIT
#include <funnel/metrics/calibration_error.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using doubles = std::vector<double>;
using floats = std::vector<float>;
using funnel::binning;

/// Straight from the definition, with a scan of all rows for each bin.
double direct_ece(const doubles& p, const doubles& y, std::size_t bins) {
  double sum = 0;
  for (std::size_t b = 0; b < bins; ++b) {
    double difference = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const auto place =
          std::min(static_cast<std::size_t>(std::floor(p[i] * double(bins))), bins - 1);
      if (place == b) difference += y[i] - p[i];
    }
    sum += std::abs(difference);
  }
  return sum / static_cast<double>(p.size());
}

}  // namespace

TEST_CASE("expected_calibration_error: worked by hand") {
  // Bins of width 1/2: {.1, .3} with one positive of 2, {.6, 1} with two of 2.
  const doubles p{.1, .6, .3, 1}, y{0, 1, 1, 1};
  const auto table = funnel::reliability_table(p, y, {.bins = 2});
  REQUIRE(table.size() == 2);
  CHECK(table[0].lower == 0);
  CHECK(table[0].upper == .5);
  CHECK(table[0].count == 2);
  CHECK(table[0].mean_prediction == .2);
  CHECK(table[0].mean_label == .5);
  CHECK(table[1].upper == 1);
  CHECK(table[1].count == 2);  // p = 1 is in the last bin
  CHECK(table[1].mean_prediction == .8);
  CHECK(table[1].mean_label == 1);
  CHECK(tolerance::within(funnel::expected_calibration_error(p, y, {.bins = 2}), .5 * .3 + .5 * .2,
                          tolerance::reduction<double>(4, 1)));
}

TEST_CASE("reliability_table: equal mass keeps equal predictions together") {
  const doubles p{.5, .1, .1, .1, .9, .1}, y{1, 0, 1, 0, 1, 0};
  const auto table = funnel::reliability_table(p, y, {.bins = 3, .binning = binning::equal_mass});
  REQUIRE(table.size() == 3);
  CHECK(table[0].count == 4);
  CHECK(table[0].lower == .1);
  CHECK(table[0].upper == .1);
  CHECK(table[0].mean_label == .25);
  CHECK(table[1].count == 0);
  CHECK(std::isnan(table[1].mean_label));
  CHECK(std::isnan(table[1].lower));
  CHECK(table[2].count == 2);
  CHECK(table[2].lower == .5);
  CHECK(table[2].upper == .9);
}

TEST_CASE("reliability_table: equal mass does not add few small predictions to many equal ones") {
  const doubles p{.9, .1, .9, .9, .1, .9}, y{1, 0, 1, 1, 0, 1};
  const auto table = funnel::reliability_table(p, y, {.bins = 2, .binning = binning::equal_mass});
  CHECK(table[0].count == 2);
  CHECK(table[0].upper == .1);
  CHECK(table[1].count == 4);
  CHECK(table[1].lower == .9);
}

TEST_CASE("reliability_table: a prediction lies between the bounds of its bin") {
  const doubles none{0};
  CHECK(funnel::reliability_table(doubles{.58}, none, {.bins = 50})[29].count == 1);
  const auto check = [&](auto scalar, double p, std::size_t bins) {
    using t = decltype(scalar);
    const std::vector<t> one{static_cast<t>(p)}, label{0};
    const auto table = funnel::reliability_table(one, label, {.bins = bins});
    REQUIRE(table.front().lower == 0);
    REQUIRE(table.back().upper == 1);
    for (std::size_t b = 0; b < bins; ++b) {
      const double value = static_cast<double>(one[0]);
      const bool inside =
          table[b].lower <= value && (value < table[b].upper || (value == 1 && b + 1 == bins));
      const bool joined = b == 0 || table[b].lower == table[b - 1].upper;
      if (!joined || table[b].count != inside) FAIL(p << " in bin " << b << " of " << bins);
    }
  };
  for (std::size_t bins = 1; bins <= 120; ++bins)
    for (std::size_t k = 0; k <= bins; ++k) {
      const double p = static_cast<double>(k) / static_cast<double>(bins);
      for (const double near : {p, std::nextafter(p, 0.), std::nextafter(p, 1.)}) {
        check(double(), near, bins);
        check(float(), near, bins);
      }
    }
}

TEST_CASE("expected_calibration_error: equals the definition, in any order of rows") {
  funnel::random_generator bits(5);
  for (std::size_t n : {1u, 9u, 10u, 11u, 200u}) {
    doubles p(n), y(n);
    for (std::size_t i = 0; i < n; ++i) {
      p[i] = static_cast<double>(funnel::uniform_below(bits, 65)) / 64;
      y[i] = i % 2 == 0 ? funnel::uniform01(bits) : double(funnel::bernoulli(bits, .3));
    }
    for (std::size_t bins : {1u, 2u, 10u, 16u}) {
      const double bound = tolerance::reduction<double>(n, 1);
      const double expected = direct_ece(p, y, bins);
      CHECK(tolerance::within(funnel::expected_calibration_error(p, y, {.bins = bins}), expected,
                              bound));
      const floats fp(p.begin(), p.end()), fy(y.begin(), y.end());
      CHECK(tolerance::within(funnel::expected_calibration_error(fp, fy, {.bins = bins}), expected,
                              tolerance::elementwise<float>(1)));

      const funnel::calibration_error_options mass{.bins = bins, .binning = binning::equal_mass};
      const auto table = funnel::reliability_table(p, y, mass);
      std::size_t count = 0;
      double last = -1;
      for (const auto& bin : table) {
        count += bin.count;
        if (bin.count == 0) continue;
        CHECK(bin.lower > last);
        last = bin.upper;
      }
      CHECK(count == n);
      const double by_mass = funnel::expected_calibration_error(p, y, mass);
      doubles q(n), z(n);
      std::vector<std::size_t> order(n);
      std::iota(order.begin(), order.end(), 0u);
      funnel::shuffle(bits, order);
      for (std::size_t i = 0; i < n; ++i) {
        q[i] = p[order[i]];
        z[i] = y[order[i]];
      }
      CHECK(tolerance::within(funnel::expected_calibration_error(q, z, mass), by_mass, bound));
    }
  }
}

TEST_CASE("expected_calibration_error: equal masses differ by one row") {
  funnel::random_generator bits(6);
  doubles p(103), y(103);
  for (double& v : p) v = funnel::uniform01(bits);  // no ties
  for (const auto& bin :
       funnel::reliability_table(p, y, {.bins = 10, .binning = binning::equal_mass}))
    CHECK((bin.count == 10 || bin.count == 11));
}

TEST_CASE("expected_calibration_error: one bin is the gap of the means, PCOC its ratio") {
  const doubles p{.2, .4, .9}, y{0, 1, 1};
  CHECK(tolerance::within(funnel::expected_calibration_error(p, y, {.bins = 1}), .5 / 3,
                          tolerance::reduction<double>(3, 1)));
  CHECK(funnel::pcoc(p, y) == .75);
}

TEST_CASE("expected_calibration_error: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::expected_calibration_error(floats{}, floats{})));
  CHECK(refuses([] { funnel::reliability_table(floats{}, floats{}, {.bins = 0}); },
                "funnel::reliability_table", "bins is 0"));
  CHECK(refuses([] { funnel::reliability_table(floats{}, floats{}, {.bins = SIZE_MAX}); },
                "funnel::reliability_table", "bins is 18446744073709551615"));
  CHECK(refuses([] { funnel::reliability_table(floats{1}, floats{}); }, "funnel::reliability_table",
                "labels has 0"));
  CHECK(refuses([] { funnel::reliability_table(floats{2}, floats{1}); },
                "funnel::reliability_table", "probabilities[0] is 2"));
  CHECK(refuses([] { funnel::reliability_table(floats{1}, floats{-1}); },
                "funnel::reliability_table", "labels[0] is -1"));
}

TEST_CASE("pcoc: worked by hand") {
  CHECK(funnel::pcoc(floats{.5f, .25f}, floats{1, 0}) == .75);
  CHECK(funnel::pcoc(std::vector{30., 30.}, std::vector{10., 110.}) == .5);
}

TEST_CASE("pcoc: scales with its inputs") {
  funnel::random_generator bits(4);
  doubles predictions(50), targets(50);
  for (std::size_t i = 0; i < 50; ++i) {
    predictions[i] = funnel::standard_exponential(bits);
    targets[i] = funnel::standard_exponential(bits);
  }
  const double ratio = funnel::pcoc(predictions, targets);
  for (double& p : predictions) p *= 4;
  CHECK(funnel::pcoc(predictions, targets) == 4 * ratio);
  for (double& t : targets) t *= 4;
  CHECK(funnel::pcoc(predictions, targets) == ratio);
}

TEST_CASE("pcoc: sums are taken in double") {
  // In float a sum of a million equal values drifts by up to 1 %, and not by the same part.
  const floats predictions(1000000, .1f), targets(1000000, .7f);
  const double ratio = static_cast<double>(.1f) / static_cast<double>(.7f);
  CHECK(tolerance::within(funnel::pcoc(predictions, targets), ratio,
                          tolerance::reduction<double>(predictions.size(), ratio)));
}

TEST_CASE("pcoc: numbers whose sums are beyond the largest one") {
  const double most = std::numeric_limits<double>::max();
  const doubles up{most, most, most}, half(3, most / 2);
  CHECK(funnel::pcoc(up, half) == 2);
  CHECK(funnel::pcoc(half, up) == .5);
}

TEST_CASE("pcoc: what has no value, and what is refused") {
  CHECK(std::isnan(funnel::pcoc(floats{}, floats{})));
  CHECK(std::isnan(funnel::pcoc(floats{1}, floats{0})));
  CHECK(refuses([] { funnel::pcoc(floats{1}, floats{1, 2}); }, "funnel::pcoc", "targets has 2"));
}
