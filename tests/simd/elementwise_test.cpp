// SPDX-License-Identifier: MIT
#include <funnel/simd/elementwise.hpp>

#include "simd/binades.hpp"
#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace {

/// What a function of T is compared with: one of the next larger type.
template <class T>
using reference = std::conditional_t<sizeof(T) == 4, double, long double>;

/// The result is as far off as `ulps`, or both are below the smallest normal number.
template <class T>
bool close(T found, reference<T> exact, double ulps) {
  const auto expected = static_cast<double>(exact);
  const auto smallest = static_cast<double>(std::numeric_limits<T>::min());
  const double beyond = std::abs(static_cast<double>(static_cast<T>(exact)));
  if (std::isinf(beyond)) return static_cast<double>(found) == std::copysign(beyond, expected);
  if (std::abs(expected) < smallest) {
    return std::abs(static_cast<double>(found)) <= smallest &&
           static_cast<double>(found) * expected >= 0;
  }
  return tolerance::within(static_cast<double>(found), expected,
                           tolerance::elementwise<T>(expected, ulps));
}

/// `kernel(arch, x, y, n)` against `exact`, for every arch.
template <class T, class Kernel, class Exact>
void check_everywhere(double ulps, const Kernel& kernel, const Exact& exact) {
  const std::vector<T> x = values_of_every_binade<T>();
  std::vector<reference<T>> expected;
  for (const T value : x) expected.push_back(exact(static_cast<reference<T>>(value)));
  for_each_arch([&](auto arch) {
    std::vector<T> y(x.size());
    kernel(arch, x.data(), y.data(), x.size());
    std::size_t mistakes = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (close<T>(y[i], expected[i], ulps) || ++mistakes > 5) continue;
      FAIL_CHECK("lanes " << funnel::detail::lanes<decltype(arch), T> << ", x " << x[i] << ": "
                          << y[i] << ", expected " << expected[i]);
    }
  });
}

}  // namespace

TEMPLATE_TEST_CASE("exp_kernel: within 2 ulp of e^x", "", float, double) {
  check_everywhere<TestType>(
      2, [](auto arch, auto... a) { funnel::exp_kernel(arch, a...); },
      [](auto x) { return std::exp(x); });
}

TEMPLATE_TEST_CASE("log_kernel: within 2 ulp of ln x", "", float, double) {
  check_everywhere<TestType>(
      2, [](auto arch, auto... a) { funnel::log_kernel(arch, a...); },
      [](auto x) { return std::log(x); });
}

TEMPLATE_TEST_CASE("log1p_kernel: within 2 ulp of ln(1 + x)", "", float, double) {
  check_everywhere<TestType>(
      2, [](auto arch, auto... a) { funnel::log1p_kernel(arch, a...); },
      [](auto x) { return std::log1p(x); });
}

TEMPLATE_TEST_CASE("softplus_kernel: within 2 ulp of ln(1 + e^x)", "", float, double) {
  check_everywhere<TestType>(
      2, [](auto arch, auto... a) { funnel::softplus_kernel(arch, a...); },
      [](auto x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); });
}

TEMPLATE_TEST_CASE("exp_kernel, log_kernel: exact values and the ends of their ranges", "", float,
                   double) {
  using limits = std::numeric_limits<TestType>;
  for_each_arch([](auto arch) {
    const auto at = [&](auto kernel, TestType x) {
      TestType y;
      kernel(arch, &x, &y, std::size_t{1});
      return y;
    };
    const auto exp = [](auto... a) { funnel::exp_kernel(a...); };
    const auto log = [](auto... a) { funnel::log_kernel(a...); };
    CHECK(at(exp, 0) == 1);
    CHECK(at(log, 1) == 0);
    CHECK(at(exp, -limits::infinity()) == 0);
    CHECK(at(log, 0) == -limits::infinity());
    CHECK(at(log, TestType(-0.0)) == -limits::infinity());
    CHECK(std::isnan(at(log, -limits::denorm_min())));
    // The last argument with a finite result, and the next one.
    const TestType last = sizeof(TestType) == 4 ? TestType(88.72283f) : TestType(709.782712893384);
    CHECK(at(exp, last) < limits::infinity());
    CHECK(at(exp, std::nextafter(last, limits::max())) == limits::infinity());
    // And the first with a normal one.
    const TestType first =
        sizeof(TestType) == 4 ? TestType(-87.33654f) : TestType(-708.39641853226);
    CHECK(at(exp, first) >= limits::min());
  });
}

TEMPLATE_TEST_CASE("elementwise: a value's result does not depend on its place", "", float,
                   double) {
  for_each_arch([]<class Arch>(Arch arch) {
    constexpr std::size_t width = funnel::detail::lanes<Arch, TestType>;
    const auto check = [&](auto kernel) {
      const std::vector<TestType> x = random_values<TestType>(2 * width + 2, 9, 0, 4);
      std::vector<TestType> alone(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) kernel(arch, &x[i], &alone[i], std::size_t{1});
      constexpr TestType untouched = 123;
      for (const std::size_t n : {std::size_t{0}, width - 1, width, width + 1, 2 * width + 1}) {
        std::vector<TestType> y(x.size() + 1, untouched);
        kernel(arch, x.data() + 1, y.data() + 1, n);  // not aligned
        CHECK(same_bits(y.data() + 1, alone.data() + 1, n));
        CHECK(y[0] == untouched);
        CHECK(y[n + 1] == untouched);
      }
      std::vector<TestType> in_place = x;
      kernel(arch, in_place.data(), in_place.data(), x.size());
      CHECK(same_bits(in_place.data(), alone.data(), x.size()));
    };
    check([](auto... a) { funnel::exp_kernel(a...); });
    check([](auto... a) { funnel::log_kernel(a...); });
    check([](auto... a) { funnel::log1p_kernel(a...); });
    check([](auto... a) { funnel::softplus_kernel(a...); });
  });
}
