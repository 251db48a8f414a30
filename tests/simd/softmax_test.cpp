// SPDX-License-Identifier: MIT
#include <funnel/simd/softmax.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

/// Widths on both sides of where rows stop sharing a register, and around a register.
template <class Arch, class T>
std::vector<std::size_t> widths() {
  constexpr std::size_t width = funnel::detail::lanes<Arch, T>;
  return {0, 1, 2, 4, 7, 8, 9, width - 1, width, width + 1, 2 * width, 3 * width + 2};
}

/// Numbers of rows around a register.
template <class Arch, class T>
std::vector<std::size_t> row_counts() {
  constexpr std::size_t width = funnel::detail::lanes<Arch, T>;
  return {0, 1, width - 1, width, width + 1, 2 * width + 3};
}

template <class T, class Arch>
matrix<T> softmax_of(Arch arch, matrix_view<const T> x) {
  matrix<T> y(x.rows(), x.cols());
  funnel::softmax_kernel(arch, x, y.view());
  return y;
}

}  // namespace

TEMPLATE_TEST_CASE(
    "softmax_kernel: against the definition; each row alone, in place, in columns of "
    "a wider matrix",
    "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t d : widths<Arch, TestType>()) {
      for (const std::size_t n : row_counts<Arch, TestType>()) {
        INFO("[" << n << ", " << d << "]");
        const matrix<TestType> wide = random_matrix<TestType>(n, d + 3, 1, -20, 20);
        const matrix<TestType> x(wide.view().middle_cols(1, d));
        const matrix<TestType> y = softmax_of<TestType>(arch, x);
        for (std::size_t i = 0; i < n; ++i) {
          const TestType largest = d > 0 ? std::ranges::max(x.row(i)) : TestType(0);
          double sum = 0;
          for (const TestType value : x.row(i))
            sum += std::exp(static_cast<double>(TestType(value - largest)));
          for (std::size_t j = 0; j < d; ++j) {
            const double expected =
                std::exp(static_cast<double>(TestType(x(i, j) - largest))) / sum;
            CHECK(tolerance::within(static_cast<double>(y(i, j)), expected,
                                    tolerance::reduction<TestType>(d + 2, expected)));
          }
          CHECK(same_bits(softmax_of<TestType>(arch, x.view().middle_rows(i, 1)),
                          y.view().middle_rows(i, 1)));
        }
        CHECK(same_bits(softmax_of<TestType>(arch, wide.view().middle_cols(1, d)), y));
        matrix<TestType> in_place = wide;
        funnel::softmax_kernel(arch, matrix_view<const TestType>(in_place.view().middle_cols(1, d)),
                               in_place.view().middle_cols(1, d));
        CHECK(same_bits(in_place.view().middle_cols(1, d), y.view()));
        for (std::size_t i = 0; i < n; ++i) {  // nothing beside the columns is written
          CHECK(in_place(i, 0) == wide(i, 0));
          CHECK(in_place(i, d + 1) == wide(i, d + 1));
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("softmax_kernel: masks and values that are not finite, wherever they stand", "",
                   float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  constexpr TestType nan = std::numeric_limits<TestType>::quiet_NaN();
  for_each_arch([&]<class Arch>(Arch arch) {
    for (const std::size_t d : widths<Arch, TestType>()) {
      constexpr std::size_t width = funnel::detail::lanes<Arch, TestType>;
      for (std::size_t j = 0; j < d; ++j) {
        INFO("column " << j << " of " << d);
        // Rows that share a register with ordinary ones.
        matrix<TestType> x = random_matrix<TestType>(width + 6, d, 2);
        const matrix<TestType> ordinary = softmax_of<TestType>(arch, x);
        x(0, j) = -infinity;
        std::ranges::fill(x.row(1), -infinity);
        x(2, j) = nan;
        std::ranges::fill(x.row(3), -infinity);
        x(3, j) = nan;
        x(4, j) = infinity;
        std::ranges::fill(x.row(5), -infinity);
        x(5, j) = TestType(-1000);
        const matrix<TestType> y = softmax_of<TestType>(arch, x);
        CHECK(y(0, j) == 0);
        for (std::size_t k = 0; k < d; ++k) {
          CHECK(y(1, k) == 0);
          CHECK(std::isnan(y(2, k)));
          CHECK(std::isnan(y(3, k)));
          CHECK(std::isnan(y(4, k)));
          CHECK(y(5, k) == (k == j ? 1 : 0));
        }
        CHECK(same_bits(y.view().middle_rows(6, width), ordinary.view().middle_rows(6, width)));
      }
    }
  });
}

TEMPLATE_TEST_CASE("softmax_backward_kernel: against the definition", "", float, double) {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t d : widths<Arch, TestType>()) {
      const std::vector<TestType> y = random_values<TestType>(d, 3, 0, 1);
      const std::vector<TestType> g = random_values<TestType>(d, 4);
      const std::vector<TestType> before = random_values<TestType>(d + 1, 5);
      std::vector<TestType> x = before;
      funnel::softmax_backward_kernel(arch, y.data(), g.data(), x.data(), d);
      double mean = 0;
      double magnitudes = 0;
      for (std::size_t j = 0; j < d; ++j) {
        const double product = static_cast<double>(y[j]) * static_cast<double>(g[j]);
        mean += product;
        magnitudes += std::abs(product);
      }
      for (std::size_t j = 0; j < d; ++j) {
        const double expected = static_cast<double>(before[j]) +
                                static_cast<double>(y[j]) * (static_cast<double>(g[j]) - mean);
        CHECK(tolerance::within(static_cast<double>(x[j]), expected,
                                tolerance::reduction<TestType>(d + 2, magnitudes + 2)));
      }
      CHECK(x[d] == before[d]);
    }
  });
}

TEMPLATE_TEST_CASE("mixture_kernel: against the definition; nothing past the end", "", float,
                   double) {
  for_each_arch([]<class Arch>(Arch arch) {
    constexpr std::size_t width = funnel::detail::lanes<Arch, TestType>;
    for (const std::size_t d :
         size_list{0, 1, width - 1, width, width + 1, 4 * width, 4 * width + 1, 9 * width + 3}) {
      for (const std::size_t k : size_list{1, 2, 4, 9}) {
        const matrix<TestType> weights = random_matrix<TestType>(3, k, 1);
        std::vector<matrix<TestType>> values;
        for (std::size_t v = 0; v < k; ++v)
          values.push_back(random_matrix<TestType>(3, d + v % 2, 2 + v));
        std::vector<matrix_view<const TestType>> views;
        for (const auto& value : values)
          views.push_back(value.view().middle_cols(value.cols() - d, d));
        matrix<TestType> y(3, d + 1, TestType(123));
        funnel::mixture_kernel(arch, weights.view(),
                               std::span<const matrix_view<const TestType>>(views),
                               y.view().middle_cols(0, d));
        for (std::size_t i = 0; i < 3; ++i) {
          for (std::size_t j = 0; j < d; ++j) {
            double expected = 0;
            double magnitudes = 0;
            for (std::size_t v = 0; v < k; ++v) {
              const double product =
                  static_cast<double>(weights(i, v)) * static_cast<double>(views[v](i, j));
              expected += product;
              magnitudes += std::abs(product);
            }
            CHECK(tolerance::within(static_cast<double>(y(i, j)), expected,
                                    tolerance::reduction<TestType>(k, magnitudes)));
          }
          CHECK(y(i, d) == 123);
        }
      }
    }
  });
}
