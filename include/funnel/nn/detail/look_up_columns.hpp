// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/id_lists.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/nn/embedding.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/simd/embedding.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

// Embeddings of several tables side by side in one value.
namespace funnel::detail {

/// Writes embeddings to columns `at` and on of y.
///
/// Errors      std::invalid_argument if an id is not a row of the table.
template <class C, class T, class Y>
void look_up_columns(C& context, std::string_view function, const parameter<T>& table,
                     std::span<const std::uint32_t> ids, const Y& y, std::size_t at) {
  using arch = typename C::arch;
  check_ids(arch{}, function, ids, table.rows());
  if (ids.empty()) return;
  gather_kernel(arch{}, stored_table(table), ids, writable(y).data() + at, writable(y).stride());
  if constexpr (C::is_training) {
    context.record([&context, &table, ids, y, at, dim = table.cols()] {
      context.gradient(table).add_rows(arch{}, ids, y.gradient.middle_cols(at, dim));
    });
  }
}

/// The same for the sum or mean of the embeddings of lists.
template <class C, class T, class Y>
void pool_columns(C& context, std::string_view function, const parameter<T>& table,
                  const id_lists& lists, pooling pool, const Y& y, std::size_t at) {
  using arch = typename C::arch;
  check_lists(function, lists);
  check_ids(arch{}, function, lists.ids, table.rows());
  pool_rows(arch{}, stored_table(table), lists, pool, writable(y).middle_cols(at, table.cols()));
  if constexpr (C::is_training) {
    context.record([&context, &table, lists, pool, y, at, dim = table.cols()] {
      context.gradient(table).add_rows(
          arch{}, lists.ids, lists.offsets, y.gradient.middle_cols(at, dim),
          [&](std::size_t i) { return bag_factor<T>(lists, i, pool); });
    });
  }
}

}  // namespace funnel::detail
