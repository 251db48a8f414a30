// SPDX-License-Identifier: MIT
#include <funnel/core/math.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <limits>
#include <vector>

using funnel::log_sum_exp;
using funnel::logit;
using funnel::sigmoid;
using funnel::softplus;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

template <class T>
T sum_exp(const std::vector<T>& x) {
  return log_sum_exp(x);
}

/// A relative error of a few units in the last place of T.
template <class T>
bool close(T value, long double exact) {
  const auto expected = static_cast<double>(exact);
  return tolerance::within(static_cast<double>(value), expected,
                           tolerance::elementwise<T>(expected));
}

}  // namespace

TEST_CASE("math: known values") {
  CHECK(sigmoid(0.) == 0.5);
  CHECK(close(sigmoid(std::log(3.)), 0.75L));
  CHECK(close(softplus(0.), std::log(2.0L)));
  CHECK(logit(0.5) == 0);
  CHECK(close(logit(0.75), std::log(3.0L)));
  CHECK(close(sum_exp<double>({0, 0, 0, 0}), std::log(4.0L)));
  CHECK(close(sum_exp<double>({std::log(1.), std::log(2.), std::log(3.)}), std::log(6.0L)));
}

TEMPLATE_TEST_CASE("math: against the definitions in long double", "", float, double) {
  for (const TestType x : random_values<TestType>(2000, 1, -80, 80)) {
    const long double e = std::exp(static_cast<long double>(x));
    INFO("x = " << x);
    CHECK(close(sigmoid(x), e / (1 + e)));
    CHECK(close(softplus(x), std::log1p(e)));
  }
  for (const TestType p : random_values<TestType>(2000, 2, 0.001, 0.999)) {
    const long double exact = p;
    INFO("p = " << p);
    // ln p and ln(1 - p) cancel around 1/2.
    const auto logs = static_cast<double>(std::abs(std::log(exact)) + std::abs(std::log1p(-exact)));
    CHECK(tolerance::within(static_cast<double>(logit(p)),
                            static_cast<double>(std::log(exact) - std::log1p(-exact)),
                            tolerance::elementwise<TestType>(logs)));
  }
}

TEST_CASE("math: identities") {
  for (const double x : random_values<double>(2000, 3, -30, 30)) {
    INFO("x = " << x);
    CHECK(tolerance::within(sigmoid(-x), 1 - sigmoid(x), tolerance::elementwise<double>(1)));
    CHECK(tolerance::within(softplus(x) - softplus(-x), x, tolerance::elementwise<double>(30)));
    CHECK(
        tolerance::within(std::log(sigmoid(x)), -softplus(-x), tolerance::elementwise<double>(30)));
  }
  for (const double x : random_values<double>(2000, 4, -10, 10)) {
    // Near 1 a probability has lost its distance to 1: the logit moves by 1 / (1 - p) units of it.
    CHECK(tolerance::within(logit(sigmoid(x)), x,
                            tolerance::elementwise<double>(2 + std::exp(std::abs(x)))));
  }
}

TEST_CASE("math: far values neither overflow nor lose their sign") {
  CHECK(sigmoid(1000.) == 1);
  CHECK(sigmoid(-1000.) == 0);
  CHECK(sigmoid(-740.) > 0);  // where e^740 is infinite
  CHECK(sigmoid(-100.f) > 0);
  CHECK(sigmoid(infinity) == 1);
  CHECK(sigmoid(-infinity) == 0);
  CHECK(std::isnan(sigmoid(not_a_number)));
  CHECK(softplus(1000.) == 1000);
  CHECK(softplus(-1000.) == 0);
  CHECK(softplus(infinity) == infinity);
  CHECK(softplus(-infinity) == 0);
  CHECK(std::isnan(softplus(not_a_number)));
  CHECK(logit(0.) == -infinity);
  CHECK(logit(1.) == infinity);
  CHECK(std::isnan(logit(not_a_number)));
  CHECK(softplus(-80.f) > 0);
}

TEST_CASE("log_sum_exp: shifts, order and special values") {
  const std::vector<double> x = random_values<double>(17, 5, -3, 3);
  long double direct = 0;
  for (const double value : x) direct += std::exp(static_cast<long double>(value));
  const double exact = static_cast<double>(std::log(direct));
  const double bound = tolerance::reduction<double>(x.size(), 1);
  CHECK(tolerance::within(sum_exp(x), exact, bound));
  for (const double shift : {-5000., 5000.}) {
    std::vector<double> shifted = x;
    for (double& value : shifted) value += shift;
    CHECK(tolerance::within(sum_exp(shifted), exact + shift,
                            bound + tolerance::elementwise<double>(shift)));
  }

  CHECK(sum_exp<double>({}) == -infinity);
  CHECK(sum_exp<double>({-infinity, -infinity}) == -infinity);
  CHECK(sum_exp<double>({-infinity, 2}) == 2);
  CHECK(sum_exp<double>({infinity, 2}) == infinity);
  for (const std::vector<double>& with_nan : {std::vector<double>{not_a_number},
                                              {not_a_number, 1},
                                              {1, not_a_number},
                                              {not_a_number, -infinity},
                                              {-infinity, not_a_number},
                                              {not_a_number, infinity},
                                              {infinity, not_a_number}}) {
    CHECK(std::isnan(sum_exp(with_nan)));
  }
}
