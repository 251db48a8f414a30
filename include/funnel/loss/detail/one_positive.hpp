// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/math.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/detail/scalar_loss.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace funnel::detail {

struct one_positive_result {
  double loss;
  double slope;  ///< derivative with respect to the positive: its probability minus 1
};

/// Computes minus the log probability of a positive among its negatives.
///
///     -ln(e^positive / (e^positive + sum_j e^x_j)) = softplus(ln sum_j e^x_j - positive)
///
/// `x` holds the negatives, -infinity where there is none. They are overwritten with their
/// probabilities, which are the derivatives of the loss with respect to them. `largest` is the
/// largest negative, and `lead` is largest - positive. In this form neither the loss of a confident
/// positive nor its slope is a difference of two numbers close to 1.
template <class Arch, class T>
one_positive_result one_positive_row(Arch arch, double lead, T largest, std::span<T> x) {
  const double sum = exp_sum_kernel(arch, x.data(), largest, x.data(), x.size());
  const double excess = lead + std::log(sum);
  const double miss = funnel::sigmoid(excess);
  scale_kernel(arch, static_cast<T>(miss / sum), x.data(), x.data(), x.size());
  return {funnel::softplus(excess), -miss};
}

/// The scores of one row, scores[j] / temperature - log_q[j], for the case that they or their
/// differences exceed the largest T. Only differences are computed, in double.
template <class T>
struct far_row {
  std::span<const T> scores, log_q;  // log_q may be empty
  double temperature;

  /// Score i minus score j, limited to the range of double.
  double lead(std::size_t i, std::size_t j) const {
    constexpr double most = std::numeric_limits<double>::max();
    const double a = static_cast<double>(scores[i]), b = static_cast<double>(scores[j]);
    const double p = log_q.empty() ? 0 : static_cast<double>(log_q[i]);
    const double q = log_q.empty() ? 0 : static_cast<double>(log_q[j]);
    const double correction = std::clamp(p - q, -most, most);
    const double apart = (a - b) / temperature;
    if (!std::isfinite(a) || !std::isfinite(b)) return apart;
    return std::clamp((std::isfinite(apart) ? apart : (a / 2 - b / 2) / temperature * 2) -
                          correction,
                      -most, most);
  }

  /// Returns the loss of the row and writes its slopes to x; `absent(j)` says that column j is not
  /// a negative.
  template <class Arch, class Absent>
  one_positive_result loss(Arch arch, std::size_t positive, Absent absent, std::span<T> x) const {
    constexpr T none = -std::numeric_limits<T>::infinity();
    constexpr std::size_t nothing = std::numeric_limits<std::size_t>::max();
    const auto counts = [&](std::size_t j) {
      return j != positive && !absent(j) && scores[j] != none;
    };
    std::size_t top = nothing;
    for (std::size_t j = 0; j < x.size(); ++j) {
      if (counts(j) && (top == nothing || lead(j, top) > 0)) top = j;
    }
    if (top == nothing) {
      std::ranges::fill(x, T(0));
      const T own = scores[positive];
      return {std::isnan(own) ? static_cast<double>(own) : 0.0, 0.0};
    }
    for (std::size_t j = 0; j < x.size(); ++j)
      x[j] = counts(j) ? static_cast<T>(std::clamp(lead(j, top), lowest, 0.)) : none;
    return one_positive_row(arch, lead(top, positive), T(0), x);
  }

 private:
  // exp of this is 0 in double too, and it is representable as a float.
  static constexpr double lowest = -1e4;
};

/// Returns the weighted mean of the losses of rows that have one positive each, in column
/// `positive_of(i)`. For what it is divided by see `divided_by`.
///
/// Scores are divided by the temperature; then `log_q_of(i)`, one value per column or empty, is
/// subtracted. `absent(i, j)` says that column j is not a negative of row i.
template <Context C, class PositiveOf, class LogQOf, class Absent>
value_of<C> one_positive_mean(C& context, const value_of<C>& scores, scalar_of<C> temperature,
                              std::span<const scalar_of<C>> weights, double total_weight,
                              PositiveOf positive_of, LogQOf log_q_of, Absent absent) {
  using t = scalar_of<C>;
  const std::size_t m = scores.cols();
  t* room = context.scratch().template allocate<t>(m);
  return scalar_loss(context, scores, [&](matrix_view<const t> s, matrix_view<t> slopes) {
    constexpr t none = -std::numeric_limits<t>::infinity();
    const typename C::arch arch{};
    const weight_total total = divided_by(context, total_weight, total_of(weights, s.rows()));
    const double divisor = static_cast<double>(temperature);
    weighted_sum_of sum;
    for (std::size_t i = 0; i < s.rows(); ++i) {
      const std::span<t> row = slopes.data() != nullptr ? slopes.row(i) : std::span(room, m);
      const double weight = total(weight_of(weights, i));
      if (weight == 0) {
        std::ranges::fill(row, t(0));
        continue;
      }
      const std::size_t own = positive_of(i);
      const std::span<const t> given = s.row(i), log_q = log_q_of(i);
      const auto out = [&](std::size_t j) { return absent(i, j); };
      // Differences from the positive are taken before the division, so that close scores lose no
      // precision.
      for (std::size_t j = 0; j < m; ++j) {
        const t apart = (given[j] - given[own]) / temperature;
        row[j] = j != own && out(j) ? none
                 : log_q.empty()    ? apart
                                    : apart - (log_q[j] - log_q[own]);
      }
      row[own] = none;
      const t lead = max_kernel(arch, row.data(), m);
      const auto [loss, slope] = std::isfinite(lead)
                                     ? one_positive_row(arch, static_cast<double>(lead), lead, row)
                                     : far_row<t>{given, log_q, divisor}.loss(arch, own, out, row);
      sum.add(weight, loss);
      constexpr double most = std::numeric_limits<double>::max();
      const double scale = weight / (total.total * divisor);
      const double total_share = std::min(weight / total.total, most);
      row[own] = static_cast<t>(slope);
      if (scale <= static_cast<double>(std::numeric_limits<t>::max())) {
        for (t& value : row) value *= static_cast<t>(scale);
        row[own] = static_cast<t>(slope * scale);
      } else {
        for (t& value : row)
          value = saturated<t>(
              std::clamp(static_cast<double>(value) * total_share / divisor, -most, most));
      }
    }
    return sum.mean(total.total);
  });
}

}  // namespace funnel::detail
