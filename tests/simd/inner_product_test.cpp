// SPDX-License-Identifier: MIT
#include <funnel/simd/inner_product.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <vector>

TEST_CASE("inner_products_kernel: one exact product a row, the same bits wherever the row stands") {
  for_each_arch([]<class Arch>(Arch arch) {
    for (const std::size_t d : size_list{1, 7, 16, 64, 67}) {
      const funnel::matrix<float> vectors = random_matrix<float>(9, d, d);
      const funnel::matrix<float> query = random_matrix<float>(1, d, d + 1);
      std::vector<float> scores(9);
      funnel::inner_products_kernel(arch, query.data(), vectors.view(), scores.data());
      for (std::size_t i = 0; i < 9; ++i) {
        double exact = 0, magnitudes = 0;
        for (std::size_t j = 0; j < d; ++j) {
          exact += double{query(0, j)} * double{vectors(i, j)};
          magnitudes += std::abs(double{query(0, j)} * double{vectors(i, j)});
        }
        CHECK(tolerance::within(scores[i], exact, tolerance::reduction<float>(d, magnitudes)));
        float alone = 0;
        funnel::inner_products_kernel(arch, query.data(), vectors.view().middle_rows(i, 1), &alone);
        CHECK(alone == scores[i]);
      }
    }
  });
}

TEST_CASE("inner_products_kernel: reads rows apart from one another, and none at all") {
  const funnel::matrix<float> wide = random_matrix<float>(4, 10, 3);
  const funnel::matrix<float> query = random_matrix<float>(1, 6, 4);
  std::vector<float> scores(4, -1.f), copied(4);
  const auto part = wide.view().middle_cols(2, 6);
  funnel::inner_products_kernel(funnel::default_arch{}, query.data(), part, scores.data());
  const funnel::matrix<float> copy(part);
  funnel::inner_products_kernel(funnel::default_arch{}, query.data(), copy.view(), copied.data());
  CHECK(scores == copied);
  funnel::inner_products_kernel(funnel::default_arch{}, query.data(), part.middle_rows(0, 0),
                                copied.data());
  CHECK(scores == copied);
}
