// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/transpose.hpp>
#include <funnel/simd/detail/unroll.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace funnel {

/// Number of directions (vectors) that are stored side by side in a block: value f of direction s
/// of a block [d][direction_block] is at f * direction_block + s.
inline constexpr std::size_t direction_block = 16;
/// How many values `interleaved_dot_kernel` may read after a block, and how many rows of products
/// it may write after the requested ones.
inline constexpr std::size_t direction_slack = 3;

namespace detail {

/// Products of a lane group with `M` directions at a time: each value of the group is loaded once
/// for M directions.
template <std::size_t M, class Arch, class T>
void interleaved_dots(Arch, const T* group, const T* directions, std::size_t d,
                      T* products) noexcept {
  using p = pack<Arch, T>;
  p sum[M];
  unroll<M>([&](auto m) FUNNEL_INLINE { sum[m] = p(T(0)); });
  for (std::size_t f = 0; f < d; ++f) {
    const p value = p::load_unaligned(group + f * lanes<Arch, T>);
    unroll<M>([&](auto m) FUNNEL_INLINE {
      sum[m] = fma(value, p(directions[f * direction_block + m]), sum[m]);
    });
  }
  unroll<M>([&](auto m) FUNNEL_INLINE { sum[m].store_unaligned(products + m * lanes<Arch, T>); });
}

/// Products with the first `count` <= M directions, and with up to direction_slack more.
template <std::size_t M, class Arch, class T>
void few_interleaved_dots(Arch arch, const T* group, const T* directions, std::size_t d,
                          std::size_t count, T* products) noexcept {
  constexpr std::size_t fewer = M > 4 ? M - 2 : M / 2;
  if constexpr (fewer > 0) {
    if (count <= fewer)
      return few_interleaved_dots<fewer>(arch, group, directions, d, count, products);
  }
  interleaved_dots<M>(arch, group, directions, d, products);
}

}  // namespace detail

/// Inner products of interleaved vectors: products[s][lane] = <vector of the lane, direction s of a
/// block> for begin <= s < end of direction_block. Overwrites up to direction_slack rows of
/// `products` after them.
///
/// `group` [d][lanes] holds as many vectors as a register has lanes. Each product is one sum over f
/// in order, from zero. Its bits depend neither on the lane, nor on the other products, nor on
/// which of the two vectors is the direction.
///
/// Cost        2 d lanes (end - begin) operations. Reads the group once per 16 directions; with 16
///             registers, once per 8.
template <class Arch, class T>
void interleaved_dot_kernel(Arch arch, const T* group, const T* directions, std::size_t d,
                            std::size_t begin, std::size_t end, T* products) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, T>;
  constexpr std::size_t most = width * sizeof(T) >= 64 ? 16 : 8;  // with 32 registers, with 16
  for (std::size_t s = begin; s < end; s += most)
    detail::few_interleaved_dots<most>(arch, group, directions + s, d, std::min(end - s, most),
                                       products + s * width);
}

namespace detail {

/// Products of `M` groups at a time: each value of the direction is loaded once for M groups.
template <std::size_t M, class Arch, class T>
void group_dots(Arch, const T* groups, const T* direction, std::size_t d, T* products,
                std::size_t stride) noexcept {
  using p = pack<Arch, T>;
  constexpr std::size_t width = lanes<Arch, T>;
  p sum[M];
  unroll<M>([&](auto m) FUNNEL_INLINE { sum[m] = p(T(0)); });
  for (std::size_t f = 0; f < d; ++f) {
    const p value(direction[f]);
    unroll<M>([&](auto m) FUNNEL_INLINE {
      sum[m] = fma(p::load_unaligned(groups + (m * d + f) * width), value, sum[m]);
    });
  }
  unroll<M>([&](auto m) FUNNEL_INLINE { sum[m].store_unaligned(products + m * stride); });
}

}  // namespace detail

/// Inner products of several groups with one direction: products[g * stride + lane] = <vector of
/// the lane in group g, direction>, for `count` groups [d][lanes], one after another. The bits are
/// those of `interleaved_dot_kernel`.
template <class Arch, class T>
void interleaved_group_dot_kernel(Arch arch, const T* groups, std::size_t count, const T* direction,
                                  std::size_t d, T* products, std::size_t stride) noexcept {
  constexpr std::size_t most = 8;  // sums that hide the 4 cycles of an FMA, and fit 16 registers
  const std::size_t size = d * detail::lanes<Arch, T>;
  std::size_t g = 0;
  for (; g + most <= count; g += most)
    detail::group_dots<most>(arch, groups + g * size, direction, d, products + g * stride, stride);
  for (; g < count; ++g)
    detail::group_dots<1>(arch, groups + g * size, direction, d, products + g * stride, stride);
}

/// Interleaves (transposes) rows: columns[f][i] = rows[i][f] for `Rows` rows [Rows][d] without
/// gaps.
template <std::size_t Rows, class Arch, class T>
void interleave_rows_kernel([[maybe_unused]] Arch arch, const T* rows, std::size_t d,
                            T* columns) noexcept {
  std::size_t f = 0;
  for (; Rows % 4 == 0 && f + 4 <= d; f += 4) {
    for (std::size_t i = 0; i < Rows; i += 4)
      detail::transpose_4x4(arch, rows + i * d + f, d, T(1), columns + f * Rows + i, Rows);
  }
  for (; f < d; ++f)
    for (std::size_t i = 0; i < Rows; ++i) columns[f * Rows + i] = rows[i * d + f];
}

/// Interleaves scaled rows: columns[f][i] = factors[i] * rows[i][f] for `Rows` rows [d] at any
/// addresses.
template <std::size_t Rows, class Arch, class T>
void interleave_scaled_rows_kernel([[maybe_unused]] Arch arch, const T* const* rows,
                                   const T* factors, std::size_t d, T* columns) noexcept {
  std::size_t f = 0;
#if XSIMD_WITH_AVX
  if constexpr (Rows == 8 && std::is_same_v<T, float> && detail::lanes<Arch, T> == 8)
    for (const __m256 factor = _mm256_loadu_ps(factors); f + 8 <= d; f += 8)
      detail::transpose_8_rows<Arch>(rows, f, factor, columns + f * Rows);
#endif
  if constexpr (Rows % 4 == 0)
    for (; f + 4 <= d; f += 4)
      for (std::size_t i = 0; i < Rows; i += 4)
        detail::transpose_4_rows(arch,
                                 {rows[i] + f, rows[i + 1] + f, rows[i + 2] + f, rows[i + 3] + f},
                                 {factors[i], factors[i + 1], factors[i + 2], factors[i + 3]},
                                 columns + f * Rows + i, Rows);
  for (; f < d; ++f)
    for (std::size_t i = 0; i < Rows; ++i) columns[f * Rows + i] = factors[i] * rows[i][f];
}

}  // namespace funnel
