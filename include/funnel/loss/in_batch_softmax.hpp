// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/ids.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/one_positive.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {

/// Options of `in_batch_softmax`.
template <class T>
struct in_batch_softmax_options {
  /// Temperature: scores are divided by it first; above 0. Cosines need 0.05 to 0.1. With 1 even
  /// the best possible cosines have a large loss. tau.
  T temperature = T(0.05);
  /// ln p for the item of each column, where p is the probability that the item is in a batch. It
  /// is subtracted from the column's scores (logQ correction). Empty means all items are equally
  /// likely. Only differences matter, so logarithms of click counts work as well.
  std::span<const T> log_q = {};
  /// The item of each column. If a row's own item also appears in another column (an accidental
  /// hit), that column is not a negative of the row. Empty means all items differ.
  std::span<const item_id> items = {};
  /// [n, m]; nonzero where column j must not be a negative of row i, for example an item that the
  /// user is known to like. The entry for a row's own column is ignored. Empty means no exclusions.
  matrix_view<const std::uint8_t> excluded = {};
  /// Weight (reward) of each row, 0 or more; empty means weight 1 for every row. A row of weight 0
  /// is left out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Softmax loss with in-batch negatives: the training loss of a two-tower model, in which the items
/// of the other rows of the batch serve as negatives.
///
///     s_ij = scores_ij / tau - ln p_j
///     L = sum_i w_i L_i / sum_i w_i,   L_i = -ln(e^s_ii / sum_j e^s_ij)
///     dL/dscores_ij = w_i (softmax(s_i)_j - 1[i = j]) / (tau sum_i w_i)
///
/// Popular items are in many batches, so they would serve as negatives too often. Subtracting ln p
/// corrects this. The correction is for training only: serve the scores without it.
///
/// Shapes      scores [n, m], m >= n: the inner products of n users with m items (`pairwise_dot`).
///             Column i is the item of row i. Columns from n on are additional negatives for every
///             row, such as hard negatives. log_q, items [m]; weights [n]; returns the loss [1, 1].
/// Errors      std::invalid_argument if there are fewer columns than rows, a size differs, the
///             temperature is not above 0, a log_q is not finite, or a weight is negative or not
///             finite; nothing is recorded then.
/// Cost        O(n m); scratch memory is one matrix [n, m] when training and one row otherwise.
/// Numerics    the largest negative is subtracted before exp, and the loss is the softplus of a
///             difference, so the small loss of a confident row keeps its precision. A row without
///             negatives, such as n = m = 1, has loss 0 and gradient 0. A NaN score makes the loss
///             NaN. The loss is finite for all finite scores and any temperature: a loss or
///             gradient beyond the largest number is set to the largest number.
/// Source      Yi et al., RecSys 2019, equations 3 and 4; docs/formulas.md#in-batch-softmax.
///             Libraries that compute (score - ln p) / tau apply a correction that is too large by
///             a factor of 1 / tau.
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
  if (!log_q.empty()) detail::check_size(name, "log_q", log_q.size(), m);
  detail::check_finite(name, "log_q", log_q);
  if (!items.empty()) detail::check_size(name, "items", items.size(), m);
  if (!excluded.empty()) detail::check_shape(name, "excluded", excluded, n, m, "scores");
  detail::check_weights(name, weights, n);
  detail::check_not_negative(name, "total_weight", options.total_weight);

  return detail::one_positive_mean(
      context, scores, options.temperature, weights, options.total_weight,
      [](std::size_t i) { return i; }, [&](std::size_t) { return log_q; },
      [&](std::size_t i, std::size_t j) {
        const bool same = !items.empty() && items[j] == items[i];
        return same || (!excluded.empty() && excluded(i, j) != 0);
      });
}

}  // namespace funnel
