// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/simd/detail/int8_sums.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/detail/unroll.hpp>
#include <funnel/simd/inner_product.hpp>

#include <cstddef>
#include <cstdint>

namespace funnel {

/// Number of bytes of n packed int8 items of d values.
template <class Arch>
constexpr std::size_t packed_int8_size(std::size_t n, std::size_t d) {
  return packed_items_size<Arch, float>(n, (d + int8_group - 1) / int8_group) * int8_group;
}

/// Position of value k of an item in panels of int8 items of d values.
template <class Arch>
constexpr std::size_t packed_int8_place(std::size_t item, std::size_t k, std::size_t d) {
  const std::size_t groups = (d + int8_group - 1) / int8_group;
  return packed_item_place<Arch, float>(item, k / int8_group, groups) * int8_group + k % int8_group;
}

/// The byte that holds an int8 value in a panel, 128 more than the value: the instructions that
/// multiply bytes take unsigned ones on one side.
constexpr std::uint8_t packed_int8(std::int8_t value) {
  return static_cast<std::uint8_t>(value + 128);
}

namespace detail {

/// Sums of `M` queries with the items of one panel. On the way, prefetches cache lines [First, First +
/// Fetched) of what is as far in the panel `ahead`.
template <std::size_t M, std::size_t First, std::size_t Fetched, class Arch>
void int8_product_block(Arch, matrix_view<const std::uint32_t> queries, const std::uint8_t* panel,
                        const std::uint8_t* ahead, std::int32_t* sums,
                        std::size_t sum_stride) noexcept {
  using lane_sums = int8_sums<Arch>;
  constexpr std::size_t registers = item_panel<Arch, float> / lane_sums::width;
  constexpr std::size_t step = lane_sums::width * int8_group;
  const std::size_t stride = queries.stride();
  const std::uint32_t* query = queries.data();
  lane_sums sum[M][registers];
  unroll<M>([&](auto m) FUNNEL_INLINE {
    const auto start = static_cast<std::int32_t>(query[m * stride]);
    unroll<registers>([&](auto v) FUNNEL_INLINE { sum[m][v].set(start); });
  });
  for (std::size_t k = 1; k < queries.cols(); k += lane_sums::words) {
    for (std::size_t v = 0; v < Fetched; ++v) prefetch_bytes<true>(ahead + (First + v) * 64, 1);
    unroll<registers>([&](auto v) FUNNEL_INLINE {
      const auto items = lane_sums::load(panel + v * step);
      unroll<M>([&](auto m) FUNNEL_INLINE { sum[m][v].add(items, query + m * stride + k); });
    });
    panel += registers * step;
    ahead += registers * step;
  }
  unroll<M>([&](auto m) FUNNEL_INLINE {
    unroll<registers>([&](auto v) FUNNEL_INLINE {
      sum[m][v].store(sums + m * sum_stride + v * lane_sums::width);
    });
  });
}

}  // namespace detail

/// Number of 32-bit words of a packed query of d int8 values.
template <class Arch>
constexpr std::size_t packed_int8_query_size(std::size_t d) {
  return 1 + (d + int8_group - 1) / int8_group * detail::int8_sums<Arch>::words;
}

/// Packs a query of d int8 values for `int8_products_kernel`. Its first word is the start of its
/// sums, which takes back the 128 that were added to the values of items.
template <class Arch>
void pack_int8_query_kernel(Arch, const std::int8_t* query, std::size_t d,
                            std::uint32_t* words) noexcept {
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < d; ++k) sum += query[k];
  *words++ = static_cast<std::uint32_t>(-128 * sum);
  for (std::size_t g = 0; g < d; g += int8_group) {
    const auto value = [&](std::size_t b) -> std::uint32_t {
      return g + b < d ? static_cast<std::uint32_t>(query[g + b]) : 0;
    };
    if constexpr (detail::int8_sums<Arch>::words == 1) {
      std::uint32_t word = 0;
      for (std::size_t b = 0; b < int8_group; ++b) word |= (value(b) & 255) << 8 * b;
      *words++ = word;
    } else {
      *words++ = (value(0) & 65535) | value(2) << 16;
      *words++ = (value(1) & 65535) | value(3) << 16;
    }
  }
}

/// Inner products of int8 queries with packed int8 items: sums(q, i) = <query q, item i>, exact, so
/// that all instruction sets give the same. Includes the items that fill up the last panel.
///
/// Shapes      queries [q, packed_int8_query_size(d)], d at most 32,768, each packed by
///             `pack_int8_query_kernel`; panels of sums.cols() items, a multiple of
///             `item_panel<Arch, float>`. `panels_after` more panels follow them in memory and are
///             read next; the first is prefetched.
/// Cost        q n d / 4 lanes of an instruction for four products of bytes (AVX-512 VNNI); without
///             one, 4 instructions do the work of a register. Reads every panel from memory once.
template <class Arch>
void int8_products_kernel(Arch arch, matrix_view<const std::uint32_t> queries,
                          const std::uint8_t* panels, std::size_t panels_after,
                          matrix_view<std::int32_t> sums) noexcept {
  constexpr std::size_t items = item_panel<Arch, float>;
  // 16 sums in flight with 32 registers, 8 with 16 registers.
  constexpr std::size_t rows = detail::int8_sums<Arch>::width >= 16 ? 8 : 4;
  FUNNEL_ASSERT(queries.rows() == sums.rows() && sums.cols() % items == 0);
  const std::size_t n = queries.rows();
  const std::size_t size =
      (queries.cols() - 1) / detail::int8_sums<Arch>::words * items * int8_group;
  const std::size_t count = sums.cols() / items;
  for (std::size_t j = 0; j < count; ++j) {
    const std::uint8_t* panel = panels + j * size;
    const std::uint8_t* ahead = j + 1 < count + panels_after ? panel + size : panel;
    const auto block = [&]<std::size_t M, std::size_t First, std::size_t Fetched>(std::size_t i) {
      detail::int8_product_block<M, First, Fetched>(arch, queries.middle_rows(i, M), panel, ahead,
                                                    sums.data() + i * sums.stride() + j * items,
                                                    sums.stride());
    };
    // One query is faster than the hardware prefetches; for several, see inner_products_kernel.
    std::size_t i = 0;
    if (n == 1) {
      block.template operator()<1, 0, 2>(0);
      i = 1;
    } else if (n >= 2 * rows) {
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
