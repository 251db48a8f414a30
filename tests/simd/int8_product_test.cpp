// SPDX-License-Identifier: MIT
#include <funnel/simd/int8_product.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

/// Values from -127 to 127, half of them an end of the range.
matrix<std::int8_t> codes(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  const matrix<float> values = random_matrix<float>(rows, cols, seed, -254, 254);
  matrix<std::int8_t> of(rows, cols);
  for (std::size_t i = 0; i < of.flat().size(); ++i)
    of.flat()[i] = static_cast<std::int8_t>(std::clamp(values.flat()[i], -127.f, 127.f));
  return of;
}

template <class Arch>
struct int8_items {
  std::size_t count;  // with those that fill up the last panel
  std::vector<std::uint8_t> panels;

  explicit int8_items(const matrix<std::int8_t>& rows)
      : panels(funnel::packed_int8_size<Arch>(rows.rows(), rows.cols()), funnel::packed_int8(0)) {
    constexpr std::size_t panel = funnel::item_panel<Arch, float>;
    count = (rows.rows() + panel - 1) / panel * panel;
    for (std::size_t i = 0; i < rows.rows(); ++i)
      for (std::size_t k = 0; k < rows.cols(); ++k)
        panels[funnel::packed_int8_place<Arch>(i, k, rows.cols())] =
            funnel::packed_int8(rows(i, k));
  }

  matrix<std::int32_t> sums(matrix_view<const std::int8_t> queries, std::size_t after = 0) const {
    matrix<std::uint32_t> words(queries.rows(),
                                funnel::packed_int8_query_size<Arch>(queries.cols()));
    for (std::size_t q = 0; q < queries.rows(); ++q)
      funnel::pack_int8_query_kernel(Arch{}, queries.row(q).data(), queries.cols(),
                                     words.row(q).data());
    matrix<std::int32_t> y(queries.rows(), count - after * funnel::item_panel<Arch, float>, 77);
    funnel::int8_products_kernel(Arch{}, words.view(), panels.data(), after, y.view());
    return y;
  }
};

}  // namespace

TEST_CASE("int8_products_kernel: exact, at the ends of the range too, with every instruction set") {
  for_each_arch([]<class Arch>(Arch) {
    for (const std::size_t n : size_list{1, 2, 31, 32, 33, 70}) {
      for (const std::size_t d : size_list{0, 1, 3, 4, 5, 16, 67, 1500}) {
        for (const std::size_t q : size_list{0, 1, 2, 3, 8, 9, 16, 27}) {
          const matrix<std::int8_t> items = codes(n, d, n + d), queries = codes(q, d, q + 1);
          const int8_items<Arch> packed(items);
          const matrix<std::int32_t> sums = packed.sums(queries);
          bool right = true;
          for (std::size_t a = 0; a < q; ++a) {
            for (std::size_t i = 0; i < packed.count; ++i) {
              int sum = 0;
              for (std::size_t k = 0; k < d && i < n; ++k) sum += queries(a, k) * items(i, k);
              right = right && sums(a, i) == sum;
            }
          }
          INFO(n << " items, " << d << " values, " << q << " queries");
          CHECK(right);
        }
      }
    }
  });
}

TEST_CASE("int8_products_kernel: the longest vectors of largest values") {
  for_each_arch([]<class Arch>(Arch) {
    for (const std::int8_t value : {std::int8_t{127}, std::int8_t{-127}}) {
      const matrix<std::int8_t> items(3, 32768, 127), query(1, 32768, value);
      const matrix<std::int32_t> sums = int8_items<Arch>(items).sums(query);
      for (std::size_t i = 0; i < 3; ++i) CHECK(sums(0, i) == 32768 * 127 * value);
    }
  });
}

TEST_CASE("int8_products_kernel: panels behind those that are asked for are left alone") {
  using arch = funnel::default_arch;
  constexpr std::size_t panel = funnel::item_panel<arch, float>;
  const int8_items<arch> packed(codes(3 * panel, 10, 3));
  const matrix<std::int8_t> queries = codes(20, 10, 4);
  const matrix<std::int32_t> all = packed.sums(queries), first = packed.sums(queries, 2);
  CHECK(same_bits(first.view(), all.view().middle_cols(0, panel)));
}
