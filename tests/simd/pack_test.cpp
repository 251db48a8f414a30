// SPDX-License-Identifier: MIT
#include <funnel/simd/detail/pack.hpp>

#include "simd/binades.hpp"
#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

namespace detail = funnel::detail;

static_assert(detail::lanes<funnel::scalar_arch, float> == 1);
static_assert(detail::lanes<funnel::scalar_arch, double> == 1);
#ifdef XSIMD_NO_SUPPORTED_ARCHITECTURE
// Without an instruction set the library runs on the scalar twin.
static_assert(std::is_same_v<funnel::default_arch, funnel::scalar_arch>);
#endif
#if XSIMD_WITH_SSE2
static_assert(detail::lanes<xsimd::sse2, float> == 4 && detail::lanes<xsimd::sse2, double> == 2);
#endif

TEMPLATE_TEST_CASE("pack: the first values of a row that ends", "", float, double) {
  for_each_arch([]<class Arch>(Arch) {
    constexpr std::size_t width = detail::lanes<Arch, TestType>;
    for (std::size_t count = 0; count < width; ++count) {
      // Exactly `count` values: the address sanitizer sees a read or write past them.
      const std::vector<TestType> from = random_values<TestType>(count, 1, 1, 2);
      const auto values = detail::load_first<Arch, TestType>(from.data(), count);
      std::vector<TestType> lanes(width, TestType(-1));
      values.store_unaligned(lanes.data());
      for (std::size_t i = 0; i < width; ++i)
        CHECK(lanes[i] == (i < count ? from[i] : TestType(0)));
      detail::load_first<Arch, TestType>(from.data(), count, TestType(7))
          .store_unaligned(lanes.data());
      for (std::size_t i = 0; i < width; ++i)
        CHECK(lanes[i] == (i < count ? from[i] : TestType(7)));

      std::vector<TestType> to(count, TestType(-1));
      detail::store_first<Arch, TestType>(values, to.data(), count);
      CHECK(to == from);
    }
  });
}

TEMPLATE_TEST_CASE("pack: lanes sum up", "", float, double) {
  for_each_arch([]<class Arch>(Arch) {
    constexpr std::size_t width = detail::lanes<Arch, TestType>;
    const std::vector<TestType> values = random_values<TestType>(width, 2);
    double sum = 0;
    double magnitudes = 0;
    for (const TestType value : values) {
      sum += static_cast<double>(value);
      magnitudes += std::abs(static_cast<double>(value));
    }
    const auto all = detail::pack<Arch, TestType>::load_unaligned(values.data());
    CHECK(tolerance::within(static_cast<double>(detail::sum_lanes(all)), sum,
                            tolerance::reduction<TestType>(width, magnitudes)));
  });
}

TEMPLATE_TEST_CASE("pack: bounds, which NaN passes", "", float, double) {
  for_each_arch([]<class Arch>(Arch) {
    using p = detail::pack<Arch, TestType>;
    const auto first = [](const p& values) {
      std::vector<TestType> lanes(p::size);
      values.store_unaligned(lanes.data());
      return lanes[0];
    };
    const p zero(TestType(0));
    const p nan(std::numeric_limits<TestType>::quiet_NaN());
    CHECK(first(detail::at_least(p(TestType(-2)), zero)) == 0);
    CHECK(first(detail::at_least(p(TestType(2)), zero)) == 2);
    CHECK(std::isnan(first(detail::at_least(nan, zero))));
    CHECK(first(detail::at_most(p(TestType(-2)), zero)) == -2);
    CHECK(first(detail::at_most(p(TestType(2)), zero)) == 0);
    CHECK(std::isnan(first(detail::at_most(nan, zero))));
  });
}

TEMPLATE_TEST_CASE("pack: the largest lane", "", float, double) {
  for_each_arch([]<class Arch>(Arch) {
    constexpr std::size_t width = detail::lanes<Arch, TestType>;
    for (std::size_t i = 0; i < width; ++i) {
      std::vector<TestType> values = random_values<TestType>(width, 3);
      values[i] = 2;
      CHECK(detail::max_lane(detail::pack<Arch, TestType>::load_unaligned(values.data())) == 2);
    }
  });
}

TEMPLATE_TEST_CASE("pack: the largest lane of negative ones", "", float, double) {
  using T = TestType;
  for_each_arch([](auto arch) {
    using Arch = decltype(arch);
    constexpr std::size_t lanes = detail::lanes<Arch, T>;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      T values[lanes];
      std::fill_n(values, lanes, T(-2));
      values[lane] = T(-1);
      CHECK(detail::max_lane(detail::pack<Arch, T>::load_unaligned(values)) == T(-1));
    }
  });
}

// Estimates, which NEON has for floats, would pass every tolerance and break equal bits.

TEMPLATE_TEST_CASE("pack: quotients and roots are rounded once, in every lane", "", float, double) {
  const std::vector<TestType> a = values_of_every_binade<TestType>();
  std::vector<TestType> b(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) b[i] = a[(i * 7919 + 1) % a.size()];
  const auto same = [](TestType found, TestType expected) {
    return std::isnan(expected) ? std::isnan(found) : same_bits(&found, &expected, 1);
  };
  for_each_arch([&]<class Arch>(Arch) {
    using p = detail::pack<Arch, TestType>;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i + p::size <= a.size(); ++i) {
      TestType quotients[p::size];
      TestType roots[p::size];
      const p values = p::load_unaligned(a.data() + i);
      detail::quotient(values, p::load_unaligned(b.data() + i)).store_unaligned(quotients);
      detail::square_root(values).store_unaligned(roots);
      for (std::size_t lane = 0; lane < p::size; ++lane) {
        const TestType x = a[i + lane];
        if (!same(quotients[lane], x / b[i + lane])) ++wrong;
        if (!same(roots[lane], std::sqrt(x))) ++wrong;
      }
    }
    CHECK(wrong == 0);
  });
}
