// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/loss/detail/inputs.hpp>
#include <funnel/loss/detail/logistic.hpp>
#include <funnel/nn/context.hpp>

#include <cstddef>
#include <span>

namespace funnel {

/// What `bce_with_logits` can be told.
template <class T>
struct bce_options {
  /// Weight of each row, not negative; none means 1 each. 0 leaves a row out: a head that is
  /// defined given a click has weight 0 where there was none.
  std::span<const T> weights = {};
};

/// Binary cross-entropy of logits with labels, soft or hard: the loss of a head.
///
///     L = sum_i w_i (softplus(z_i) - y_i z_i) / sum_i w_i
///     dL/dz_i = w_i (sigmoid(z_i) - y_i) / sum_i w_i
///
/// Shapes      logits [n, 1]; labels [n]; weights [n] or none; the loss [1, 1].
/// Units       logits, not probabilities; labels in [0, 1]. With soft labels the least loss is
///             their entropy, not 0, and is where sigmoid(z) = E[y].
/// Errors      std::invalid_argument if logits has not one column, a size differs, a label is
///             outside [0, 1] or NaN, or a weight is negative or not finite; nothing is recorded
///             then.
/// Numerics    never forms ln(sigmoid(z)): finite for every finite logit. An infinite logit costs 0
///             where its label is that of its side (+infinity and 1, -infinity and 0). Weights that
///             add up to 0, and n = 0, give 0 with a gradient of 0. A NaN logit makes the loss NaN
///             unless its weight is 0.
template <Context C>
value_of<C> bce_with_logits(C& context, const value_of<C>& logits,
                            std::span<const scalar_of<C>> labels,
                            const bce_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  const std::size_t n = detail::check_logits("bce_with_logits", logits);
  detail::check_count("bce_with_logits", "labels", labels.size(), n);
  detail::check_weights("bce_with_logits", options.weights, n);
  detail::require_unit_interval("bce_with_logits", "labels", labels);
  return detail::logistic_mean(context, logits, [&](std::size_t i) {
    return detail::logistic_row<t>{labels[i], 1 - labels[i], detail::weight_of(options.weights, i)};
  });
}

}  // namespace funnel
