// SPDX-License-Identifier: MIT
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>

#include "support/catch.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace checks = funnel::detail;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr double largest_float = std::numeric_limits<float>::max();

/// The text of what `check` throws, or nothing.
template <class Check>
std::string text_of(Check&& check) {
  try {
    check();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("checks of a number: each accepts its boundary and refuses the next value") {
  const auto that = [](int x) {
    return text_of([&] { checks::check_that("f", "x", x, x <= 3, "at most ", 3); });
  };
  CHECK(that(3) == "");
  CHECK(that(4) == "funnel::f: x is 4, expected at most 3");

  const auto positive = [](auto x) {
    return text_of([&] { checks::check_positive("f", "x", x); });
  };
  CHECK(positive(std::numeric_limits<float>::denorm_min()) == "");
  CHECK(positive(std::numeric_limits<float>::max()) == "");
  CHECK(positive(0.0f) == "funnel::f: x is 0, expected a finite number above 0");
  CHECK(positive(infinity) == "funnel::f: x is inf, expected a finite number above 0");
  CHECK(positive(not_a_number) == "funnel::f: x is nan, expected a finite number above 0");

  const auto not_negative = [](auto x) {
    return text_of([&] { checks::check_not_negative("f", "x", x); });
  };
  CHECK(not_negative(0.0) == "");
  CHECK(not_negative(std::numeric_limits<double>::max()) == "");
  CHECK(not_negative(-1.0) == "funnel::f: x is -1, expected a finite number of 0 or more");
  CHECK(not_negative(infinity) == "funnel::f: x is inf, expected a finite number of 0 or more");

  const auto fraction = [](double x) {
    return text_of([&] { checks::check_fraction("f", "x", x); });
  };
  CHECK(fraction(0) == "");
  CHECK(fraction(std::nextafter(1.0, 0.0)) == "");
  CHECK(fraction(1) == "funnel::f: x is 1, expected a number in [0, 1)");
  CHECK(fraction(-0.5) == "funnel::f: x is -0.5, expected a number in [0, 1)");

  const auto unit_interval = [](auto x) {
    return text_of([&] { checks::check_unit_interval("f", "x", x); });
  };
  CHECK(unit_interval(0.0) == "");
  CHECK(unit_interval(1.0f) == "");
  CHECK(unit_interval(1.5) == "funnel::f: x is 1.5, expected a number in [0, 1]");
  CHECK(unit_interval(not_a_number) == "funnel::f: x is nan, expected a number in [0, 1]");

  const auto at_least_one = [](std::size_t x) {
    return text_of([&] { checks::check_at_least_one("f", "x", x); });
  };
  CHECK(at_least_one(1) == "");
  CHECK(at_least_one(0) == "funnel::f: x is 0, expected 1 or more");

  const auto below = [](std::size_t x) {
    return text_of([&] { checks::check_below("f", "x", x, 3); });
  };
  CHECK(below(2) == "");
  CHECK(below(3) == "funnel::f: x is 3, expected below 3");
}

TEST_CASE("checks of a number: what is rounded to float must be in its range") {
  const auto positive = [](double x) {
    return text_of([&] { checks::check_positive<float>("f", "x", x); });
  };
  CHECK(positive(largest_float) == "");
  CHECK(positive(1e300) ==
        "funnel::f: x is 1e+300, expected a number above 0, at most 3.40282347e+38");
  CHECK(positive(0) == "funnel::f: x is 0, expected a number above 0, at most 3.40282347e+38");
  CHECK(text_of([] { checks::check_positive<double>("f", "x", 1e300); }) == "");

  const auto not_negative = [](double x) {
    return text_of([&] { checks::check_not_negative<float>("f", "x", x); });
  };
  CHECK(not_negative(0) == "");
  CHECK(not_negative(largest_float) == "");
  CHECK(not_negative(1e300) ==
        "funnel::f: x is 1e+300, expected a number of 0 or more, at most 3.40282347e+38");

  const double almost_one = std::nextafter(1.0, 0.0);  // 1 as a float
  CHECK(text_of([&] { checks::check_fraction<double>("f", "x", almost_one); }) == "");
  CHECK(text_of([&] { checks::check_fraction<float>("f", "x", almost_one); }) ==
        "funnel::f: x is 1, expected a number in [0, 1)");
}

TEST_CASE("checks of sizes: what came, what is expected, and where that comes from") {
  CHECK(text_of([] { checks::check_not_empty("f", "x", 1); }) == "");
  CHECK(text_of([] { checks::check_not_empty("f", "x", 0); }) ==
        "funnel::f: x is empty, expected 1 value or more");

  CHECK(text_of([] { checks::check_size("f", "x", 3, 3); }) == "");
  CHECK(text_of([] { checks::check_size("f", "x", 3, 4); }) ==
        "funnel::f: x has 3 values, expected 4");
  CHECK(text_of([] { checks::check_size("f", "x", 1, 4); }) ==
        "funnel::f: x has 1 value, expected 4");
  CHECK(text_of([] { checks::check_size("f", "x", 5, 4, "y"); }) ==
        "funnel::f: x has 5 values, expected 4 as in y");
  CHECK(text_of([] { checks::check_size_of_32_bits("f", "x", 0xffffffff); }) == "");
  CHECK(text_of([] { checks::check_size_of_32_bits("f", "x", std::size_t{1} << 32); }) ==
        "funnel::f: x has 4294967296 values, expected fewer than 2^32");
  CHECK(text_of([] { checks::check_rows("f", "x", 3, 3, "y"); }) == "");
  CHECK(text_of([] { checks::check_rows("f", "x", 3, 4, "y"); }) ==
        "funnel::f: x has 3 rows, expected 4 as in y");
  CHECK(text_of([] { checks::check_cols("f", "x", 3, 3); }) == "");
  CHECK(text_of([] { checks::check_cols("f", "x", 3, 4); }) ==
        "funnel::f: x has 3 columns, expected 4");

  const funnel::matrix<float> x(2, 3);
  CHECK(text_of([&] { checks::check_shape("f", "x", x, 2, 3); }) == "");
  CHECK(text_of([&] { checks::check_shape("f", "x", x, 2, 4); }) ==
        "funnel::f: x is [2, 3], expected [2, 4]");
  CHECK(text_of([&] { checks::check_shape("f", "x", x, 1, 3, "y"); }) ==
        "funnel::f: x is [2, 3], expected [1, 3] as in y");
}

TEST_CASE("checks of a span: the first value that is not as expected, and its place") {
  using values = std::vector<float>;
  const auto text = [](auto check, const values& x) {
    return text_of([&] { check(std::span<const float>(x)); });
  };
  const auto each = [](auto x) {
    checks::check_each("f", "x", x, "an even number", [](float v) { return std::fmod(v, 2) == 0; });
  };
  CHECK(text(each, {}) == "");
  CHECK(text(each, {2, 4}) == "");
  CHECK(text(each, {2, 3, 5}) == "funnel::f: x[1] is 3, expected an even number");

  const auto binary = [](auto x) { checks::check_binary("f", "x", x); };
  CHECK(text(binary, {0, 1}) == "");
  CHECK(text(binary, {0, 1, .5f}) == "funnel::f: x[2] is 0.5, expected 0 or 1");

  const auto unit_interval = [](auto x) { checks::check_unit_interval("f", "x", x); };
  CHECK(text(unit_interval, {0, .5f, 1}) == "");
  CHECK(text(unit_interval, {1.5f}) == "funnel::f: x[0] is 1.5, expected a number in [0, 1]");
  CHECK(text(unit_interval, {-1}) == "funnel::f: x[0] is -1, expected a number in [0, 1]");

  const auto finite = [](auto x) { checks::check_finite("f", "x", x); };
  CHECK(text(finite, {std::numeric_limits<float>::max()}) == "");
  CHECK(text(finite, {-infinity}) == "funnel::f: x[0] is -inf, expected a finite number");

  const auto not_negative = [](auto x) { checks::check_not_negative("f", "x", x); };
  CHECK(text(not_negative, {0, std::numeric_limits<float>::max()}) == "");
  CHECK(text(not_negative, {-1}) == "funnel::f: x[0] is -1, expected a finite number of 0 or more");
  CHECK(text(not_negative, {0, infinity}) ==
        "funnel::f: x[1] is inf, expected a finite number of 0 or more");

  const auto positive = [](auto x) { checks::check_positive("f", "x", x); };
  CHECK(text(positive, {std::numeric_limits<float>::denorm_min()}) == "");
  CHECK(text(positive, {1, 0}) == "funnel::f: x[1] is 0, expected a finite number above 0");
  CHECK(text(positive, {infinity}) == "funnel::f: x[0] is inf, expected a finite number above 0");
}

TEST_CASE("checks of offsets: from 0 to the number of rows, not falling") {
  const auto offsets = [](const std::vector<std::uint32_t>& x) {
    return text_of([&] { checks::check_offsets("f", "x", x, 4, "ids"); });
  };
  CHECK(offsets({0, 4}) == "");
  CHECK(offsets({0, 0, 2, 2, 4}) == "");
  CHECK(offsets({}) == "funnel::f: x is empty, expected 1 value or more");
  CHECK(offsets({1, 4}) == "funnel::f: x[0] is 1, expected 0");
  CHECK(offsets({0, 3}) == "funnel::f: x[1] is 3, expected 4, the number of ids");
  CHECK(offsets({0}) == "funnel::f: x[0] is 0, expected 4, the number of ids");
  CHECK(offsets({0, 3, 2, 4}) == "funnel::f: x[2] is 2, expected 3 or more, as the one before");
}
