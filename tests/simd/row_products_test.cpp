// SPDX-License-Identifier: MIT
#include <funnel/simd/row_products.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

template <class T>
std::vector<const T*> pointers_of(const funnel::matrix<T>& rows) {
  std::vector<const T*> pointers;
  for (std::size_t i = 0; i < rows.rows(); ++i) pointers.push_back(rows.row(i).data());
  return pointers;
}

template <class Arch, class T>
std::vector<T> products_of(Arch arch, const funnel::matrix<T>& rows,
                           const funnel::matrix<T>& queries) {
  const std::size_t count = rows.rows() * queries.rows();
  std::vector<T> y(count + 16, T(7));
  funnel::row_products_kernel(arch, pointers_of(rows).data(), rows.rows(), queries.data(),
                              queries.cols(), queries.rows(), rows.cols(), y.data());
  const auto end = y.begin() + static_cast<std::ptrdiff_t>(count);
  CHECK(std::all_of(end, y.end(), [](T v) { return v == T(7); }));
  return {y.begin(), end};
}

}  // namespace

TEMPLATE_TEST_CASE("row_products_kernel: agrees with sums in double; a product has the same bits "
                   "whatever the others are",
                   "", float, double) {
  using T = TestType;
  for_each_arch([](auto arch) {
    for (const std::size_t d : size_list{0, 1, 3, 4, 8, 15, 16, 17, 64, 100}) {
      for (const std::size_t n : size_list{0, 1, 2, 3, 5, 16, 17}) {
        for (const std::size_t count : size_list{0, 1, 2, 3, 4, 5, 8}) {
          const auto rows = random_matrix<T>(n, d, 1 + d);
          const auto queries = random_matrix<T>(count, d, 100 + d);
          const std::vector<T> all = products_of(arch, rows, queries);
          std::size_t wrong = 0, other_bits = 0;
          for (std::size_t i = 0; i < n; ++i)
            for (std::size_t t = 0; t < count; ++t) {
              const T found = all[i * count + t];
              wrong += !tolerance::is_sum(found, d, [&](std::size_t k) {
                return static_cast<double>(rows(i, k)) * static_cast<double>(queries(t, k));
              });
              const funnel::matrix<T> row(rows.view().middle_rows(i, 1));
              const funnel::matrix<T> query(queries.view().middle_rows(t, 1));
              other_bits += !same_bits(products_of(arch, row, query).data(), &found, 1);
              other_bits += !same_bits(products_of(arch, query, row).data(), &found, 1);
            }
          CAPTURE(d, n, count);
          CHECK(wrong == 0);
          CHECK(other_bits == 0);
        }
      }
    }
  });
}

TEMPLATE_TEST_CASE("row_products_kernel: NaN and infinity reach their own products alone; -0 is 0",
                   "", float, double) {
  using T = TestType;
  for_each_arch([](auto arch) {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    for (const std::size_t d : size_list{2, 17, 32}) {
      funnel::matrix<T> rows(20, d, T(1)), queries(3, d, T(1));
      rows(3, d - 1) = std::numeric_limits<T>::quiet_NaN();
      rows(11, 0) = infinity;
      rows(12, 0) = infinity;
      rows(12, 1) = -infinity;
      for (std::size_t k = 0; k < d; ++k) rows(19, k) = -std::numeric_limits<T>::denorm_min();
      for (std::size_t k = 0; k < d; ++k) queries(2, k) = T(0.001);
      const std::vector<T> y = products_of(arch, rows, queries);
      for (std::size_t i = 0; i < 20; ++i)
        for (std::size_t t = 0; t < 2; ++t) {
          const T found = y[i * 3 + t];
          if (i == 3 || i == 12)
            CHECK(std::isnan(found));
          else if (i == 11)
            CHECK(found == infinity);
          else if (i != 19)
            CHECK(found == static_cast<T>(d));
        }
      CHECK(y[19 * 3 + 2] == 0);
      CHECK_FALSE(std::signbit(y[19 * 3 + 2]));
    }
  });
}
