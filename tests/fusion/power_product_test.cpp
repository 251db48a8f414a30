// SPDX-License-Identifier: MIT
#include <funnel/fusion/power_product.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"
#include "support/saved_state.hpp"
#include "support/tolerance.hpp"

#include <funnel/core/random.hpp>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using doubles = std::vector<double>;
using funnel::fused_scale;

const double nan_estimate = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("power_product: with powers 1 the expected sales of an impression") {
  const funnel::power_product<4, double> sales{.scale = fused_scale::product};
  const doubles estimates{.1, .2, .5, 30};  // click, cart, pay, price
  CHECK(tolerance::within(sales(estimates), .3, tolerance::iterative<double>(4, .3)));
  const funnel::power_product<4, double> logarithm;
  CHECK(tolerance::within(logarithm(estimates), std::log(.3), tolerance::iterative<double>(4, 5)));
}

TEST_CASE("power_product: powers, floors and absent factors") {
  const funnel::power_product<3, double> formula{
      .terms = {{{.power = 2}, {.power = 0}, {.power = -.5, .floor = .01}}},
      .scale = fused_scale::product};
  CHECK(tolerance::within(formula(doubles{.5, nan_estimate, 4}), .125,
                          tolerance::iterative<double>(3, 1)));
  // A price of 0, or below, counts as its floor.
  CHECK(tolerance::within(formula(doubles{.5, 7, 0}), 2.5, tolerance::iterative<double>(3, 3)));
  CHECK(formula(doubles{.5, 7, -3}) == formula(doubles{.5, 7, 0}));
  // A rate of 0 brings the score down, but keeps an order among such.
  const double low = formula(doubles{0, 0, 4}), lower = formula(doubles{0, 0, 9});
  CHECK(low > lower);
  CHECK(lower > 0);
  CHECK(std::isnan(formula(doubles{nan_estimate, 1, 1})));
  CHECK(std::isnan(formula(doubles{1, 1, nan_estimate})));
}

TEST_CASE("product_of_shifted_powers: worked by hand") {
  const funnel::product_of_shifted_powers<2, double> formula{
      .terms = {{{.weight = 2, .power = 2}, {.weight = 15, .power = .5}}},
      .scale = fused_scale::product};
  CHECK(tolerance::within(formula(doubles{.5, 1}), 16, tolerance::iterative<double>(2, 16)));
  CHECK(tolerance::within(formula(doubles{0, 1}), 4, tolerance::iterative<double>(2, 4)));
  CHECK(formula(doubles{0, 0}) == 1);
}

TEST_CASE("product_of_shifted_powers: small estimates keep their digits") {
  const funnel::product_of_shifted_powers<1, double> formula;
  CHECK(tolerance::within(formula(doubles{1e-18}), 1e-18, tolerance::elementwise<double>(1e-18)));
}

TEST_CASE("product_of_shifted_powers: absent factors, NaN, and what is out of range") {
  const funnel::product_of_shifted_powers<3, double> formula{
      .terms = {{{.weight = 1}, {.weight = 0}, {.power = 0}}}};
  CHECK(formula(doubles{1, nan_estimate, -5}) == std::log1p(1.));
  CHECK(std::isnan(formula(doubles{nan_estimate, 0, 0})));
  CHECK(std::isnan(formula(doubles{-1.5, 0, 0})));
  CHECK(formula(doubles{-1, 0, 0}) == -std::numeric_limits<double>::infinity());
}

TEST_CASE("power_product, product_of_shifted_powers: the logarithm and the product give the order "
          "of a plain product") {
  funnel::random_generator bits(1);
  for (int round = 0; round < 100; ++round) {
    funnel::power_product<3, double> power;
    funnel::product_of_shifted_powers<3, double> shifted;
    doubles estimates(3);
    double plain = 1, plain_shifted = 1;
    for (std::size_t k = 0; k < 3; ++k) {
      estimates[k] = .01 + funnel::uniform01(bits);
      power.terms[k].power = funnel::standard_normal(bits);
      shifted.terms[k].weight = funnel::standard_exponential(bits);
      shifted.terms[k].power = funnel::standard_normal(bits);
      plain *= std::pow(estimates[k], power.terms[k].power);
      plain_shifted *= std::pow(1 + shifted.terms[k].weight * estimates[k], shifted.terms[k].power);
    }
    CHECK(
        tolerance::within(power(estimates), std::log(plain), tolerance::iterative<double>(8, 20)));
    CHECK(tolerance::within(shifted(estimates), std::log(plain_shifted),
                            tolerance::iterative<double>(8, 20)));
    power.scale = shifted.scale = fused_scale::product;
    CHECK(tolerance::within(power(estimates), plain, tolerance::iterative<double>(20, plain)));
    CHECK(tolerance::within(shifted(estimates), plain_shifted,
                            tolerance::iterative<double>(20, plain_shifted)));
    // In float: the logarithm is taken in double and rounded once.
    funnel::product_of_shifted_powers<3> narrow;
    const std::vector<float> rounded(estimates.begin(), estimates.end());
    const double expected = std::log1p(double(rounded[0])) + std::log1p(double(rounded[1])) +
                            std::log1p(double(rounded[2]));
    CHECK(tolerance::within(double(narrow(rounded)), expected,
                            tolerance::elementwise<float>(expected, 1)));
  }
}

TEST_CASE("power_product: the logarithm does not overflow where the product does") {
  funnel::power_product<2> formula{.terms = {{{.power = 20}, {.power = 20}}}};
  const std::vector<float> large{1e3f, 1e3f}, larger{1e3f, 2e3f};
  CHECK(formula(large) < formula(larger));
  formula.scale = fused_scale::product;
  CHECK(std::isinf(formula(large)));
}

TEST_CASE("power_product: refuses a floor that has no logarithm") {
  const funnel::power_product<2> formula{.terms = {{{}, {.floor = 0}}}};
  CHECK(refuses([&] { formula.check(2); }, "funnel::power_product", "terms[1].floor is 0"));
  const funnel::power_product<2> absent{.terms = {{{}, {.power = 0, .floor = 0}}}};
  absent.check(2);
}

TEST_CASE("products of powers: their state has every number, and is refused out of range") {
  const funnel::power_product<2, double> product{
      .terms = {{{.power = 2, .floor = .01}, {.power = 0, .floor = 0}}},
      .scale = funnel::fused_scale::product};
  const saved_state file(product);
  funnel::power_product<2, double> loaded;
  file.load(loaded);
  CHECK(saved_state(loaded) == file);
  CHECK(loaded(std::array{.5, 3.}) == product(std::array{.5, 3.}));
  CHECK(refuses_state(loaded, file.with("terms.0.floor", std::vector{0.}), "terms[0].floor is 0"));
  CHECK(refuses_state(loaded, file.with("scale", std::vector{2}), "power_product: scale is 2"));

  const funnel::product_of_shifted_powers<1, double> shifted{
      .terms = {{{.weight = 3, .power = .5}}}, .scale = funnel::fused_scale::product};
  const saved_state shifted_file(shifted);
  funnel::product_of_shifted_powers<1, double> loaded_shifted;
  shifted_file.load(loaded_shifted);
  CHECK(loaded_shifted(std::array{.5}) == shifted(std::array{.5}));
  CHECK(refuses_state(loaded_shifted, shifted_file.with("scale", std::vector{-1}), "scale is -1"));
}
