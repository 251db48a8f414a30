// SPDX-License-Identifier: MIT
#include <funnel/simd/reduce.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

namespace {

/// Lengths around one register and around the four that a dot product works on at a time.
template <class Arch, class T>
std::vector<std::size_t> lengths() {
  constexpr std::size_t width = funnel::detail::lanes<Arch, T>;
  return {0,
          1,
          width - 1,
          width,
          width + 1,
          3 * width + 1,
          4 * width,
          4 * width + 1,
          5 * width - 1,
          9 * width + 3,
          1000};
}

}  // namespace

TEMPLATE_TEST_CASE("dot_kernel: against the sum in long double", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, TestType>()) {
      for (const std::size_t begin : size_list{0, 1}) {
        const std::vector<TestType> a = random_values<TestType>(n + begin, 1);
        const std::vector<TestType> b = random_values<TestType>(n + begin, 2);
        long double sum = 0;
        long double magnitudes = 0;
        for (std::size_t i = begin; i < n + begin; ++i) {
          const long double product = static_cast<long double>(a[i]) * b[i];
          sum += product;
          magnitudes += std::abs(product);
        }
        const TestType found = funnel::dot_kernel(arch, a.data() + begin, b.data() + begin, n);
        INFO("n = " << n);
        CHECK(
            tolerance::within(static_cast<double>(found), static_cast<double>(sum),
                              tolerance::reduction<TestType>(n, static_cast<double>(magnitudes))));
        CHECK(found == funnel::dot_kernel(arch, b.data() + begin, a.data() + begin, n));
      }
    }
  });
}

TEST_CASE("dot_kernel: a NaN anywhere reaches the sum") {
  for_each_arch([]<class Arch>(Arch arch) {
    const std::size_t n = 5 * funnel::detail::lanes<Arch, float> + 3;
    for (std::size_t i = 0; i < n; ++i) {
      std::vector<float> a(n, 1.f);
      a[i] = std::numeric_limits<float>::quiet_NaN();
      CHECK(std::isnan(funnel::dot_kernel(arch, a.data(), a.data(), n)));
    }
  });
}

TEMPLATE_TEST_CASE("squares_kernel: summed in double", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, TestType>()) {
      // Squares of which float would keep no more than infinities and zeros.
      std::vector<TestType> x = random_values<TestType>(n + 1, 5, -1e30, 1e30);
      if (n > 2) x[1] = TestType(1e-30);
      x[n] = std::numeric_limits<TestType>::quiet_NaN();
      long double sum = 0;
      for (std::size_t i = 0; i < n; ++i) sum += static_cast<long double>(x[i]) * x[i];
      CHECK(tolerance::within(funnel::squares_kernel(arch, x.data(), n), static_cast<double>(sum),
                              tolerance::reduction<double>(n, static_cast<double>(sum))));
    }
    std::vector<TestType> x(50, TestType(1));
    x[37] = std::numeric_limits<TestType>::quiet_NaN();
    CHECK(std::isnan(funnel::squares_kernel(arch, x.data(), x.size())));
  });
}

TEMPLATE_TEST_CASE("axpy_kernel: adds a multiple and nothing past the end", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, TestType>()) {
      const std::vector<TestType> x = random_values<TestType>(n, 3);
      const std::vector<TestType> before = random_values<TestType>(n + 1, 4);
      std::vector<TestType> y = before;
      constexpr TestType factor = TestType(-1.75);
      funnel::axpy_kernel(arch, factor, x.data(), y.data(), n);
      for (std::size_t i = 0; i < n; ++i) {
        const long double product = static_cast<long double>(factor) * x[i];
        const auto magnitude = static_cast<double>(std::abs(product) + std::abs(before[i]));
        CHECK(tolerance::within(static_cast<double>(y[i]), static_cast<double>(product + before[i]),
                                tolerance::reduction<TestType>(1, magnitude)));
      }
      CHECK(y[n] == before[n]);
    }
  });
}

TEMPLATE_TEST_CASE("axpy_kernel: one rounding where an instruction has it", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    using p = funnel::detail::pack<Arch, TestType>;
    bool fused = std::is_same_v<Arch, funnel::scalar_arch> || sizeof(p) == 64;
#if XSIMD_WITH_FMA3_AVX2
    fused = fused || std::is_same_v<Arch, xsimd::fma3<xsimd::avx2>>;
#endif
    if (!fused) return;
    constexpr TestType epsilon = std::numeric_limits<TestType>::epsilon();
    const std::vector<TestType> x(p::size, 1 + epsilon);  // its square is 1 + 2 eps + eps^2
    std::vector<TestType> y(p::size, -(1 + 2 * epsilon));
    funnel::axpy_kernel(arch, x[0], x.data(), y.data(), x.size());
    for (const TestType value : y) CHECK(value == epsilon * epsilon);
  });
}

TEMPLATE_TEST_CASE("scale_kernel: every value, and nothing past the end", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, TestType>()) {
      const std::vector<TestType> x = random_values<TestType>(n, 6);
      std::vector<TestType> y(n + 1, TestType(123));
      funnel::scale_kernel(arch, TestType(-1.75), x.data(), y.data(), n);
      for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == TestType(-1.75) * x[i]);
      CHECK(y[n] == 123);
    }
  });
}

TEMPLATE_TEST_CASE("max_kernel: the largest wherever it stands, and NaN from anywhere", "", float,
                   double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  for_each_arch([&]<class Arch>(Arch arch) {
    const auto largest = [&](const std::vector<TestType>& x) {
      return funnel::max_kernel(arch, x.data(), x.size());
    };
    CHECK(largest({}) == -infinity);
    for (const std::size_t n : lengths<Arch, TestType>()) {
      if (n > 40 * funnel::detail::lanes<Arch, TestType>) continue;
      CHECK(largest(std::vector<TestType>(n, -infinity)) == -infinity);
      for (std::size_t i = 0; i < n; ++i) {
        std::vector<TestType> x = random_values<TestType>(n, 7, -9, -5);
        x[i] = -3;
        CHECK(largest(x) == -3);
        x[i] = infinity;
        CHECK(largest(x) == infinity);
        x[i] = nan;
        CHECK(std::isnan(largest(x)));
        x[n - 1 - i] = i + i + 1 == n ? nan : infinity;  // before and after a NaN
        CHECK(std::isnan(largest(x)));
      }
    }
  });
}

TEMPLATE_TEST_CASE("exp_sum_kernel: terms within 2 ulp, summed in double", "", float, double) {
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t n : lengths<Arch, TestType>()) {
      const std::vector<TestType> x = random_values<TestType>(n, 8, -20, 0);
      std::vector<TestType> terms(n + 1, TestType(123));
      const double sum = funnel::exp_sum_kernel(arch, x.data(), TestType(0), terms.data(), n);
      double expected = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double term = std::exp(static_cast<double>(x[i]));
        CHECK(tolerance::within(static_cast<double>(terms[i]), term,
                                tolerance::elementwise<TestType>(term, 2)));
        expected += static_cast<double>(terms[i]);
      }
      CHECK(terms[n] == 123);
      CHECK(tolerance::within(sum, expected, tolerance::reduction<double>(n, expected)));
      CHECK(sum == funnel::exp_sum_kernel(arch, x.data(), TestType(0),
                                          static_cast<TestType*>(nullptr), n));
    }
    // Masked, the shift itself, far below it, not a number; in place.
    std::vector<TestType> x = {-std::numeric_limits<TestType>::infinity(), TestType(2), -5000};
    CHECK(funnel::exp_sum_kernel(arch, x.data(), TestType(2), x.data(), x.size()) == 1);
    CHECK(x == std::vector<TestType>{0, 1, 0});
    x[1] = std::numeric_limits<TestType>::quiet_NaN();
    CHECK(std::isnan(funnel::exp_sum_kernel(arch, x.data(), TestType(2), x.data(), x.size())));
    CHECK(std::isnan(x[1]));
  });
}

TEMPLATE_TEST_CASE("log_sum_exp_kernel: against the definition; values that are not finite", "",
                   float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  for_each_arch([&]<class Arch>(Arch arch) {
    const auto log_sum = [&](const std::vector<TestType>& x) {
      return funnel::log_sum_exp_kernel(arch, x.data(), x.size());
    };
    for (const std::size_t n : lengths<Arch, TestType>()) {
      if (n == 0) continue;
      for (const double shift : {0., -5000., 5000.}) {
        const std::vector<TestType> x = random_values<TestType>(n, 9, shift - 9, shift + 9);
        long double sum = 0;
        for (const TestType value : x)
          sum += std::exp(static_cast<long double>(value) - static_cast<long double>(shift));
        const double expected = shift + static_cast<double>(std::log(sum));
        // The differences from the largest round, in units of up to 18.
        CHECK(tolerance::within(log_sum(x), expected,
                                tolerance::elementwise<TestType>(18) +
                                    tolerance::elementwise<double>(expected)));
      }
    }
    const double none = -std::numeric_limits<double>::infinity();
    CHECK(log_sum({}) == none);
    CHECK(log_sum({-infinity, -infinity}) == none);
    CHECK(log_sum({-infinity, 2}) == 2);
    CHECK(log_sum({infinity, 2}) == -none);
    for (const std::vector<TestType>& x :
         {std::vector<TestType>{nan}, {nan, 1}, {1, nan}, {nan, -infinity}, {infinity, nan}}) {
      CHECK(std::isnan(log_sum(x)));
    }
  });
}
