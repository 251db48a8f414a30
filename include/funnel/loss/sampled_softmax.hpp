// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/one_positive.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// Options of `sampled_softmax`.
template <class T>
struct sampled_softmax_options {
  /// Temperature: scores are divided by it first; above 0. Cosines need one well below 1. tau.
  T temperature = T(0.05);
  /// [n, 1 + k]: ln p of each item, where p is the probability that the item is sampled. It is
  /// subtracted from the item's score after the division by the temperature; finite. Empty means
  /// all items are equally likely.
  matrix_view<const T> log_q = {};
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Sampled softmax loss for retrieval models: each row holds the score of one positive and the
/// scores of negatives that were sampled for this row.
///
///     s_ij = scores_ij / tau - ln p_ij,   L_i = -ln(e^s_i0 / sum_j e^s_ij)
///
/// Shapes      scores [n, 1 + k]: column 0 is the positive, the other columns are its negatives;
///             weights [n]; returns the loss [1, 1], the weighted mean of the L_i.
/// Errors      std::invalid_argument if there is no column, a size differs, the temperature is not
///             above 0, a log_q is not finite, or a weight is negative or not finite; nothing is
///             recorded then.
/// Numerics    as `in_batch_softmax`. A negative with the score -infinity is ignored. If k = 0,
///             loss and gradient are 0.
/// Source      docs/formulas.md#sampled-softmax.
template <Context C>
value_of<C> sampled_softmax(C& context, const value_of<C>& scores,
                            const sampled_softmax_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr const char* name = "sampled_softmax";
  const std::size_t n = scores.rows(), m = scores.cols();
  const matrix_view<const t> log_q = options.log_q;
  if (m == 0) detail::fail("funnel::", name, ": scores has 0 columns, expected 1 or more");
  detail::check_positive(name, "temperature", options.temperature);
  if (!log_q.empty()) detail::check_shape(name, "log_q", log_q, n, m, "scores");
  for (std::size_t i = 0; i < log_q.rows(); ++i) detail::check_finite(name, "log_q", log_q.row(i));
  detail::check_weights(name, options.weights, n);
  detail::check_not_negative(name, "total_weight", options.total_weight);

  return detail::one_positive_mean(
      context, scores, options.temperature, options.weights, options.total_weight,
      [](std::size_t) { return std::size_t{0}; },
      [&](std::size_t i) { return log_q.empty() ? std::span<const t>() : log_q.row(i); },
      [](std::size_t, std::size_t) { return false; });
}

}  // namespace funnel
