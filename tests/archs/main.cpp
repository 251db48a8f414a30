// SPDX-License-Identifier: MIT
#include "pairs.hpp"

#include "simd/binades.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

TEST_CASE("archs: each unit is its own instruction set") {
  const std::vector<kernel_unit> all = units();
  CHECK(all[0].of_float.lanes == 1);
  for (std::size_t u = 1; u < all.size(); ++u) {
    INFO("unit " << all[u].name);
    CHECK(all[u].of_float.lanes >= all[u].of_double.lanes);
    if (u > 1) CHECK(all[u].of_float.lanes > all[u - 1].of_float.lanes);
    for (std::size_t v = 0; v < u; ++v) CHECK(all[u].of_float.dot != all[v].of_float.dot);
  }
}

TEMPLATE_TEST_CASE("archs: elementwise functions agree within twice their bounds", "", float,
                   double) {
  const std::vector<TestType> x = values_of_every_binade<TestType>();
  for_each_pair<TestType>([&](const auto& scalar, const auto& other) {
    const auto check = [&](auto function, double ulps) {
      std::vector<TestType> a(x.size());
      std::vector<TestType> b(x.size());
      (scalar.*function)(x.data(), a.data(), x.size());
      (other.*function)(x.data(), b.data(), x.size());
      // What is below the smallest normal number may be 0.
      CHECK(agree(a, b, [&](std::size_t i) {
        const double smallest = double{std::numeric_limits<TestType>::min()};
        const double value = static_cast<double>(a[i]);
        return std::abs(value) <= smallest ? smallest
                                           : tolerance::elementwise<TestType>(value, 2 * ulps);
      }));
    };
    using table = kernel_table<TestType>;
    check(&table::exp, 2);
    check(&table::log, 2);
    check(&table::log1p, 2);
    check(&table::softplus, 2);
  });
}

TEMPLATE_TEST_CASE("archs: activations and their slopes agree", "", float, double) {
  const std::vector<TestType> x = random_values<TestType>(5001, 1, -10, 10);
  const std::vector<TestType> g = random_values<TestType>(x.size(), 2);
  for_each_pair<TestType>([&](const auto& scalar, const auto& other) {
    for (int function = 0; function < activation_count; ++function) {
      INFO("function " << function);
      std::vector<TestType> a(x.size());
      std::vector<TestType> b(x.size());
      scalar.activation(x.data(), a.data(), x.size(), function);
      other.activation(x.data(), b.data(), x.size(), function);
      CHECK(agree(a, b, [&](std::size_t i) {
        const double at = static_cast<double>(x[i]);
        return tolerance::elementwise<TestType>(static_cast<double>(a[i]), 8 + at * at);
      }));
      std::vector<TestType> slope_a(x.size());
      std::vector<TestType> slope_b(x.size());
      scalar.activation_backward(x.data(), a.data(), g.data(), slope_a.data(), x.size(), function);
      other.activation_backward(x.data(), a.data(), g.data(), slope_b.data(), x.size(), function);
      // Slopes are near 1 and may be differences of numbers near 1 and of x * density, below 1.
      CHECK(agree(slope_a, slope_b,
                  [&](std::size_t) { return tolerance::elementwise<TestType>(2); }));
    }
  });
}

TEMPLATE_TEST_CASE("archs: inner products and sums agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t n : lengths) {
      for (const std::size_t begin : size_list{0, 1}) {
        const std::vector<TestType> x = random_values<TestType>(n + begin, 3);
        const std::vector<TestType> y = random_values<TestType>(n + begin, 4);
        double magnitudes = 0;
        for (std::size_t i = begin; i < n + begin; ++i)
          magnitudes += std::abs(static_cast<double>(x[i]) * static_cast<double>(y[i]));
        const double bound = 2 * tolerance::reduction<TestType>(n, magnitudes);
        CHECK(tolerance::within(
            static_cast<double>(scalar.dot(x.data() + begin, y.data() + begin, n)),
            static_cast<double>(other.dot(x.data() + begin, y.data() + begin, n)), bound));
        CHECK(scalar.max(x.data() + begin, n) == other.max(x.data() + begin, n));
        CHECK(tolerance::within(scalar.log_sum_exp(x.data() + begin, n),
                                other.log_sum_exp(x.data() + begin, n),
                                tolerance::elementwise<TestType>(8)));  // logarithms below 8
        std::vector<TestType> a = y;
        std::vector<TestType> b = y;
        scalar.axpy(TestType(0.7), x.data() + begin, a.data() + begin, n);
        other.axpy(TestType(0.7), x.data() + begin, b.data() + begin, n);
        CHECK(agree(a, b, [](std::size_t) { return 2 * tolerance::reduction<TestType>(1, 2); }));
        scalar.scale(TestType(0.7), x.data() + begin, a.data() + begin, n);
        other.scale(TestType(0.7), x.data() + begin, b.data() + begin, n);
        CHECK(same_bits(a.data() + begin, b.data() + begin, n));
      }
    }
  });
}

TEMPLATE_TEST_CASE("archs: softmax and mixtures agree", "", float, double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t d : size_list{1, 2, 4, 8, 9, 16, 17, 40}) {
      for (const std::size_t n : size_list{1, 4, 16, 19}) {
        INFO("[" << n << ", " << d << "]");
        const std::vector<TestType> x = random_values<TestType>(n * d, 5, -9, 9);
        std::vector<TestType> a(x.size());
        std::vector<TestType> b(x.size());
        scalar.softmax(x.data(), a.data(), n, d);
        other.softmax(x.data(), b.data(), n, d);
        CHECK(agree(a, b, [&](std::size_t i) {
          return 2 * tolerance::reduction<TestType>(d + 2, static_cast<double>(a[i]));
        }));
        const std::vector<TestType> g = random_values<TestType>(d, 6);
        std::vector<TestType> slope_a(d);
        std::vector<TestType> slope_b(d);
        scalar.softmax_backward(a.data(), g.data(), slope_a.data(), d);
        other.softmax_backward(a.data(), g.data(), slope_b.data(), d);
        CHECK(agree(slope_a, slope_b, [&](std::size_t i) {
          return 2 * tolerance::reduction<TestType>(d + 2, static_cast<double>(2 * a[i]));
        }));
        for (const std::size_t k : size_list{1, 4, 9}) {
          const std::vector<TestType> weights = random_values<TestType>(n * k, 7, 0, 1);
          const std::vector<TestType> values = random_values<TestType>(k * n * d, 8);
          scalar.mixture(weights.data(), values.data(), n, k, d, a.data());
          other.mixture(weights.data(), values.data(), n, k, d, b.data());
          CHECK(agree(a, b, [&](std::size_t) {
            return 2 * tolerance::reduction<TestType>(k, static_cast<double>(k));
          }));
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("archs: dense layers of odd sizes agree with every activation", "", float,
                   double) {
  for_each_pair<TestType>([](const auto& scalar, const auto& other) {
    for (const std::size_t in : size_list{1, 7, 33}) {
      for (const std::size_t out : size_list{1, 8, 17, 31, 64, 65}) {
        for (const std::size_t n : size_list{1, 2, 5, 13}) {
          INFO("n " << n << ", in " << in << ", out " << out);
          const std::vector<TestType> x = random_values<TestType>(n * in, 9);
          const std::vector<TestType> weights = random_values<TestType>(in * out, 10);
          const std::vector<TestType> bias = random_values<TestType>(out, 11);
          std::vector<TestType> panels(
              std::max(scalar.packed_size(in, out), other.packed_size(in, out)));
          for (int function = 0; function < activation_count; ++function) {
            std::vector<TestType> a(n * out);
            std::vector<TestType> b(n * out);
            scalar.dense(x.data(), weights.data(), bias.data(), panels.data(), n, in, out, function,
                         a.data());
            other.dense(x.data(), weights.data(), bias.data(), panels.data(), n, in, out, function,
                        b.data());
            // Slopes of activations are below 2.
            const double magnitudes = static_cast<double>(in + 1);
            CHECK(agree(a, b, [&](std::size_t) {
              return 4 * tolerance::reduction<TestType>(in + 1, magnitudes);
            }));
          }
        }
      }
    }
  });
}
