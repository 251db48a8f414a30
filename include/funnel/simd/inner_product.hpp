// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/detail/unroll.hpp>

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
template <std::size_t M, std::size_t First, std::size_t Fetched, class Arch, class T>
void inner_product_block(Arch, matrix_view<const T> queries, const T* panel, const T* ahead,
                         T* scores, std::size_t score_stride) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  const std::size_t stride = queries.stride();
  p sum[M][2];
  unroll<M>([&](auto m) FUNNEL_INLINE { sum[m][0] = sum[m][1] = p(T(0)); });
  const T* query = queries.data();
  for (std::size_t k = 0; k < queries.cols(); ++k, panel += 2 * width, ahead += 2 * width) {
    // Prefetch into L2, which has more outstanding reads at a time than L1.
    for (std::size_t v = 0; v < Fetched; ++v) prefetch_bytes<true>(ahead + (First + v) * width, 1);
    const p v0 = p::load_unaligned(panel);
    const p v1 = p::load_unaligned(panel + width);
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
/// items that fill up the last panel.
///
/// Every product is one sum over the values in their order, from zero: a query has the same bits in
/// every batch.
///
/// Shapes      queries [q, d]; panels of scores.cols() items, a multiple of `item_panel`.
///             `panels_after` more panels follow them in memory and are read next; the first is
///             prefetched.
/// Cost        2 q n d operations; reads every panel from memory once.
template <class Arch, class T>
void inner_products_kernel(Arch arch, matrix_view<const T> queries, const T* panels,
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
    const T* panel = panels + j * size;
    const T* ahead = j + 1 < count + panels_after ? panel + size : panel;
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

}  // namespace funnel
