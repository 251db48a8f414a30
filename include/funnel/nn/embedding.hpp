// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/id_lists.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/parameter_gradient.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/simd/embedding.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel {
namespace detail {

/// Calls `run(ids, first)` for contiguous pieces of the ids: for all of them at once if they are
/// contiguous, otherwise row by row. `first` is the position of the piece's first id.
template <class Run>
void for_each_run(matrix_view<const std::uint32_t> ids, Run&& run) {
  if (ids.contiguous()) return run(std::span<const std::uint32_t>(ids.data(), ids.size()), 0);
  for (std::size_t i = 0; i < ids.rows(); ++i) run(ids.row(i), i * ids.cols());
}

template <class T>
stored_rows<T> stored_table(const parameter<T>& table) {
  return {table.value.data(), table.rows(), table.cols(), table.cols()};
}

}  // namespace detail

/// Options of `embedding`.
struct embedding_options {
  /// Standard deviation of the normal distribution that the vectors start from, 0 or more.
  double initial_scale = 0.05;
};

/// Embedding table: one learned vector per row. An id selects its row.
///
/// The gradient is sparse: only the rows of the batch's ids have one, and optimizers update only
/// those. If the ids come from a `vocabulary` (features/vocabulary.hpp), row 0 is for unknown ids.
///
/// Shapes      ids [n] -> [n, dim]; ids [n, fields] -> [n, fields * dim], the vectors of the fields
///             side by side.
/// Errors      std::invalid_argument if an id is not below `rows`.
/// Source      docs/formulas.md#embedding.
template <class T>
struct embedding : detail::layer_of<T> {
  parameter<T> table;

  embedding() = default;
  embedding(std::size_t rows, std::size_t dim, const embedding_options& options = {})
      : table(rows, dim, initial_values::normal, parameter_kind::rows) {
    table.initial_scale = options.initial_scale;
  }

  std::size_t dim() const { return table.cols(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, std::span<const std::uint32_t> ids) const {
    return (*this)(context, matrix_view<const std::uint32_t>(ids.data(), ids.size(), 1));
  }

  template <ContextOf<T> C>
  value_of<C> operator()(C& context, matrix_view<const std::uint32_t> ids) const {
    using arch = typename C::arch;
    detail::for_each_run(ids, [&](std::span<const std::uint32_t> run, std::size_t first) {
      detail::check_ids(arch{}, "embedding", run, table.rows(), first);
    });
    const std::size_t width =
        detail::array_size<T>("funnel::embedding: fields x dim", ids.cols(), dim());
    const auto y = context.make(ids.rows(), width);
    detail::for_each_run(ids, [&](std::span<const std::uint32_t> run, std::size_t first) {
      T* to = writable(y).data() + first * dim();
      gather_kernel(arch{}, detail::stored_table(table), run, to);
    });
    if constexpr (C::is_training) {
      context.record([this, &context, ids, y] {
        if (y.cols() != ids.cols() * dim()) {
          detail::fail("funnel::embedding: table has ", dim(),
                       " columns, expected as many as in the forward step");
        }
        parameter_gradient<T>& gradient = context.gradient(table);
        detail::for_each_run(ids, [&](std::span<const std::uint32_t> run, std::size_t first) {
          const T* from = y.gradient.data() + first * dim();
          gradient.add_rows(arch{}, run, matrix_view<const T>(from, run.size(), dim()));
        });
      });
    }
    return y;
  }

  void visit_parameters(auto&& visit) { visit("table", table); }
};

/// How an embedding bag combines many vectors into one.
enum class pooling { sum, mean };

namespace detail {

/// Errors      std::invalid_argument if the offsets decrease, or do not span the ids.
inline void check_lists(std::string_view function, const id_lists& lists) {
  check_offsets(function, "offsets", lists.offsets, lists.ids.size(), "ids");
}

/// Factor of the sum over list i: 1 / length for the mean, otherwise 1.
template <class T>
T bag_factor(const id_lists& lists, std::size_t i, pooling pool) {
  const std::size_t length = lists[i].size();
  return pool == pooling::mean && length > 0 ? T(1) / static_cast<T>(length) : T(1);
}

/// Row i of y is the pooled vector of list i.
template <class Arch, class Storage>
void pool_rows(Arch arch, const stored_rows<Storage>& table, const id_lists& lists, pooling pool,
               matrix_view<computed<Storage>> y) {
  for (std::size_t i = 0; i < lists.size(); ++i) {
    bag_kernel(arch, table, lists.ids, lists.offsets[i], lists.offsets[i + 1],
               bag_factor<computed<Storage>>(lists, i, pool), y.row(i).data());
  }
}

}  // namespace detail

/// Options of `embedding_bag`.
struct embedding_bag_options {
  pooling pool = pooling::mean;
  /// Standard deviation of the normal distribution that the vectors start from, 0 or more.
  double initial_scale = 0.05;
};

/// Embedding bag: the sum or mean of the vectors that a list of ids selects. For a multi-valued
/// feature, or the last n items of a user.
///
/// Shapes      n lists -> [n, dim]. The vector of an empty list is zeros, not 0/0.
/// Errors      std::invalid_argument if an id is not below `rows`, or the offsets do not fit the
///             ids.
/// Source      mean of last-n: Covington, Adams and Sargin, RecSys 2016, section 3;
///             docs/formulas.md#embedding.
template <class T>
struct embedding_bag : detail::layer_of<T> {
  parameter<T> table;
  pooling pool = pooling::mean;

  embedding_bag() = default;
  embedding_bag(std::size_t rows, std::size_t dim, const embedding_bag_options& options = {})
      : table(rows, dim, initial_values::normal, parameter_kind::rows), pool(options.pool) {
    table.initial_scale = options.initial_scale;
  }

  std::size_t dim() const { return table.cols(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const id_lists& lists) const {
    return pooled(context, table, lists, pool);
  }

  void visit_parameters(auto&& visit) { visit("table", table); }

  /// The same on a table that another layer owns: the items of a history and the candidates can
  /// share their vectors.
  template <Context C>
  static value_of<C> pooled(C& context, const parameter<T>& table, const id_lists& lists,
                            pooling pool) {
    detail::check_lists("embedding_bag", lists);
    using arch = typename C::arch;
    detail::check_ids(arch{}, "embedding_bag", lists.ids, table.rows());
    const auto y = context.make(lists.size(), table.cols());
    detail::pool_rows(arch{}, detail::stored_table(table), lists, pool, writable(y));
    if constexpr (C::is_training) {
      context.record([&context, &table, lists, y, pool] {
        context.gradient(table).add_rows(
            arch{}, lists.ids, lists.offsets, y.gradient,
            [&](std::size_t i) { return detail::bag_factor<T>(lists, i, pool); });
      });
    }
    return y;
  }
};

}  // namespace funnel
