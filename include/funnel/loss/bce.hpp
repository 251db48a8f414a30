// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/loss/detail/logistic.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// Options of `bce_with_logits`.
template <class T>
struct bce_options {
  /// Weight of each row, 0 or more; empty means weight 1 for every row. A row of weight 0 is left
  /// out: a head that is defined only for clicked items (a "like" needs a click) passes weight 0
  /// where there was no click.
  std::span<const T> weights = {};
  /// What the weighted sum of the rows' losses is divided by; 0 or more. 0 means the rows of the
  /// step if the context knows them (`training_context::set_step_rows`), otherwise the sum of the
  /// weights. A batch that is cut into parts passes the sum of the weights of the whole batch.
  double total_weight = 0;
};

/// Binary cross-entropy (log loss) of logits and labels: the training loss of a head that estimates
/// a probability. Labels may be soft, anything between 0 and 1.
///
///     L = sum_i w_i (softplus(z_i) - y_i z_i) / sum_i w_i
///     dL/dz_i = w_i (sigmoid(z_i) - y_i) / sum_i w_i
///
/// Shapes      logits [n, 1]; labels [n]; weights [n] or empty; returns the loss [1, 1].
/// Units       logits, not probabilities; labels in [0, 1]. With soft labels the smallest possible
///             loss is their entropy, not 0; it is reached where sigmoid(z) = E[y].
/// Errors      std::invalid_argument if logits does not have exactly one column, a size differs, a
///             label is outside [0, 1] or NaN, or a weight is negative or not finite; nothing is
///             recorded then.
/// Numerics    does not compute ln(sigmoid(z)), so the loss is finite for every finite logit. The
///             loss of an infinite logit is 0 if its label agrees (+infinity with 1, -infinity with
///             0). If the weights sum to 0 or n = 0, loss and gradient are 0. A NaN logit makes the
///             loss NaN unless its weight is 0.
/// Source      docs/formulas.md#binary-cross-entropy.
template <Context C>
value_of<C> bce_with_logits(C& context, const value_of<C>& logits,
                            std::span<const scalar_of<C>> labels,
                            const bce_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  const std::size_t n = detail::check_logits("bce_with_logits", logits);
  detail::check_size("bce_with_logits", "labels", labels.size(), n, "logits");
  detail::check_weights("bce_with_logits", options.weights, n);
  detail::check_not_negative("bce_with_logits", "total_weight", options.total_weight);
  detail::check_unit_interval("bce_with_logits", "labels", labels);
  return detail::logistic_mean(context, logits, options.total_weight, [&](std::size_t i) {
    return detail::logistic_row<t>{labels[i], 1 - labels[i], detail::weight_of(options.weights, i)};
  });
}

}  // namespace funnel
