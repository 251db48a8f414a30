// SPDX-License-Identifier: MIT
#include <funnel/simd/attention.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

constexpr funnel::activation none = funnel::activation::identity;

}  // namespace

TEMPLATE_TEST_CASE("weighted_rows_kernel: dense_kernel to the bit", "", float, double) {
  using t = TestType;
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t m : size_list{0, 1, 9, 50}) {
      for (const std::size_t d : size_list{1, 3, 8, 16, 17, 64, 100}) {
        const matrix<t> wide = random_matrix<t>(m, d + 3, m + d);
        const auto rows = wide.view().middle_cols(1, d);
        const matrix<t> weights = random_matrix<t>(1, m, d), start = random_matrix<t>(1, d, m);
        std::vector<t> panels(funnel::packed_size<Arch, t>(m, d));
        funnel::pack_weights_kernel(arch, rows.data(), rows.stride(), m, d, panels.data());
        matrix<t> expected(1, d), y(1, d + 1, 77);
        funnel::dense_kernel(arch,
                             funnel::dense_arguments<t>{weights.view(), panels.data(), m,
                                                        start.data(), 0, expected.view(), none});
        funnel::weighted_rows_kernel(arch, weights.data(), rows, start.data(), y.data());
        CHECK(same_bits(y.data(), expected.data(), d));
        CHECK(y(0, d) == 77);
        y = start;
        funnel::weighted_rows_kernel(arch, weights.data(), rows, y.data(), y.data());
        CHECK(same_bits(y.data(), expected.data(), d));
      }
    }
  });
}

TEMPLATE_TEST_CASE("fold_rows_kernel: packed weights of one row", "", float, double) {
  using t = TestType;
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t in : size_list{1, 6}) {
      for (const std::size_t out : size_list{1, 8, 31, 32, 33, 80}) {
        const matrix<t> factors = random_matrix<t>(1, in, 1);
        const matrix<t> a = random_matrix<t>(in, out, 2), b = random_matrix<t>(in, out, 3);
        const std::size_t size = funnel::packed_size<Arch, t>(in, out);
        std::vector<t> packed_a(size), packed_b(size), folded(size + 1, t(77)), expected(size);
        funnel::pack_weights_kernel(arch, a.data(), out, in, out, packed_a.data());
        funnel::pack_weights_kernel(arch, b.data(), out, in, out, packed_b.data());
        matrix<t> weights(in, out);
        for (std::size_t k = 0; k < in; ++k) {
          for (std::size_t j = 0; j < out; ++j) weights(k, j) = factors(0, k) * a(k, j) + b(k, j);
        }
        funnel::pack_weights_kernel(arch, weights.data(), out, in, out, expected.data());
        funnel::fold_rows_kernel(arch, factors.data(), packed_a.data(), packed_b.data(), in, out,
                                 folded.data());
        CHECK(folded[size] == 77);
        bool right = true;  // but for the rounding that a fused multiplication and addition saves
        for (std::size_t i = 0; i < size; ++i) {
          right = right && tolerance::within(static_cast<double>(folded[i]),
                                             static_cast<double>(expected[i]),
                                             tolerance::reduction<t>(2, 2));
        }
        CHECK(right);
      }
    }
  });
}
