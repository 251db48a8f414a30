// SPDX-License-Identifier: MIT
#include <funnel/simd/activation.hpp>

#include "simd/binades.hpp"
#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

using funnel::activation;

namespace {

constexpr activation all_activations[] = {activation::identity, activation::relu,
                                          activation::sigmoid,  activation::tanh,
                                          activation::silu,     activation::gelu};

long double exact(activation function, long double x) {
  switch (function) {
  case activation::identity:
    return x;
  case activation::relu:
    return x <= 0 ? 0 : x;  // a NaN stays
  case activation::sigmoid:
    return 1 / (1 + std::exp(-x));
  case activation::tanh:
    return std::tanh(x);
  case activation::silu:
    return x / (1 + std::exp(-x));
  case activation::gelu:
    return x / 2 * std::erfc(-x / std::sqrt(2.0L));
  }
  return x;
}

/// The bounds of docs/numerics.md, in ulp.
double bound(activation function, double x) {
  switch (function) {
  case activation::identity:
  case activation::relu:
    return 0;
  case activation::sigmoid:
  case activation::tanh:
    return 3;
  case activation::silu:
    return 4;
  case activation::gelu:  // of e^(-x^2/2), the square's rounding counts
    return 4 + x * x / 2;
  }
  return 0;
}

/// Where the factor of x is a normal number: beyond, silu and gelu may be 0 a little early.
template <class T>
bool in_range(activation function, T x) {
  constexpr bool is_float = sizeof(T) == sizeof(float);
  switch (function) {
  case activation::sigmoid:
  case activation::silu:
    return std::isfinite(x) && x >= (is_float ? T(-87.336) : T(-708.396));
  case activation::gelu:
    return std::isfinite(x) && x >= (is_float ? T(-13.2) : T(-37.6));
  default:
    return true;
  }
}

template <class T, class Arch>
std::vector<T> activated(Arch arch, const std::vector<T>& x, activation function) {
  std::vector<T> y(x.size());
  funnel::activation_kernel(arch, x.data(), y.data(), x.size(), function);
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE("activation: within its bound of the exact value", "", float, double) {
  const std::vector<TestType> x = values_of_every_binade<TestType>();
  for (const activation function : all_activations) {
    std::vector<double> expected;
    for (const TestType value : x) expected.push_back(static_cast<double>(exact(function, value)));
    for_each_arch([&](auto arch) {
      const std::vector<TestType> y = activated(arch, x, function);
      std::size_t mistakes = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto found = static_cast<double>(y[i]);
        const auto at = static_cast<double>(x[i]);
        const double ulps = bound(function, at);
        const bool fits =
            in_range(function, x[i])
                ? tolerance::within(found, expected[i],
                                    tolerance::elementwise<TestType>(expected[i], ulps))
                : tolerance::within(found, 0, -at * double{std::numeric_limits<TestType>::min()}) ||
                      !std::isfinite(at);
        if (fits || ++mistakes > 5) continue;
        FAIL_CHECK("function " << static_cast<int>(function) << ", lanes "
                               << funnel::detail::lanes<decltype(arch), TestType> << ", x " << at
                               << ": " << found << ", expected " << expected[i]);
      }
    });
  }
}

TEMPLATE_TEST_CASE("activation: a value's result does not depend on its place", "", float, double) {
  for (const activation function : all_activations) {
    for_each_arch([&]<class Arch>(Arch arch) {
      constexpr std::size_t width = funnel::detail::lanes<Arch, TestType>;
      const std::vector<TestType> x = random_values<TestType>(3 * width + 2, 9, -4, 4);
      std::vector<TestType> alone(x.size());
      for (std::size_t i = 0; i < x.size(); ++i)
        funnel::activation_kernel(arch, &x[i], &alone[i], 1, function);

      constexpr TestType untouched = 123;
      for (const std::size_t n : {std::size_t{0}, std::size_t{1}, width - 1, width, width + 1,
                                  2 * width + 1, 3 * width}) {
        for (const std::size_t begin : size_list{0, 1}) {  // from 1 on nothing is aligned
          std::vector<TestType> y(x.size() + 1, untouched);
          funnel::activation_kernel(arch, x.data() + begin, y.data() + begin, n, function);
          CHECK(same_bits(y.data() + begin, alone.data() + begin, n));
          CHECK(y[begin + n] == untouched);
        }
      }
      std::vector<TestType> in_place = x;
      funnel::activation_kernel(arch, in_place.data(), in_place.data(), x.size(), function);
      CHECK(same_bits(in_place.data(), alone.data(), x.size()));
    });
  }
}

TEMPLATE_TEST_CASE("activation: slopes against differences of the exact function", "", float,
                   double) {
  std::vector<TestType> x = random_values<TestType>(2000, 3, -8, 8);
  for (const int edge : {0, -30, 30, -200, 200}) x.push_back(static_cast<TestType>(edge));
  const std::vector<TestType> g = random_values<TestType>(x.size(), 4);
  const std::vector<TestType> before = random_values<TestType>(x.size(), 5);
  for (const activation function : all_activations) {
    for_each_arch([&](auto arch) {
      const std::vector<TestType> y = activated(arch, x, function);
      for (const std::size_t n : {x.size(), x.size() - 1}) {
        std::vector<TestType> slope = before;
        funnel::activation_backward_kernel(arch, x.data(), y.data(), g.data(), slope.data(), n,
                                           function);
        for (std::size_t i = 0; i < n; ++i) {
          constexpr long double h = 1e-5L;
          const long double at = x[i];
          const bool bend = function == activation::relu && x[i] == 0;
          const long double derivative =
              bend ? 0 : (exact(function, at + h) - exact(function, at - h)) / (2 * h);
          const auto expected = static_cast<double>(before[i] + derivative * g[i]);
          if (!tolerance::within(static_cast<double>(slope[i]), expected,
                                 tolerance::finite_difference(0) +
                                     tolerance::elementwise<TestType>(2))) {
            FAIL_CHECK("function " << static_cast<int>(function) << ", x " << x[i] << ": "
                                   << slope[i] << ", expected " << expected);
          }
        }
        if (n < x.size()) CHECK(slope[n] == before[n]);
      }
    });
  }
}

TEMPLATE_TEST_CASE("activation: NaN and infinity", "", float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  constexpr TestType largest = std::numeric_limits<TestType>::max();
  const std::vector<TestType> x = {infinity, -infinity, nan, 5000, -5000, largest, -largest};
  const auto check = [&](activation function, const std::vector<TestType>& expected) {
    for_each_arch([&](auto arch) {
      const std::vector<TestType> y = activated(arch, x, function);
      for (std::size_t i = 0; i < x.size(); ++i) {
        INFO("function " << static_cast<int>(function) << ", x " << x[i] << ", y " << y[i]);
        CHECK((std::isnan(expected[i]) ? std::isnan(y[i]) : y[i] == expected[i]));
      }
    });
  };
  check(activation::identity, {infinity, -infinity, nan, 5000, -5000, largest, -largest});
  check(activation::relu, {infinity, 0, nan, 5000, 0, largest, 0});
  check(activation::sigmoid, {1, 0, nan, 1, 0, 1, 0});
  check(activation::tanh, {1, -1, nan, 1, -1, 1, -1});
  // -infinity times 0.
  check(activation::silu, {infinity, nan, nan, 5000, 0, largest, 0});
  check(activation::gelu, {infinity, nan, nan, 5000, 0, largest, 0});
}
