// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/detail/transpose.hpp>
#include <funnel/simd/detail/unroll.hpp>
#include <funnel/simd/stored_value.hpp>

#include <cstddef>

namespace funnel {

/// Number of items in a panel. A panel [d][item_panel] stores the values k of its items side by
/// side.
template <class Arch, class T>
inline constexpr std::size_t item_panel = 2 * detail::lanes<Arch, T>;

/// Number of values of n packed vectors of d values.
template <class Arch, class T>
constexpr std::size_t packed_items_size(std::size_t n, std::size_t d) {
  constexpr std::size_t panel = item_panel<Arch, T>;
  return (n + panel - 1) / panel * panel * d;
}

/// Position of value k of an item in panels of vectors of d values.
template <class Arch, class T>
constexpr std::size_t packed_item_place(std::size_t item, std::size_t k, std::size_t d) {
  constexpr std::size_t panel = item_panel<Arch, T>;
  return (item / panel * d + k) * panel + item % panel;
}

namespace detail {

/// Inner products of `M` queries with the items of one panel. On the way, prefetches registers
/// [First, First + Fetched) of each row of the panel `ahead`.
template <std::size_t M, std::size_t First, std::size_t Fetched, class Arch, class T, class Stored>
void inner_product_block(Arch, matrix_view<const T> queries, const Stored* panel,
                         const Stored* ahead, T* scores, std::size_t score_stride) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  const std::size_t stride = queries.stride();
  p sum[M][2];
  unroll<M>([&](auto m) FUNNEL_INLINE { sum[m][0] = sum[m][1] = p(T(0)); });
  const T* query = queries.data();
  for (std::size_t k = 0; k < queries.cols(); ++k, panel += 2 * width, ahead += 2 * width) {
    // Prefetch into L2, which has more outstanding reads at a time than L1.
    for (std::size_t v = 0; v < Fetched; ++v) prefetch_bytes<true>(ahead + (First + v) * width, 1);
    const p v0 = load_stored<Arch>(panel);
    const p v1 = load_stored<Arch>(panel + width);
    unroll<M>([&](auto m) FUNNEL_INLINE {
      const p value(query[m * stride + k]);
      sum[m][0] = fma(value, v0, sum[m][0]);
      sum[m][1] = fma(value, v1, sum[m][1]);
    });
  }
  unroll<M>([&](auto m) FUNNEL_INLINE {
    sum[m][0].store_unaligned(scores + m * score_stride);
    sum[m][1].store_unaligned(scores + m * score_stride + width);
  });
}

}  // namespace detail

/// Inner products of queries with packed items: scores(q, i) = <query q, item i>. Includes the
/// items that fill up the last panel. The items are stored as T, or as float16 or bfloat16 if T is
/// float.
///
/// Every product is one sum over the values in their order, from zero: a query has the same bits in
/// every batch, and stored items have the bits of the floats that their values are.
///
/// Shapes      queries [q, d]; panels of scores.cols() items, a multiple of `item_panel<Arch, T>`.
///             `panels_after` more panels follow them in memory and are read next; the first is
///             prefetched.
/// Cost        2 q n d operations; reads every panel from memory once.
template <class Arch, class T, class Stored>
void inner_products_kernel(Arch arch, matrix_view<const T> queries, const Stored* panels,
                           std::size_t panels_after, matrix_view<T> scores) noexcept {
  constexpr std::size_t items = item_panel<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  // 16 sums in flight with 32 registers, 8 with 16 registers.
  constexpr std::size_t rows = width * sizeof(T) >= 64 ? 8 : 4;
  FUNNEL_ASSERT(queries.rows() == scores.rows() && scores.cols() % items == 0);
  const std::size_t n = queries.rows();
  const std::size_t size = queries.cols() * items;
  const std::size_t count = scores.cols() / items;
  for (std::size_t j = 0; j < count; ++j) {
    const Stored* panel = panels + j * size;
    const Stored* ahead = j + 1 < count + panels_after ? panel + size : panel;
    const auto block = [&]<std::size_t M, std::size_t First, std::size_t Fetched>(std::size_t i) {
      detail::inner_product_block<M, First, Fetched>(
          arch, queries.middle_rows(i, M), panel, ahead,
          scores.data() + i * scores.stride() + j * items, scores.stride());
    };
    // The panels are one stream. The hardware prefetches it well only if it is read at an even
    // pace. When several blocks of queries use the same panel, the first two blocks therefore
    // prefetch half of the next panel each.
    std::size_t i = 0;
    if (n >= 2 * rows) {
      block.template operator()<rows, 0, 1>(0);
      block.template operator()<rows, 1, 1>(rows);
      i = 2 * rows;
    }
    for (; i + rows <= n; i += rows) block.template operator()<rows, 0, 0>(i);
    for (; i + 2 <= n; i += 2) block.template operator()<2, 0, 0>(i);
    for (; i < n; ++i) block.template operator()<1, 0, 0>(i);
  }
}

/// Inner products of a query with `n` rows at any addresses, at most `item_panel` of them: y[i] =
/// <query, row i>, with the bits that `inner_products_kernel` gives packed items.
template <class Arch, class T>
void products_in_order_kernel(Arch arch, const T* const* rows, std::size_t n, const T* query,
                              std::size_t d, T* y) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  constexpr std::size_t panel = item_panel<Arch, T>;
  constexpr std::size_t most = 64;  // values at a time: 8 KB with AVX-512
  FUNNEL_ASSERT(n <= panel);
  if (n == 0) return;
  const T* of[panel];
  for (std::size_t i = 0; i < panel; ++i) of[i] = rows[i < n ? i : 0];
  T columns[most * panel];
  p sum[2] = {p(T(0)), p(T(0))};
  for (std::size_t begin = 0; begin < d; begin += most) {
    const std::size_t count = d - begin < most ? d - begin : most;
    std::size_t k = 0;
    if constexpr (panel % 4 == 0) {
      for (; k + 4 <= count; k += 4)
        for (std::size_t i = 0; i < panel; i += 4)
          detail::transpose_4_rows(arch,
                                   {of[i] + begin + k, of[i + 1] + begin + k, of[i + 2] + begin + k,
                                    of[i + 3] + begin + k},
                                   {T(1), T(1), T(1), T(1)}, columns + k * panel + i, panel);
    }
    for (; k < count; ++k)
      for (std::size_t i = 0; i < panel; ++i) columns[k * panel + i] = of[i][begin + k];
    for (k = 0; k < count; ++k) {
      const p value(query[begin + k]);
      sum[0] = fma(value, p::load_unaligned(columns + k * panel), sum[0]);
      sum[1] = fma(value, p::load_unaligned(columns + k * panel + width), sum[1]);
    }
  }
  T sums[panel];
  sum[0].store_unaligned(sums);
  sum[1].store_unaligned(sums + width);
  for (std::size_t i = 0; i < n; ++i) y[i] = sums[i];
}

}  // namespace funnel
