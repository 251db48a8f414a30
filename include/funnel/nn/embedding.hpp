// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/concat.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {
namespace detail {

/// `first` is the position of ids[0] among all that the caller gave.
/// Errors      std::invalid_argument if an id is not a row of the table.
inline void check_ids(const char* function, std::span<const std::uint32_t> ids, std::size_t rows,
                      std::size_t first = 0) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= rows)
      fail(function, ": ids[", first + i, "] is ", ids[i], ", expected below ", rows);
  }
}

}  // namespace detail

/// A table of learned vectors, one a row; an id picks its row.
///
/// The gradient is sparse: it touches the rows of the batch, and optimizers update only those.
///
/// Shapes      ids [n] -> [n, dim]; ids [n, fields] -> [n, fields * dim], the fields side by side.
/// Errors      std::invalid_argument if an id is not below `rows`.
/// Source      formulas item 19: row 0 is for unknown ids where the caller's vocabulary has them.
template <class T>
struct embedding {
  parameter<T> table;

  embedding() = default;
  /// Starts normal with deviation `scale`.
  embedding(std::size_t rows, std::size_t dim, double scale = 0.05)
      : table(rows, dim, initial_values::normal, parameter_kind::rows) {
    table.initial_scale = scale;
  }

  std::size_t dim() const { return table.cols(); }

  template <Context C>
  value_of<C> operator()(C& context, std::span<const std::uint32_t> ids) const {
    return (*this)(context, matrix_view<const std::uint32_t>(ids.data(), ids.size(), 1));
  }

  template <Context C>
  value_of<C> operator()(C& context, matrix_view<const std::uint32_t> ids) const {
    for (std::size_t i = 0; i < ids.rows(); ++i)
      detail::check_ids("funnel::embedding", ids.row(i), table.rows(), i * ids.cols());
    const auto y = context.make(ids.rows(), ids.cols() * dim());
    for (std::size_t i = 0; i < ids.rows(); ++i) {
      T* to = writable(y).row(i).data();
      for (const std::uint32_t id : ids.row(i)) to = std::ranges::copy(table.value.row(id), to).out;
    }
    if constexpr (C::is_training) {
      context.record([this, &context, ids, y] {
        parameter_gradient<T>& gradient = context.gradient(table);
        for (std::size_t i = 0; i < ids.rows(); ++i) {
          const T* from = y.gradient.row(i).data();
          for (const std::uint32_t id : ids.row(i)) {
            for (T& to : gradient.row(id)) to += *from++;
          }
        }
      });
    }
    return y;
  }

  void visit_parameters(auto&& visit) { visit("table", table); }
};

/// How an embedding bag makes one vector of many.
enum class pooling { sum, mean };

/// Lists of ids, one a row: list i is ids[offsets[i]] .. ids[offsets[i + 1] - 1].
struct id_lists {
  std::span<const std::uint32_t> ids;
  std::span<const std::uint32_t> offsets;  ///< [n + 1], not falling, from 0 to ids.size()

  std::size_t size() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::span<const std::uint32_t> operator[](std::size_t i) const {
    return ids.subspan(offsets[i], offsets[i + 1] - offsets[i]);
  }
};

namespace detail {

/// Errors      std::invalid_argument if the offsets fall, or don't span the ids.
inline void check_lists(const char* function, const id_lists& lists) {
  const std::span<const std::uint32_t> offsets = lists.offsets;
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != lists.ids.size()) {
    fail(function, ": offsets must start at 0 and end at the number of ids, ", lists.ids.size());
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1])
      fail(function, ": offsets[", i, "] is below the one before it");
  }
}

}  // namespace detail

/// The sum or mean of the vectors a list of ids picks: a multi-valued feature, or the last n items
/// of a user.
///
/// Shapes      n lists -> [n, dim]. An empty list gives zeros, never 0/0.
/// Errors      std::invalid_argument if an id is not below `rows` or the offsets don't fit the ids.
/// Source      mean of last-n: Covington, Adams and Sargin, RecSys 2016, section 3; formulas items
///             19 and 66.
template <class T>
struct embedding_bag {
  parameter<T> table;
  pooling pool = pooling::mean;

  embedding_bag() = default;
  /// Starts normal with deviation `scale`.
  embedding_bag(std::size_t rows, std::size_t dim, pooling how = pooling::mean, double scale = 0.05)
      : table(rows, dim, initial_values::normal, parameter_kind::rows), pool(how) {
    table.initial_scale = scale;
  }

  std::size_t dim() const { return table.cols(); }

  template <Context C>
  value_of<C> operator()(C& context, const id_lists& lists) const {
    return pooled(context, table, lists, pool);
  }

  void visit_parameters(auto&& visit) { visit("table", table); }

  /// The same on a table that another layer owns, so that history and candidate can share their
  /// vectors.
  template <Context C>
  static value_of<C> pooled(C& context, const parameter<T>& table, const id_lists& lists,
                            pooling pool) {
    detail::check_lists("funnel::embedding_bag", lists);
    detail::check_ids("funnel::embedding_bag", lists.ids, table.rows());
    const std::size_t dim = table.cols();
    const auto y = context.make(lists.size(), dim);
    const auto factor = [pool](std::size_t length) {
      return pool == pooling::mean && length > 0 ? T(1) / static_cast<T>(length) : T(1);
    };
    for (std::size_t i = 0; i < lists.size(); ++i) {
      const std::span<T> to = writable(y).row(i);
      std::ranges::fill(to, T(0));
      for (const std::uint32_t id : lists[i]) {
        axpy_kernel(typename C::arch{}, T(1), table.value.row(id).data(), to.data(), dim);
      }
      for (T& value : to) value *= factor(lists[i].size());
    }
    if constexpr (C::is_training) {
      context.record([&context, &table, lists, y, factor] {
        parameter_gradient<T>& gradient = context.gradient(table);
        for (std::size_t i = 0; i < lists.size(); ++i) {
          const T share = factor(lists[i].size());
          for (const std::uint32_t id : lists[i]) {
            const std::span<T> to = gradient.row(id);
            for (std::size_t j = 0; j < to.size(); ++j) to[j] += share * y.gradient(i, j);
          }
        }
      });
    }
    return y;
  }
};

}  // namespace funnel
