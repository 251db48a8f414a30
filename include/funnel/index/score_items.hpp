// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/detail/check_ids.hpp>
#include <funnel/simd/arch.hpp>
#include <funnel/simd/detail/prefetch.hpp>
#include <funnel/simd/row_products.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace funnel {
namespace detail {

template <class Arch, class T>
void score_items(Arch arch, matrix_view<const T> queries, matrix_view<const T> rows,
                 std::span<const item_id> ids, matrix_view<T> scores) {
  check_cols("score_items", "queries", queries.cols(), rows.cols(), "rows");
  check_shape("score_items", "scores", scores, ids.size(), queries.rows());
  check_ids(arch, "score_items", ids, rows.rows());
  // Rows come from memory. Prefetched into L2 alone, because L1 has too few outstanding reads; 16
  // to 32 rows ahead take the same time for rows of 128 to 512 bytes.
  const std::size_t bytes = rows.cols() * sizeof(T);
  const std::size_t ahead = std::clamp<std::size_t>(65536 / (bytes + 1), 1, 32);
  for (std::size_t i = 0; i < std::min(ahead, ids.size()); ++i)
    prefetch_bytes<true>(rows.row(ids[i]).data(), bytes);
  constexpr std::size_t block = 16;
  const T* of_block[block];
  for (std::size_t first = 0; first < ids.size(); first += block) {
    const std::size_t n = std::min(block, ids.size() - first);
    for (std::size_t i = 0; i < n; ++i) {
      if (first + i + ahead < ids.size())
        prefetch_bytes<true>(rows.row(ids[first + i + ahead]).data(), bytes);
      of_block[i] = rows.row(ids[first + i]).data();
    }
    // Scores with gaps between their rows are computed row by row.
    const std::size_t step = scores.stride() == scores.cols() ? n : 1;
    for (std::size_t i = 0; i < n; i += step)
      row_products_kernel(arch, of_block + i, step, queries.data(), queries.stride(),
                          queries.rows(), rows.cols(), scores.row(first + i).data());
  }
}

}  // namespace detail

/// Scores items that are picked by id, such as the candidates of a request: the inner product of
/// every query with the row of every item.
///
///     scores(i, t) = <queries(t), rows(ids[i])>
///
/// Several queries are the vectors of one user, as in `multi_vector_tower`. If queries and rows are
/// normalized to length 1, the scores are cosines. An id may occur more than once.
///
/// Shapes      queries [T, d]; rows [items, d]; ids [n]; scores [n, T].
/// Errors      std::invalid_argument if an id is not a row, or on other shapes.
/// Cost        2 n T d operations; limited by reading n rows at random, which are prefetched.
///             Allocates nothing.
/// Numerics    A score has the same bits whatever the other ids and queries are, so that several
///             threads can each score a part of the ids. NaN in a row or a query reaches the scores
///             of that row or query alone. A score of 0 is never -0.
/// Source      docs/formulas.md#score-of-given-items.
template <class Arch = default_arch>
void score_items(matrix_view<const float> queries, matrix_view<const float> rows,
                 std::span<const item_id> ids, matrix_view<float> scores) {
  detail::score_items(Arch{}, queries, rows, ids, scores);
}
/// The same in double.
template <class Arch = default_arch>
void score_items(matrix_view<const double> queries, matrix_view<const double> rows,
                 std::span<const item_id> ids, matrix_view<double> scores) {
  detail::score_items(Arch{}, queries, rows, ids, scores);
}
/// The same for one query.
///
/// Shapes      query [d]; rows [items, d]; ids [n]; scores [n].
template <class Arch = default_arch>
void score_items(std::span<const float> query, matrix_view<const float> rows,
                 std::span<const item_id> ids, std::span<float> scores) {
  score_items<Arch>(matrix_view<const float>(query.data(), 1, query.size()), rows, ids,
                    matrix_view<float>(scores.data(), scores.size(), 1));
}

}  // namespace funnel
