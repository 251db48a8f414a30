// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/simd/detail/pack.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/stored_value.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace funnel {
namespace detail {

/// View of a stored table. An int8 row starts with two floats, scale and offset; the number of a
/// code is scale * code + offset.
template <class Storage>
struct stored_rows {
  static constexpr bool scaled = std::same_as<Storage, std::int8_t>;
  static constexpr std::size_t header = scaled ? 2 * sizeof(float) : 0;

  const Storage* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  const Storage* row(std::size_t i) const { return data + i * stride; }
  const Storage* end() const { return data + rows * stride; }
};

/// Computes y[0 .. count) = factor * the sum of columns [column, column + count) of the rows
/// ids[begin .. end), in their order. `count` fills at most V registers, and all of them but
/// possibly the last.
template <std::size_t V, class Arch, class Storage>
void bag_block(Arch, const stored_rows<Storage>& table, std::span<const std::uint32_t> ids,
               std::size_t begin, std::size_t end, std::size_t column, std::size_t count,
               computed<Storage> factor, computed<Storage>* y) noexcept {
  using number = computed<Storage>;
  using p = pack<Arch, number>;
  constexpr std::size_t width = lanes<Arch, number>;
  using rows = stored_rows<Storage>;
  p sum[V];
  for (p& s : sum) s = p(number(0));
  number offsets = 0;
  const std::size_t skipped = column == 0 ? 0 : rows::header + column;
  const std::size_t bytes = (rows::header + column + count - skipped) * sizeof(Storage);
  const rows_ahead ahead(bytes);
  constexpr std::size_t lines = (rows::header + V * width * sizeof(Storage) + 63) / 64;
  const std::size_t step = std::size_t{1} << std::countr_zero(table.stride * sizeof(Storage) | 64);
  const bool one_more = 64 - step + bytes > lines * 64;
  Storage copied[V * width];
  for (std::size_t k = begin; k < end; ++k) {
    if (k + ahead.far < ids.size())
      prefetch_lines<lines, true>(table.row(ids[k + ahead.far]) + skipped, one_more, bytes - 1);
    if (k + ahead.near < ids.size())
      prefetch_lines<lines, false>(table.row(ids[k + ahead.near]) + skipped, one_more, bytes - 1);
    const Storage* row = table.row(ids[k]);
    p scale(number(1));
    if constexpr (rows::scaled) {
      number header[2];
      std::memcpy(header, row, sizeof header);
      scale = p(header[0]);
      offsets += header[1];
    }
    const Storage* values = row + rows::header + column;
    // A register may read beyond the end of the row, into the next row; those values are not
    // stored. At the end of the table there is no next row.
    if (count < V * width && static_cast<std::size_t>(table.end() - values) < V * width) {
      std::copy_n(values, count, copied);
      std::fill(copied + count, copied + V * width, Storage());
      values = copied;
    }
    for (std::size_t v = 0; v < V; ++v) {
      const p value = load_stored<Arch>(values + v * width);
      sum[v] = rows::scaled ? fma(scale, value, sum[v]) : sum[v] + value;
    }
  }
  const p f(factor);
  for (std::size_t v = 0; v < V; ++v) {
    const p pooled = rows::scaled ? f * (sum[v] + p(offsets)) : f * sum[v];
    if ((v + 1) * width <= count) {
      pooled.store_unaligned(y + v * width);
    } else {
      store_first<Arch, number>(pooled, y + v * width, count - v * width);
    }
  }
}

}  // namespace detail

/// The largest id; 0 if there are none.
template <class Arch>
std::uint32_t largest_id_kernel(Arch, const std::uint32_t* ids, std::size_t n) noexcept {
  using p = detail::pack<Arch, std::uint32_t>;
  constexpr std::size_t width = detail::lanes<Arch, std::uint32_t>;
  std::uint32_t largest = 0;
  std::size_t i = 0;
  if (n >= width) {
    p lanes(0u);
    for (; i + width <= n; i += width) lanes = max(lanes, p::load_unaligned(ids + i));
    std::uint32_t values[width];
    lanes.store_unaligned(values);
    for (const std::uint32_t value : values) largest = std::max(largest, value);
  }
  for (; i < n; ++i) largest = std::max(largest, ids[i]);
  return largest;
}

/// Embedding bag: y = factor * the sum of the rows ids[begin .. end) of a table, [cols].
///
/// Every column is one sum in the order of the ids, kept in a register. Prefetches the rows of
/// later ids, including ids after `end`.
template <class Arch, class Storage>
void bag_kernel(Arch arch, const detail::stored_rows<Storage>& table,
                std::span<const std::uint32_t> ids, std::size_t begin, std::size_t end,
                detail::computed<Storage> factor, detail::computed<Storage>* y) noexcept {
  constexpr std::size_t width = detail::lanes<Arch, detail::computed<Storage>>;
  constexpr std::size_t registers = 8;  // of 16 or 32
  for (std::size_t column = 0; column < table.cols; column += registers * width) {
    const std::size_t count = std::min(registers * width, table.cols - column);
    const auto run = [&]<std::size_t V>() {
      detail::bag_block<V>(arch, table, ids, begin, end, column, count, factor, y + column);
    };
    switch ((count + width - 1) / width) {
    case 1:
      run.template operator()<1>();
      break;
    case 2:
      run.template operator()<2>();
      break;
    case 3:
      run.template operator()<3>();
      break;
    case 4:
      run.template operator()<4>();
      break;
    case 5:
      run.template operator()<5>();
      break;
    case 6:
      run.template operator()<6>();
      break;
    case 7:
      run.template operator()<7>();
      break;
    default:
      run.template operator()<8>();
    }
  }
}

/// Embedding lookup (gather): copies row ids[i] of the table into row i of y, [cols]; the rows of y
/// are `stride` apart, at least `cols`.
template <class Arch, class T>
void gather_kernel(Arch, const detail::stored_rows<T>& table, std::span<const std::uint32_t> ids,
                   T* y, std::size_t stride) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  const std::size_t cols = table.cols;
  const detail::rows_ahead ahead(cols * sizeof(T));
  for (std::size_t i = 0; i < ids.size(); ++i, y += stride) {
    if (i + ahead.far < ids.size())
      detail::prefetch_bytes<true>(table.row(ids[i + ahead.far]), cols * sizeof(T));
    if (i + ahead.near < ids.size())
      detail::prefetch_bytes<false>(table.row(ids[i + ahead.near]), cols * sizeof(T));
    const T* row = table.row(ids[i]);
    std::size_t j = 0;
    for (; j + width <= cols; j += width) p::load_unaligned(row + j).store_unaligned(y + j);
    if (j < cols) {
      detail::store_first<Arch, T>(detail::load_first<Arch, T>(row + j, cols - j), y + j, cols - j);
    }
  }
}

/// The same with rows of y side by side, without gaps.
template <class Arch, class T>
void gather_kernel(Arch arch, const detail::stored_rows<T>& table,
                   std::span<const std::uint32_t> ids, T* y) noexcept {
  gather_kernel(arch, table, ids, y, table.cols);
}

/// Scatter-add: adds factor * values, [cols], to the rows slots[begin .. end) of `sums`.
///
/// Rows from `fresh` on have no values yet: such a row is set instead of added to, and `fresh` goes
/// up by one. New rows must come in ascending order.
template <class Arch, class T>
void scatter_add_kernel(Arch, T* sums, std::size_t cols, std::span<const std::uint32_t> slots,
                        std::size_t begin, std::size_t end, T factor, const T* values,
                        std::size_t& fresh) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  const std::size_t near = detail::rows_ahead(cols * sizeof(T)).near;
  const p f(factor);
  for (std::size_t k = begin; k < end; ++k) {
    if (k + near < slots.size())
      detail::prefetch_bytes<false>(sums + slots[k + near] * cols, cols * sizeof(T));
    T* to = sums + slots[k] * cols;
    std::size_t j = 0;
    if (slots[k] >= fresh) {
      ++fresh;
      for (; j + width <= cols; j += width)
        (f * p::load_unaligned(values + j)).store_unaligned(to + j);
      if (j < cols) {
        const p last = f * detail::load_first<Arch, T>(values + j, cols - j);
        detail::store_first<Arch, T>(last, to + j, cols - j);
      }
    } else {
      for (; j + width <= cols; j += width) {
        fma(f, p::load_unaligned(values + j), p::load_unaligned(to + j)).store_unaligned(to + j);
      }
      if (j < cols) {
        const p last = fma(f, detail::load_first<Arch, T>(values + j, cols - j),
                           detail::load_first<Arch, T>(to + j, cols - j));
        detail::store_first<Arch, T>(last, to + j, cols - j);
      }
    }
  }
}

}  // namespace funnel
