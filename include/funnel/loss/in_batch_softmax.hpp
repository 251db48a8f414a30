// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/one_positive.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {

/// What `in_batch_softmax` can be told.
template <class T>
struct in_batch_softmax_options {
  /// Scores are divided by it first; above 0. Cosines need one well below 1, or even the best
  /// possible scores keep a large loss: 0.05 to 0.1. tau.
  T temperature = T(0.05);
  /// ln p of each column's item, p its probability of being in a batch, subtracted from its scores;
  /// none means all equal. Only differences count: logarithms of click counts serve as well.
  std::span<const T> log_q = {};
  /// The item of each column. Where a row's own item stands in another column too (an accidental
  /// hit) it is not a negative of that row. None means all differ.
  std::span<const item_id> items = {};
  /// [n, m]: other than 0 where column j is not a negative of row i, such as an item the user is
  /// known to like; a row's own column is not looked at. Empty means none.
  matrix_view<const std::uint8_t> excluded = {};
  /// Weight of each row (its reward), not negative; none means 1 each, 0 leaves a row out.
  std::span<const T> weights = {};
};

/// The loss of a two-tower model whose negatives are the other items of the batch.
///
///     s_ij = scores_ij / tau - ln p_j
///     L = sum_i w_i L_i / sum_i w_i,   L_i = -ln(e^s_ii / sum_j e^s_ij)
///     dL/dscores_ij = w_i (softmax(s_i)_j - 1[i = j]) / (tau sum_i w_i)
///
/// Popular items are in many batches and would be pushed away as negatives too often; subtracting
/// ln p undoes that. It belongs to the loss alone: serve the scores as they are.
///
/// Shapes      scores [n, m], m >= n: the inner products of n users with m items (`pairwise_dot`),
///             column i the item of row i; columns from n on are further negatives of every row,
///             such as hard ones. log_q, items [m]; weights [n]; the loss [1, 1].
/// Errors      std::invalid_argument if there are fewer columns than rows, a size differs, the
///             temperature is not above 0, a log_q is not finite, or a weight is negative or not
///             finite; nothing is recorded then.
/// Cost        O(n m), a matrix [n, m] of scratch when training and one row else.
/// Numerics    the largest negative is subtracted before exp, and the loss is softplus of a
///             difference: exact to rounding for sure positives too. A row without negatives, such
///             as n = m = 1, has loss 0 and gradient 0. A NaN score makes the loss NaN. Finite for
///             all finite scores and any temperature: a loss or slope beyond the largest number is
///             that number.
/// Source      Yi et al., RecSys 2019, equations 3 and 4; docs/formulas.md#in-batch-softmax.
///             Libraries that compute (score - ln p) / tau correct 1 / tau times too much.
template <Context C>
value_of<C> in_batch_softmax(C& context, const value_of<C>& scores,
                             const in_batch_softmax_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr const char* name = "in_batch_softmax";
  const std::size_t n = scores.rows(), m = scores.cols();
  const std::span<const t> log_q = options.log_q, weights = options.weights;
  const std::span<const item_id> items = options.items;
  const matrix_view<const std::uint8_t> excluded = options.excluded;
  if (m < n) {
    detail::fail("funnel::", name, ": scores is [", n, ", ", m,
                 "], expected as many columns as rows or more");
  }
  detail::check_positive(name, "temperature", options.temperature);
  if (!log_q.empty()) detail::check_count(name, "log_q", log_q.size(), m);
  detail::require_finite(name, "log_q", log_q);
  if (!items.empty()) detail::check_count(name, "items", items.size(), m);
  if (!excluded.empty() && (excluded.rows() != n || excluded.cols() != m)) {
    detail::fail("funnel::", name, ": excluded is [", excluded.rows(), ", ", excluded.cols(),
                 "], expected [", n, ", ", m, "] as scores");
  }
  detail::check_weights(name, weights, n);

  return detail::one_positive_mean(
      context, scores, options.temperature, weights, [](std::size_t i) { return i; },
      [&](std::size_t) { return log_q; },
      [&](std::size_t i, std::size_t j) {
        const bool same = !items.empty() && items[j] == items[i];
        return same || (!excluded.empty() && excluded(i, j) != 0);
      });
}

}  // namespace funnel
