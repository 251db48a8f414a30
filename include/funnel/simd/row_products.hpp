// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/sum_registers.hpp>
#include <funnel/simd/detail/unroll.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel {
namespace detail {

/// What four inner products have in common, so that it is loaded once for all of them.
enum class shared_side { none, row, query };

/// Four inner products, sum[m] = the lanes of <rows[m], queries[m]>. A shared side is read from
/// position 0.
template <shared_side Shared, class Arch, class T>
FUNNEL_INLINE inline void four_products(Arch, const T* const* rows, const T* const* queries,
                                        std::size_t d, pack<Arch, T>* sum) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  p s[4];
  unroll<4>([&](auto m) FUNNEL_INLINE { s[m] = p(T(0)); });
  const auto add = [&](const auto& load) FUNNEL_INLINE {
    if constexpr (Shared == shared_side::row) {
      const p row = load(rows[0]);
      unroll<4>([&](auto m) FUNNEL_INLINE { s[m] = fma(row, load(queries[m]), s[m]); });
    } else if constexpr (Shared == shared_side::query) {
      const p query = load(queries[0]);
      unroll<4>([&](auto m) FUNNEL_INLINE { s[m] = fma(load(rows[m]), query, s[m]); });
    } else {
      unroll<4>([&](auto m) FUNNEL_INLINE { s[m] = fma(load(rows[m]), load(queries[m]), s[m]); });
    }
  };
  std::size_t k = 0;
  for (; k + width <= d; k += width)
    add([k](const T* from) FUNNEL_INLINE { return p::load_unaligned(from + k); });
  if (k < d)
    add([k, d](const T* from) FUNNEL_INLINE { return load_first<Arch, T>(from + k, d - k); });
  unroll<4>([&](auto m) FUNNEL_INLINE { sum[m] = s[m]; });
}

/// `row_products_kernel` for queries of which four at a time share a row, a query, or neither.
template <shared_side Shared, class Arch, class T>
void row_products(Arch arch, const T* const* rows, std::size_t n, const T* queries,
                  std::size_t query_stride, std::size_t query_count, std::size_t d, T* y) noexcept {
  constexpr std::size_t width = lanes<Arch, T>;
  constexpr std::size_t group = std::max<std::size_t>(4, width);  // products at a time
  const std::size_t count = n * query_count;
  std::size_t row = 0;
  std::size_t query = 0;
  for (std::size_t done = 0; done < count; done += group) {
    pack<Arch, T> sums[group];
    for (std::size_t s = 0; s < group; s += 4) {
      const T* of_row[4];
      const T* of_query[4];
      for (std::size_t m = 0; m < 4; ++m) {
        of_row[m] = rows[row];
        of_query[m] = queries + query * query_stride;
        // Behind the last product, it is computed again and not stored.
        if (done + s + m + 1 < count && ++query == query_count) {
          query = 0;
          ++row;
        }
      }
      four_products<Shared>(arch, of_row, of_query, d, sums + s);
    }
    for (std::size_t s = 0; s < group; s += width) {
      // Adding 0 makes -0 to 0; a product that is too small for T could be -0.
      const pack<Arch, T> products = sum_registers<T>(arch, sums + s) + pack<Arch, T>(T(0));
      if (done + s + width <= count) {
        products.store_unaligned(y + done + s);
      } else if (done + s < count) {
        store_first<Arch, T>(products, y + done + s, count - done - s);
      }
    }
  }
}

}  // namespace detail

/// Inner products of queries with rows at any addresses: y[i * query_count + t] = <row i, query t>.
///
/// Each lane is summed in the order of the values, then the lanes, always in the same order. The
/// bits of a product depend neither on the other rows and queries nor on which of the two vectors is
/// the row. A product of 0 is never -0.
///
/// Shapes      rows: n pointers to d values; queries [query_count, d], `query_stride` apart; y [n,
///             query_count].
/// Cost        2 n query_count d operations. The lanes of 16 products are summed together, with
///             AVX2 of 8: that takes 3 instructions per product.
template <class Arch, class T>
void row_products_kernel(Arch arch, const T* const* rows, std::size_t n, const T* queries,
                         std::size_t query_stride, std::size_t query_count, std::size_t d,
                         T* y) noexcept {
  using detail::shared_side;
  const auto run = [&]<shared_side Shared>() {
    detail::row_products<Shared>(arch, rows, n, queries, query_stride, query_count, d, y);
  };
  if (query_count == 1)
    run.template operator()<shared_side::query>();
  else if (query_count % 4 == 0)
    run.template operator()<shared_side::row>();
  else
    run.template operator()<shared_side::none>();
}

}  // namespace funnel
