// SPDX-License-Identifier: MIT
#include <funnel/simd/dense.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::activation;
using funnel::matrix;
using funnel::matrix_view;

namespace {

template <class T, class Arch>
std::vector<T> packed(Arch arch, const matrix<T>& weights) {
  std::vector<T> panels(funnel::packed_size<Arch, T>(weights.rows(), weights.cols()), T(-1));
  funnel::pack_weights_kernel(arch, weights.data(), weights.cols(), weights.rows(), weights.cols(),
                              panels.data());
  return panels;
}

/// start + x W in double with its bound: one row of starts for all.
template <class T>
void check_product(const matrix_view<const T>& x, const matrix<T>& weights,
                   const std::vector<T>& start, const matrix_view<const T>& y) {
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) {
      long double sum = start[j];
      long double magnitudes = std::abs(start[j]);
      for (std::size_t k = 0; k < x.cols(); ++k) {
        const long double product = static_cast<long double>(x(i, k)) * weights(k, j);
        sum += product;
        magnitudes += std::abs(product);
      }
      if (!tolerance::within(
              static_cast<double>(y(i, j)), static_cast<double>(sum),
              tolerance::reduction<T>(x.cols() + 1, static_cast<double>(magnitudes)))) {
        FAIL_CHECK("y(" << i << ", " << j << ") of [" << y.rows() << ", " << x.cols() << "] x ["
                        << x.cols() << ", " << y.cols() << "] is " << y(i, j) << ", expected "
                        << static_cast<double>(sum));
      }
    }
  }
}

// Around the rows of a tile, 8 or 6, and what is left of them in halves.
constexpr std::size_t row_counts[] = {0, 1, 2, 3, 5, 6, 7, 8, 9, 12, 15, 25};

/// The kernel on matrices with gaps, against the definition and against itself one row at a time.
template <class T, class Arch>
void check_shape(Arch arch, std::size_t n, std::size_t in, std::size_t out) {
  constexpr T untouched = 123;
  const matrix<T> wide_x = random_matrix<T>(n, in + 3, 1);
  const matrix_view<const T> x = wide_x.view().middle_cols(1, in);
  const matrix<T> weights = random_matrix<T>(in, out, 2);
  const std::vector<T> start = random_values<T>(out, 3);
  const std::vector<T> panels = packed(arch, weights);
  matrix<T> wide_y(n + 1, out + 5, untouched);
  const matrix_view<T> y = wide_y.view().middle_rows(0, n).middle_cols(2, out);
  funnel::dense_kernel(arch, funnel::dense_arguments<T>{x, panels.data(), in, start.data(), 0, y,
                                                        activation::identity});
  check_product<T>(x, weights, start, y);
  for (std::size_t i = 0; i < wide_y.rows(); ++i) {
    for (std::size_t j = 0; j < wide_y.cols(); ++j) {
      const bool written = i < n && j >= 2 && j < out + 2;
      if (!written && wide_y(i, j) != untouched) FAIL_CHECK("wrote beside y");
    }
  }
  matrix<T> row(1, out);
  for (std::size_t i = 0; i < n; ++i) {
    funnel::dense_kernel(arch,
                         funnel::dense_arguments<T>{x.middle_rows(i, 1), panels.data(), in,
                                                    start.data(), 0, row, activation::identity});
    if (!same_bits(row, y.middle_rows(i, 1))) {
      FAIL_CHECK("row " << i << " of " << n << " differs alone, in " << in << ", out " << out);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("dense_kernel: any shape, row by row the same bits", "", float, double) {
  for_each_arch([](auto arch) {
    for (const std::size_t in : size_list{0, 1, 7, 64}) {
      for (const std::size_t out : size_list{1, 15, 16, 17, 33, 48, 65, 129, 145}) {
        for (const std::size_t n : row_counts) check_shape<TestType>(arch, n, in, out);
      }
    }
  });
}

TEMPLATE_TEST_CASE("dense_kernel: start rows named by number", "", float, double) {
  const matrix<TestType> x = random_matrix<TestType>(25, 7, 4);
  const matrix<TestType> weights = random_matrix<TestType>(7, 33, 5);
  const matrix<TestType> starts = random_matrix<TestType>(4, 40, 6);
  std::vector<std::uint32_t> rows(25);
  matrix<TestType> copied(25, 33);
  for (std::size_t i = 0; i < 25; ++i) {
    rows[i] = static_cast<std::uint32_t>(i * i % 4 == 1 ? 3 - i % 3 : i % 4);
    std::ranges::copy(starts.row(rows[i]).first(33), copied.row(i).begin());
  }
  for_each_arch([&](auto arch) {
    const std::vector<TestType> panels = packed(arch, weights);
    for (const std::size_t n : row_counts) {
      matrix<TestType> y(n, 33), expected(n, 33);
      funnel::dense_arguments<TestType> a{.x = x.view().middle_rows(0, n),
                                          .panels = panels.data(),
                                          .panel_in = 7,
                                          .start = copied.data(),
                                          .start_stride = copied.cols(),
                                          .y = expected,
                                          .function = activation::tanh};
      funnel::dense_kernel(arch, a);
      a.start = starts.data();
      a.start_stride = starts.cols();
      a.start_rows = rows.data();
      a.y = y;
      funnel::dense_kernel(arch, a);
      CHECK(same_bits(y, expected));
    }
  });
}

TEMPLATE_TEST_CASE("dense_kernel: activation is the last thing done", "", float, double) {
  const matrix<TestType> x = random_matrix<TestType>(25, 7, 4);
  const matrix<TestType> weights = random_matrix<TestType>(7, 33, 5);
  const std::vector<TestType> start = random_values<TestType>(33, 6);
  for_each_arch([&](auto arch) {
    const std::vector<TestType> panels = packed(arch, weights);
    matrix<TestType> linear(25, 33);
    const auto run = [&](matrix<TestType>& y, activation function) {
      funnel::dense_kernel(arch, funnel::dense_arguments<TestType>{x, panels.data(), 7,
                                                                   start.data(), 0, y, function});
    };
    run(linear, activation::identity);
    for (const activation function : {activation::relu, activation::sigmoid, activation::tanh,
                                      activation::silu, activation::gelu}) {
      matrix<TestType> y(25, 33);
      run(y, function);
      matrix<TestType> expected = linear;
      for (std::size_t i = 0; i < 25; ++i)
        funnel::activation_kernel(arch, linear.row(i).data(), expected.row(i).data(), 33, function);
      INFO("function " << static_cast<int>(function));
      CHECK(same_bits(y, expected));
    }
  });
}

TEMPLATE_TEST_CASE("dense_kernel: parts of the inputs one after another", "", float, double) {
  const std::size_t n = 13;
  const std::size_t in = 12;
  const std::size_t first = 5;
  const std::size_t out = 35;
  const matrix<TestType> x = random_matrix<TestType>(n, in, 7);
  const matrix<TestType> weights = random_matrix<TestType>(in, out, 8);
  const std::vector<TestType> start = random_values<TestType>(out, 9);
  for_each_arch([&]<class Arch>(Arch arch) {
    const std::vector<TestType> panels = packed(arch, weights);
    matrix<TestType> y(n, out);
    funnel::dense_kernel(arch, funnel::dense_arguments<TestType>{x.view().middle_cols(0, first),
                                                                 panels.data(), in, start.data(), 0,
                                                                 y, activation::identity});
    const matrix<TestType> halfway = y;
    // Rows that start each from its own values, once in place and once from elsewhere.
    const TestType* second =
        panels.data() + first * funnel::detail::dense_tile<Arch, TestType>::cols;
    const matrix_view<const TestType> rest = x.view().middle_cols(first, in - first);
    funnel::dense_kernel(arch, funnel::dense_arguments<TestType>{rest, second, in, y.data(), out, y,
                                                                 activation::identity});
    check_product<TestType>(x, weights, start, y.view());
    matrix<TestType> apart(n, out);
    funnel::dense_kernel(arch, funnel::dense_arguments<TestType>{rest, second, in, halfway.data(),
                                                                 out, apart, activation::identity});
    CHECK(same_bits(y, apart));
  });
}

TEMPLATE_TEST_CASE("dense_kernel: every instruction set agrees with the scalar twin", "", float,
                   double) {
  const matrix<TestType> x = random_matrix<TestType>(13, 64, 10);
  const matrix<TestType> weights = random_matrix<TestType>(64, 33, 11);
  const std::vector<TestType> start(33, TestType(0));
  const auto run = [&](auto arch) {
    const std::vector<TestType> panels = packed(arch, weights);
    matrix<TestType> y(13, 33);
    funnel::dense_kernel(arch, funnel::dense_arguments<TestType>{x, panels.data(), 64, start.data(),
                                                                 0, y, activation::identity});
    return y;
  };
  const matrix<TestType> twin = run(funnel::scalar_arch{});
  for_each_arch([&](auto arch) {
    const matrix<TestType> y = run(arch);
    for (std::size_t i = 0; i < y.size(); ++i) {
      // 64 products below 1 each.
      CHECK(tolerance::within(static_cast<double>(y.flat()[i]), static_cast<double>(twin.flat()[i]),
                              tolerance::reduction<TestType>(64, 64)));
    }
  });
}

TEST_CASE("dense_kernel: a NaN stays in its row") {
  for_each_arch([](auto arch) {
    matrix<float> x = random_matrix<float>(25, 7, 12);
    const std::vector<float> panels = packed(arch, random_matrix<float>(7, 33, 13));
    const std::vector<float> start(33, 0.f);
    x(14, 3) = std::numeric_limits<float>::quiet_NaN();
    matrix<float> y(25, 33);
    funnel::dense_kernel(arch, funnel::dense_arguments<float>{x, panels.data(), 7, start.data(), 0,
                                                              y, activation::relu});
    for (std::size_t i = 0; i < 25; ++i) {
      for (const float value : y.row(i)) CHECK(std::isnan(value) == (i == 14));
    }
  });
}

TEST_CASE(
    "pack_weights_kernel: panels are padded with zeros and strided sources are read as such") {
  for_each_arch([]<class Arch>(Arch arch) {
    constexpr std::size_t tile = funnel::detail::dense_tile<Arch, float>::cols;
    const std::size_t in = 3;
    const std::size_t out = tile + 1;
    const matrix<float> wide = random_matrix<float>(in, out + 2, 14, 1, 2);
    std::vector<float> panels(funnel::packed_size<Arch, float>(in, out), -1.f);
    CHECK(panels.size() == 2 * tile * in);
    funnel::pack_weights_kernel(arch, wide.data(), wide.cols(), in, out, panels.data());
    for (std::size_t k = 0; k < in; ++k) {
      for (std::size_t j = 0; j < 2 * tile; ++j) {
        const float found = panels[j / tile * tile * in + k * tile + j % tile];
        CHECK(found == (j < out ? wide(k, j) : 0.f));
      }
    }
  });
}

TEMPLATE_TEST_CASE("pack_transposed_kernel: the weights that are the scaled transpose", "", float,
                   double) {
  using t = TestType;
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t m : size_list{0, 1, 3, 4, 5, 31, 32, 33, 70}) {
      for (const std::size_t d : size_list{1, 3, 4, 7, 16}) {
        const matrix<t> wide = random_matrix<t>(m, d + 3, m + d);
        const auto rows = wide.view().middle_cols(2, d);
        matrix<t> transposed(d, m);
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t k = 0; k < d; ++k) transposed(k, i) = t(0.3) * rows(i, k);
        }
        const std::size_t size = funnel::packed_size<Arch, t>(d, m);
        std::vector<t> panels(size, t(77)), expected(size, t(78));
        funnel::pack_transposed_kernel(arch, rows, t(0.3), panels.data());
        funnel::pack_weights_kernel(arch, transposed.data(), m, d, m, expected.data());
        CHECK(panels == expected);
      }
    }
  });
}
