// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/math.hpp>
#include <funnel/loss/detail/inputs.hpp>
#include <funnel/loss/detail/scalar_loss.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel::detail {

struct one_positive_result {
  double loss;
  double slope;  ///< of the loss with respect to the positive: its probability less 1
};

/// Minus the log probability of a positive among its negatives.
///
///     -ln(e^positive / (e^positive + sum_j e^x_j)) = softplus(ln sum_j e^x_j - positive)
///
/// `x` are the negatives, -infinity where there is none, and become their probabilities: the slopes
/// of the loss with respect to them. Written so, neither the loss of a sure positive nor its slope
/// is a difference of numbers close to 1.
template <class Arch, class T>
one_positive_result one_positive_row(Arch arch, T positive, std::span<T> x) {
  const T largest = max_kernel(arch, x.data(), x.size());
  if (largest == -std::numeric_limits<T>::infinity()) {
    std::ranges::fill(x, T(0));
    return {std::isnan(positive) ? static_cast<double>(positive) : 0.0, 0.0};
  }
  const double sum = exp_sum_kernel(arch, x.data(), largest, x.data(), x.size());
  const double excess =
      static_cast<double>(largest) - static_cast<double>(positive) + std::log(sum);
  const double miss = funnel::sigmoid(excess);
  scale_kernel(arch, static_cast<T>(miss / sum), x.data(), x.data(), x.size());
  return {funnel::softplus(excess), -miss};
}

/// The weighted mean of the losses of rows with one positive each, in column `positive_of(i)`.
///
/// `fill(i, row)` writes the logits of row i: scores divided by the temperature and corrected,
/// -infinity where there is no negative.
template <Context C, class PositiveOf, class Fill>
value_of<C> one_positive_mean(C& context, const value_of<C>& scores, scalar_of<C> temperature,
                              std::span<const scalar_of<C>> weights, PositiveOf positive_of,
                              Fill fill) {
  using t = scalar_of<C>;
  const std::size_t m = scores.cols();
  t* room = context.scratch().template allocate<t>(m);
  return scalar_loss(context, scores, [&](matrix_view<const t> s, matrix_view<t> slopes) {
    const double total = sum_of_weights(weights, s.rows());
    double sum = 0;
    for (std::size_t i = 0; i < s.rows(); ++i) {
      const std::span<t> row = slopes.data() != nullptr ? slopes.row(i) : std::span(room, m);
      const double weight = static_cast<double>(weight_of(weights, i));
      if (weight == 0) {
        std::ranges::fill(row, t(0));
        continue;
      }
      fill(i, row);
      t& own = row[positive_of(i)];
      const t positive = own;
      own = -std::numeric_limits<t>::infinity();
      const auto [loss, slope] = one_positive_row(typename C::arch{}, positive, row);
      sum += weight * loss;
      const double scale = weight / (total * static_cast<double>(temperature));
      for (t& value : row) value *= static_cast<t>(scale);
      own = static_cast<t>(slope * scale);
    }
    return total > 0 ? sum / total : 0.0;
  });
}

}  // namespace funnel::detail
