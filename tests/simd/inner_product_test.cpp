// SPDX-License-Identifier: MIT
#include <funnel/simd/inner_product.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <concepts>
#include <vector>

using funnel::matrix;
using funnel::matrix_view;

namespace {

template <class Arch>
struct packed_items {
  std::size_t count;  // with those that fill up the last panel
  std::vector<float> panels;

  explicit packed_items(const matrix<float>& rows)
      : panels(funnel::packed_items_size<Arch, float>(rows.rows(), rows.cols())) {
    constexpr std::size_t panel = funnel::item_panel<Arch, float>;
    count = (rows.rows() + panel - 1) / panel * panel;
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      for (std::size_t k = 0; k < rows.cols(); ++k)
        panels[funnel::packed_item_place<Arch, float>(i, k, rows.cols())] = rows(i, k);
    }
  }

  matrix<float> scores(const matrix<float>& queries) const {
    matrix<float> y(queries.rows(), count, 77);
    funnel::inner_products_kernel(Arch{}, queries.view(), panels.data(), 0, y.view());
    return y;
  }
};

}  // namespace

TEST_CASE(
    "inner_products_kernel: every query with every item, zeros where the last panel is empty") {
  for_each_arch([]<class Arch>(Arch) {
    for (const std::size_t n : size_list{1, 2, 31, 32, 33, 70}) {
      for (const std::size_t d : size_list{1, 7, 16, 67}) {
        for (const std::size_t q : size_list{1, 2, 3, 8, 9, 16, 27}) {
          const matrix<float> items = random_matrix<float>(n, d, n + d);
          const matrix<float> queries = random_matrix<float>(q, d, q);
          const matrix<float> scores = packed_items<Arch>(items).scores(queries);
          bool right = true;
          for (std::size_t a = 0; a < q; ++a) {
            for (std::size_t i = 0; i < n; ++i) {
              right = right && tolerance::is_sum(scores(a, i), d, [&](std::size_t j) {
                        return double{queries(a, j)} * double{items(i, j)};
                      });
            }
            for (std::size_t i = n; i < scores.cols(); ++i) right = right && scores(a, i) == 0;
          }
          INFO(n << " items, " << d << " values, " << q << " queries");
          CHECK(right);
        }
      }
    }
  });
}

TEST_CASE("inner_products_kernel: a query gives the same bits in every batch") {
  for_each_arch([]<class Arch>(Arch) {
    const matrix<float> items = random_matrix<float>(100, 64, 1);
    const matrix<float> queries = random_matrix<float>(40, 64, 2);
    const packed_items<Arch> packed(items);
    const matrix<float> all = packed.scores(queries);
    for (const std::size_t q : size_list{1, 2, 5, 8, 13, 16, 39}) {
      const matrix<float> some =
          packed.scores(matrix<float>(queries.view().middle_rows(40 - q, q)));
      CHECK(same_bits(some.view(), all.view().middle_rows(40 - q, q)));
    }
  });
}

TEST_CASE(
    "inner_products_kernel: rows apart from one another, no queries, no values, panels behind") {
  using arch = funnel::default_arch;
  constexpr std::size_t panel = funnel::item_panel<arch, float>;
  const matrix<float> items = random_matrix<float>(3 * panel, 6, 3);
  const packed_items<arch> packed(items);
  const matrix<float> wide = random_matrix<float>(20, 10, 4);
  const auto part = wide.view().middle_cols(2, 6);
  const matrix<float> expected = packed.scores(matrix<float>(part));
  matrix<float> room(20, 3 * panel + 5, 77);
  funnel::inner_products_kernel(arch{}, part, packed.panels.data(), 2,
                                room.view().middle_cols(3, panel));
  CHECK(same_bits(room.view().middle_cols(3, panel), expected.view().middle_cols(0, panel)));
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(room(i, 2) == 77);
    CHECK(room(i, 3 + panel) == 77);
  }
  funnel::inner_products_kernel(arch{}, part.middle_rows(0, 0), packed.panels.data(), 0,
                                room.view().middle_rows(0, 0).middle_cols(0, panel));
  funnel::inner_products_kernel(arch{}, part.middle_cols(0, 0), packed.panels.data(), 0,
                                room.view().middle_cols(0, panel));
  CHECK(room(19, panel - 1) == 0);
}

TEST_CASE("products_in_order_kernel: rows anywhere have the bits of packed items") {
  for_each_arch([]<class Arch>(Arch) {
    for (const std::size_t d : size_list{0, 1, 3, 4, 63, 64, 65, 200}) {
      const std::size_t n = 40;
      const matrix<float> items = random_matrix<float>(n, d, d),
                          query = random_matrix<float>(1, d, 2);
      const matrix<float> expected = packed_items<Arch>(items).scores(query);
      for (std::size_t count = 0; count <= funnel::item_panel<Arch, float>; ++count) {
        std::vector<const float*> rows(count);
        for (std::size_t i = 0; i < count; ++i) rows[i] = items.row(i * 7 % n).data();
        std::vector<float> y(count + 1, 77);
        funnel::products_in_order_kernel(Arch{}, rows.data(), count, query.row(0).data(), d,
                                         y.data());
        for (std::size_t i = 0; i < count; ++i) CHECK(y[i] == expected(0, i * 7 % n));
        CHECK(y[count] == 77);
      }
    }
  });
}

TEMPLATE_TEST_CASE("inner_products_kernel: items in two bytes have the bits of their floats", "",
                   funnel::float16, funnel::bfloat16) {
  for_each_arch([]<class Arch>(Arch) {
    const auto stored = [](float value) {
      if constexpr (std::same_as<TestType, funnel::float16>)
        return funnel::to_float16(value);
      else
        return funnel::to_bfloat16(value);
    };
    constexpr std::size_t d = 19;
    matrix<float> items = random_matrix<float>(70, d, 1);
    std::vector<TestType> panels(funnel::packed_items_size<Arch, float>(70, d));
    for (std::size_t i = 0; i < 70; ++i)
      for (std::size_t k = 0; k < d; ++k) {
        const TestType value = stored(items(i, k));
        items(i, k) = funnel::to_float(value);
        panels[funnel::packed_item_place<Arch, float>(i, k, d)] = value;
      }
    for (const std::size_t q : size_list{1, 3, 8, 16, 27}) {
      const matrix<float> queries = random_matrix<float>(q, d, q);
      const matrix<float> expected = packed_items<Arch>(items).scores(queries);
      matrix<float> scores(q, expected.cols());
      funnel::inner_products_kernel(Arch{}, queries.view(), panels.data(), 0, scores.view());
      CHECK(same_bits(scores.view(), expected.view()));
    }
  });
}
