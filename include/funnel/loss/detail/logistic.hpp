// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/detail/scalar_loss.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace funnel::detail {

/// One row of `logistic_mean`: the factors of its two softplus terms, and its weight.
template <class T>
struct logistic_row {
  T positive;
  T negative;
  T weight;
};

/// Returns sum_i w_i (positive_i softplus(-z_i) + negative_i softplus(z_i)) / total, or 0 if
/// the weights sum to 0. `row(i)` returns the three numbers of row i. Logits of rows with weight 0
/// are not read. For the total see `divided_by`.
///
/// No term is negative, so there is no cancellation for any size of logits and labels.
template <Context C, class Row>
value_of<C> logistic_mean(C& context, const value_of<C>& logits, double total_weight, Row row) {
  using t = scalar_of<C>;
  constexpr t most = std::numeric_limits<t>::max();
  const auto total =
      divided_by(context, total_weight,
                 weight_total::of(logits.rows(), [&](std::size_t i) { return row(i).weight; }));
  return scalar_loss(context, logits, [&](matrix_view<const t> z, matrix_view<t> slopes) {
    weighted_sum_of sum;
    for (std::size_t i = 0; i < z.rows(); ++i) {
      const logistic_row<t> r = row(i);
      const t x = z(i, 0);
      if (slopes.data() != nullptr) {
        slopes(i, 0) =
            r.weight > 0
                ? std::clamp((r.negative * funnel::sigmoid(x) - r.positive * funnel::sigmoid(-x)) *
                                 share_of<t>(total, r.weight),
                             -most, most)
                : t(0);
      }
      if (r.weight > 0) {
        const t tail = std::log1p(std::exp(-std::abs(x)));  // part of softplus(x) and softplus(-x)
        // A term with factor 0 is skipped: 0 times an infinite softplus would be NaN.
        const auto part = [&](t pull, t side) {
          return pull == 0 ? 0.0
                           : scaled(static_cast<double>(pull),
                                    static_cast<double>(std::max(side, t(0)) + tail));
        };
        sum.add(total(r.weight), part(r.positive, -x) + part(r.negative, x));
      }
    }
    return sum.mean(total.total);
  });
}

}  // namespace funnel::detail
