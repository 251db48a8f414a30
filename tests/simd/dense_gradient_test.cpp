// SPDX-License-Identifier: MIT
#include <funnel/simd/dense_gradient.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

/// Checks to(i, j) = 1/2 + the sum over `terms` of f(k), whose two factors `at` gives.
template <class T, class At>
void check_sums(const matrix_view<const T>& to, std::size_t terms, const At& at) {
  for (std::size_t i = 0; i < to.rows(); ++i) {
    for (std::size_t j = 0; j < to.cols(); ++j) {
      double sum = .5;
      double magnitudes = .5;
      for (std::size_t k = 0; k < terms; ++k) {
        const double product = at(i, j, k);
        sum += product;
        magnitudes += std::abs(product);
      }
      const double bound = tolerance::reduction<T>(terms + 1, magnitudes);
      if (!tolerance::within(static_cast<double>(to(i, j)), sum, bound))
        FAIL_CHECK("gradient(" << i << ", " << j << ") is " << to(i, j) << ", expected " << sum);
    }
  }
}

template <class T, class Arch>
void check_gradients(Arch arch, std::size_t n, std::size_t in, std::size_t out) {
  // Each is a part of something wider, as the parts of a concatenation are.
  const matrix<T> wide_x = random_matrix<T>(n, in + 3, 1);
  const matrix<T> wide_weights = random_matrix<T>(in, out + 2, 2);
  const matrix<T> wide_g = random_matrix<T>(n, out + 5, 3);
  const matrix_view<const T> x = wide_x.view().middle_cols(1, in);
  const matrix_view<const T> weights = wide_weights.view().middle_cols(2, out);
  const matrix_view<const T> g = wide_g.view().middle_cols(4, out);
  matrix<T> wide_to(std::max(n, in), std::max(in, out) + 1, T(.5));

  std::vector<T> scratch(funnel::packed_size<Arch, T>(out, in), T(-1));
  const matrix_view<T> x_gradient = wide_to.view().middle_rows(0, n).middle_cols(1, in);
  funnel::input_gradient_kernel(arch, g, weights, x_gradient, scratch.data());
  check_sums<T>(x_gradient, out, [&](std::size_t i, std::size_t j, std::size_t k) {
    return static_cast<double>(g(i, k)) * static_cast<double>(weights(j, k));
  });

  // The same from panels that were packed before.
  matrix<T> from_panels(n, in, T(.5));
  funnel::pack_transposed_kernel(arch, weights, T(1), scratch.data());
  funnel::packed_input_gradient_kernel(arch, g, static_cast<const T*>(scratch.data()),
                                       from_panels.view());
  CHECK(same_bits(x_gradient, from_panels.view()));

  matrix<T> sums(1, out + 1, T(.5));
  funnel::column_sums_kernel(arch, g, sums.data());
  CHECK(sums(0, out) == T(.5));
  check_sums<T>(sums.view().middle_cols(0, out), n, [&](std::size_t, std::size_t j, std::size_t k) {
    return static_cast<double>(g(k, j));
  });

  wide_to = matrix<T>(wide_to.rows(), wide_to.cols(), T(.5));
  scratch.assign(funnel::weight_gradient_scratch<Arch, T>(n, out), T(-1));
  const matrix_view<T> gradient = wide_to.view().middle_rows(0, in).middle_cols(1, out);
  funnel::weight_gradient_kernel(arch, x, g, gradient, scratch.data());
  check_sums<T>(gradient, n, [&](std::size_t i, std::size_t j, std::size_t k) {
    return static_cast<double>(x(k, i)) * static_cast<double>(g(k, j));
  });
  // Set instead of added: as added to zeros, whatever was there.
  matrix<T> set(in, out, std::numeric_limits<T>::quiet_NaN()), zeros(in, out);
  scratch.assign(scratch.size(), T(-1));
  funnel::weight_gradient_kernel(arch, x, g, set.view(), scratch.data(), false);
  funnel::weight_gradient_kernel(arch, x, g, zeros.view(), scratch.data());
  CHECK(same_bits(set, zeros));

  for (std::size_t i = 0; i < wide_to.rows(); ++i) {
    for (std::size_t j = 0; j < wide_to.cols(); ++j) {
      const bool written = i < in && j >= 1 && j < out + 1;
      if (!written && wide_to(i, j) != T(.5)) FAIL_CHECK("wrote beside the gradient");
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("input_gradient_kernel, weight_gradient_kernel, column_sums_kernel: any shape, "
                   "against the definition",
                   "", float, double) {
  for_each_arch([](auto arch) {
    for (const std::size_t n : size_list{0, 1, 5, 127, 128, 129, 300})
      for (const std::size_t in : size_list{1, 16, 37})
        for (const std::size_t out : size_list{1, 4, 33, 64})
          check_gradients<TestType>(arch, n, in, out);
  });
}
