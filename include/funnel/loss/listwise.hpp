// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/row_weights.hpp>
#include <funnel/loss/detail/scalar_loss.hpp>
#include <funnel/nn/context.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace funnel {

namespace detail {

/// Replaces finite logits by ln softmax(logits / temperature). The results are finite too: a value
/// below the lowest number is set to the lowest number. A NaN makes all of them NaN.
inline void log_softmax(std::span<double> logits, double temperature) {
  constexpr double lowest = std::numeric_limits<double>::lowest();
  double largest = -std::numeric_limits<double>::infinity();
  for (const double x : logits) largest = x > largest || x != x ? x : largest;
  double sum = 0;
  for (double& x : logits) {
    const double whole = (x - largest) / temperature;
    x = std::isinf(whole) && std::isfinite(largest)
            ? std::max((x / 2 - largest / 2) / temperature * 2, lowest)
            : whole;
    sum += std::exp(x);
  }
  const double log_sum = std::log(sum);
  for (double& x : logits) x = std::max(x - log_sum, lowest);
}

}  // namespace detail

/// The scale of a teacher's scores.
enum class teacher_scale { probability, logit };

/// Options of `listwise_distillation`.
template <class T>
struct listwise_options {
  /// Temperature: the logits of both models are divided by it; above 0. A larger one makes both
  /// distributions flatter. T.
  T temperature = 1;
  /// The scale of `teacher`. Probabilities are converted to logits, ln p - ln(1 - p), with p and
  /// 1 - p each raised to at least smallest_probability.
  teacher_scale scale = teacher_scale::probability;
  /// Lower bound for p and 1 - p in that conversion; in (0, 0.5).
  T smallest_probability = T(1e-6);
  /// What the sum of the lists' losses is divided by; 0 or more. 0 means the rows of the step if
  /// the context knows them (`training_context::set_step_rows`), otherwise the number of lists that
  /// have two or more candidates.
  double total_weight = 0;
};

/// Listwise distillation (ListNet loss): trains a model so that its softmax over the candidates of
/// each request matches the softmax of a teacher.
///
///     P = softmax(teacher's logits / T),   Q = softmax(z / T),   L = -sum_i P_i ln Q_i
///     dL/dz_i = (Q_i - P_i) / T
///
/// The result is the mean of L over the lists that have two or more candidates. In a step whose
/// number of rows is known it is their sum divided by those rows: lists that are not cut then give
/// the same loss however a batch is cut into parts.
///
/// Shapes      logits [n, 1]; teacher [n]; offsets [lists + 1]: list g, the candidates of one
///             request, consists of rows offsets[g] to offsets[g + 1] - 1; returns the loss [1, 1].
/// Units       the student's scores are logits; the teacher's are what `scale` says. The smallest
///             possible loss is the entropy of P, not 0.
/// Errors      std::invalid_argument if logits does not have exactly one column, a size differs, a
///             teacher's score is outside [0, 1] (or not finite if it is a logit), the offsets
///             decrease or do not cover the rows, or an option is out of its range; nothing is
///             recorded then.
/// Numerics    computed in double; the largest logit is subtracted before exp. If all scores of the
///             teacher are equal, P is uniform. If no list has two candidates, loss and gradient
///             are 0. The loss is finite for all finite logits: a loss or gradient beyond the
///             largest number is set to the largest number.
/// Source      Cao et al., ICML 2007; docs/formulas.md#listwise-distillation.
template <Context C>
value_of<C> listwise_distillation(C& context, const value_of<C>& logits,
                                  std::span<const scalar_of<C>> teacher,
                                  std::span<const std::uint32_t> offsets,
                                  const listwise_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr const char* name = "listwise_distillation";
  const std::size_t n = detail::check_logits(name, logits);
  detail::check_size(name, "teacher", teacher.size(), n, "logits");
  detail::check_offsets(name, "offsets", offsets, n, "logits");
  detail::check_positive(name, "temperature", options.temperature);
  detail::check_that(name, "smallest_probability", options.smallest_probability,
                     options.smallest_probability > 0 && options.smallest_probability < t(0.5),
                     "a number in (0, 0.5)");
  detail::check_not_negative(name, "total_weight", options.total_weight);
  const bool probabilities = options.scale == teacher_scale::probability;
  if (probabilities) {
    detail::check_unit_interval(name, "teacher", teacher);
  } else {
    detail::check_finite(name, "teacher", teacher);
  }

  double* target = context.scratch().template allocate<double>(n);
  double* own = context.scratch().template allocate<double>(n);
  return detail::scalar_loss(context, logits, [&](matrix_view<const t> z, matrix_view<t> slopes) {
    if (slopes.data() != nullptr) std::fill_n(slopes.data(), n, t(0));
    const double temperature = static_cast<double>(options.temperature);
    const double smallest = static_cast<double>(options.smallest_probability);
    for (std::size_t i = 0; i < n; ++i) {
      const double p = static_cast<double>(teacher[i]);
      // p and 1 - p are clipped separately: 1 - smallest may round to 1.
      target[i] =
          probabilities ? std::log(std::max(p, smallest)) - std::log(std::max(1 - p, smallest)) : p;
      own[i] = static_cast<double>(z(i, 0));
    }
    constexpr double most = std::numeric_limits<double>::max();
    const auto counts = [&](std::size_t g) { return offsets[g + 1] - offsets[g] > 1; };
    double lists = 0;
    for (std::size_t g = 0; g + 1 < offsets.size(); ++g) lists += counts(g) ? 1 : 0;
    const double total = detail::divided_by(context, options.total_weight, {1, lists}).total;
    detail::weighted_sum_of sum;
    for (std::size_t g = 0; g + 1 < offsets.size(); ++g) {
      if (!counts(g)) continue;
      const std::size_t begin = offsets[g], size = offsets[g + 1] - begin;
      detail::log_softmax(std::span(target + begin, size), temperature);
      detail::log_softmax(std::span(own + begin, size), temperature);
      double loss = 0;
      for (std::size_t i = begin; i < begin + size; ++i) {
        const double p = std::exp(target[i]);
        loss -= p * own[i];
        if (slopes.data() != nullptr) {
          const double slope = (std::exp(own[i]) - p) / (temperature * total);
          slopes(i, 0) = detail::saturated<t>(std::clamp(slope, -most, most));
        }
      }
      sum.add(1, std::min(loss, most));
    }
    return sum.mean(total);
  });
}

}  // namespace funnel
