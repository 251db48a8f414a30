// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/simd/embedding.hpp>
#include <funnel/simd/stored_value.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

namespace funnel {

/// Quantized table of vectors, read-only: two bytes per value (`float16`, `bfloat16`) or one
/// (`std::int8_t`) instead of four.
///
/// A row of `std::int8_t` has its own scale and offset, stored before its codes: the smallest value
/// of the row has the code -128, the largest 127.
///
/// Numerics    The largest difference between a value that is read and the original. `float16`:
///             2^-11 of the value, or 2^-25 if its magnitude is below 2^-14. `bfloat16`: 2^-8 of
///             the value, or 2^-134 if its magnitude is below 2^-126. `std::int8_t`: half a step,
///             (largest - smallest of the row) / 510, plus a few rounding errors of the row's
///             largest magnitude, each 2^-149 if that is denormal.
/// Source      docs/formulas.md#quantized-rows.
template <class Storage>
class quantized_table {
  static_assert(std::same_as<Storage, float16> || std::same_as<Storage, bfloat16> ||
                    std::same_as<Storage, std::int8_t>,
                "a table is stored in float16, bfloat16 or std::int8_t");

 public:
  quantized_table() = default;
  /// Errors      std::invalid_argument if a value is not finite or too large: 65520 or more for
  ///             `float16`; for `std::int8_t`, if the difference between two values of a row
  ///             exceeds the largest float.
  explicit quantized_table(matrix_view<const float> values)
      : rows_(values.rows()), cols_(values.cols()) {
    check(values);
    values_.resize(
        detail::array_size<Storage>("funnel::quantized_table: rows x stride", rows_, stride()));
    for (std::size_t i = 0; i < rows_; ++i) store(values.row(i), values_.data() + i * stride());
  }

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  /// Size of the table in memory, in bytes.
  std::size_t bytes() const { return values_.size() * sizeof(Storage); }

  /// The table in the form that kernels read.
  detail::stored_rows<Storage> stored() const { return {values_.data(), rows_, cols_, stride()}; }

 private:
  std::size_t stride() const { return detail::stored_rows<Storage>::header + cols_; }

  static Storage encoded(float value) {
    if constexpr (std::same_as<Storage, float16>) {
      return to_float16(value);
    } else {
      return to_bfloat16(value);
    }
  }

  static void check(matrix_view<const float> values) {
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        bool fits = std::isfinite(values(i, j));
        if constexpr (!std::same_as<Storage, std::int8_t>)
          fits = std::isfinite(to_float(encoded(values(i, j))));
        if (!fits) {
          detail::fail("funnel::quantized_table: values[", i, ", ", j, "] is ",
                       static_cast<double>(values(i, j)),
                       ", expected a finite number that can be stored");
        }
      }
      if constexpr (std::same_as<Storage, std::int8_t>) {
        const auto [smallest, largest] = range(values.row(i));
        if (!std::isfinite(largest - smallest)) {
          detail::fail("funnel::quantized_table: values[", i, "] goes from ",
                       static_cast<double>(smallest), " to ", static_cast<double>(largest),
                       ", expected a difference that a float holds");
        }
      }
    }
  }

  struct bounds {
    float smallest = 0;
    float largest = 0;
  };
  static bounds range(std::span<const float> row) {
    if (row.empty()) return {};
    const auto [smallest, largest] = std::ranges::minmax(row);
    return {smallest, largest};
  }

  static void store(std::span<const float> row, Storage* to) {
    if constexpr (std::same_as<Storage, std::int8_t>) {
      const auto [smallest, largest] = range(row);
      const double width = static_cast<double>(largest) - static_cast<double>(smallest);
      float scale = static_cast<float>(width / 255);
      // A denormal scale has few digits, or is 0. If it was rounded down, 255 steps would not reach
      // the largest value; then the next larger scale is used.
      if (scale < std::numeric_limits<float>::min() && 255 * static_cast<double>(scale) < width)
        scale = std::nextafter(scale, 1.f);
      const float offset =
          static_cast<float>(static_cast<double>(smallest) + 128 * static_cast<double>(scale));
      const float header[2] = {scale, offset};
      std::memcpy(to, header, sizeof header);
      to += sizeof header;
      for (const float value : row) {
        // Codes are relative to the rounded scale and offset, so that a code may be out of range.
        const double above = static_cast<double>(value) - static_cast<double>(offset);
        const double code = scale > 0 ? std::round(above / static_cast<double>(scale)) : 0;
        *to++ = static_cast<std::int8_t>(std::clamp(code, -128., 127.));
      }
    } else {
      for (const float value : row) *to++ = encoded(value);
    }
  }

  detail::aligned_vector<Storage> values_;  // before its sizes: a copy that fails changes none
  detail::owned_size rows_;
  detail::owned_size cols_;
};

namespace detail {

template <class C>
constexpr void check_serves() {
  static_assert(!C::is_training, "a quantized table has no gradient: train the embedding it is of");
  static_assert(std::same_as<scalar_of<C>, float>, "a quantized table gives floats");
}

}  // namespace detail

/// Quantized embedding table for serving: takes half or a quarter of the memory of an `embedding`,
/// and has the same call, on an `inference_context`.
///
/// It is a copy of the embedding's values. It names no parameters, and cannot be trained or saved.
/// A model that takes the type of its embeddings as a template parameter can be built with either.
///
/// Shapes      ids [n] -> [n, dim]; ids [n, fields] -> [n, fields * dim].
/// Errors      std::invalid_argument if an id is not below `rows`.
/// Numerics    See `quantized_table`; computed in float.
template <class Storage>
struct quantized_embedding : detail::layer_of<float> {
  quantized_table<Storage> table;

  quantized_embedding() = default;
  /// Errors      std::invalid_argument if a value cannot be stored.
  explicit quantized_embedding(const embedding<float>& trained) : table(trained.table.value) {}

  std::size_t dim() const { return table.cols(); }

  using detail::layer_of<float>::operator();
  template <ContextOf<float> C>
  value_of<C> operator()(C& context, std::span<const std::uint32_t> ids) const {
    return (*this)(context, matrix_view<const std::uint32_t>(ids.data(), ids.size(), 1));
  }

  template <ContextOf<float> C>
  value_of<C> operator()(C& context, matrix_view<const std::uint32_t> ids) const {
    detail::check_serves<C>();
    using arch = typename C::arch;
    detail::for_each_run(ids, [&](std::span<const std::uint32_t> run, std::size_t first) {
      detail::check_ids(arch{}, "quantized_embedding", run, table.rows(), first);
    });
    const std::size_t width =
        detail::array_size<float>("funnel::quantized_embedding: fields x dim", ids.cols(), dim());
    const auto y = context.make(ids.rows(), width);
    detail::for_each_run(ids, [&](std::span<const std::uint32_t> run, std::size_t first) {
      float* to = writable(y).data() + first * dim();
      for (std::size_t i = 0; i < run.size(); ++i, to += dim())
        bag_kernel(arch{}, table.stored(), run, i, i + 1, 1.f, to);
    });
    return y;
  }

  void visit_parameters(auto&&) {}
};

/// Quantized embedding bag for serving: takes half or a quarter of the memory of an
/// `embedding_bag`, and has the same call, on an `inference_context`.
///
/// Shapes      n lists -> [n, dim]. The vector of an empty list is zeros.
/// Errors      std::invalid_argument if an id is not below `rows`, or the offsets do not fit the
///             ids.
/// Cost        bound by memory if the table is larger than the caches: reads half, or about a
///             quarter, of the bytes.
/// Numerics    See `quantized_table`; summed in float.
template <class Storage>
struct quantized_embedding_bag : detail::layer_of<float> {
  quantized_table<Storage> table;
  pooling pool = pooling::mean;

  quantized_embedding_bag() = default;
  /// Errors      std::invalid_argument if a value cannot be stored.
  explicit quantized_embedding_bag(const embedding_bag<float>& trained)
      : table(trained.table.value), pool(trained.pool) {}

  std::size_t dim() const { return table.cols(); }

  using detail::layer_of<float>::operator();
  template <ContextOf<float> C>
  value_of<C> operator()(C& context, const id_lists& lists) const {
    return pooled(context, table, lists, pool);
  }

  void visit_parameters(auto&&) {}

  /// The same on a table that another layer owns.
  template <Context C>
  static value_of<C> pooled(C& context, const quantized_table<Storage>& table,
                            const id_lists& lists, pooling pool) {
    detail::check_serves<C>();
    using arch = typename C::arch;
    detail::check_lists("quantized_embedding_bag", lists);
    detail::check_ids(arch{}, "quantized_embedding_bag", lists.ids, table.rows());
    const auto y = context.make(lists.size(), table.cols());
    detail::pool_rows(arch{}, table.stored(), lists, pool, writable(y));
    return y;
  }
};

}  // namespace funnel
