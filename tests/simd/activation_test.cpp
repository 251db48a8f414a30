// SPDX-License-Identifier: MIT
#include <funnel/simd/activation.hpp>

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
    return x > 0 ? x : 0;
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

/// The bounds of docs/numerics.md.
template <class T>
double bound(activation function, double x, double y) {
  switch (function) {
  case activation::identity:
  case activation::relu:
    return 0;
  case activation::gelu:  // its tail is a difference from 1: good to a fraction of x, not of y
    return tolerance::elementwise<T>(x, sizeof(T) == sizeof(float) ? 4 : 32);
  default:
    return tolerance::elementwise<T>(y);
  }
}

template <class T>
std::vector<T> inputs() {
  std::vector<T> x = {T(0), T(-0.0), std::numeric_limits<T>::min(), T(1), T(-1)};
  std::uint64_t seed = 0;
  for (const double range : {1e-4, 1., 10., sizeof(T) == sizeof(float) ? 87. : 700.}) {
    for (const T value : random_values<T>(1000, ++seed, -range, range)) x.push_back(value);
  }
  return x;
}

template <class T, class Arch>
std::vector<T> activated(Arch arch, const std::vector<T>& x, activation function) {
  std::vector<T> y(x.size());
  funnel::activation_kernel(arch, x.data(), y.data(), x.size(), function);
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE("activation: within its bound of the exact value", "", float, double) {
  const std::vector<TestType> x = inputs<TestType>();
  for (const activation function : all_activations) {
    for_each_arch([&](auto arch) {
      const std::vector<TestType> y = activated(arch, x, function);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const auto expected = static_cast<double>(exact(function, x[i]));
        const auto at = static_cast<double>(x[i]);
        if (!tolerance::within(static_cast<double>(y[i]), expected,
                               bound<TestType>(function, at, expected))) {
          FAIL_CHECK("function " << static_cast<int>(function) << ", lanes "
                                 << funnel::detail::lanes<decltype(arch), TestType> << ", x " << at
                                 << ": " << y[i] << ", expected " << expected);
        }
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

TEMPLATE_TEST_CASE("activation: NaN and infinity", "", float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  constexpr TestType largest = TestType(1e38);  // gelu's limit in double is 1e62
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
