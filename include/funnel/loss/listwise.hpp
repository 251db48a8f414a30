// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/mean.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/loss/detail/inputs.hpp>
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

/// Turns finite logits into ln softmax(logits / temperature), finite too: what is beyond the lowest
/// number is that number. NaN makes all of them NaN.
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

/// What a teacher's scores are.
enum class teacher_scale { probability, logit };

/// What `listwise_distillation` can be told.
template <class T>
struct listwise_options {
  /// Logits of both models are divided by it, above 0; larger is flatter. T.
  T temperature = 1;
  /// What `teacher` holds. Of probabilities the logits are taken, ln p - ln(1 - p), with both p and
  /// 1 - p at least smallest_probability.
  teacher_scale scale = teacher_scale::probability;
  /// In (0, 0.5).
  T smallest_probability = T(1e-6);
};

/// Teaches a model to spread its softmax over each request's candidates as a teacher does.
///
///     P = softmax(teacher's logits / T),   Q = softmax(z / T),   L = -sum_i P_i ln Q_i
///     dL/dz_i = (Q_i - P_i) / T
///
/// and their mean over the lists of two candidates or more.
///
/// Shapes      logits [n, 1]; teacher [n]; offsets [lists + 1]: list g, one request's candidates,
///             is rows offsets[g] .. offsets[g + 1] - 1; the loss [1, 1].
/// Units       logits of the student; the teacher's as `scale` says. The least loss is the entropy
///             of P, not 0.
/// Errors      std::invalid_argument if logits has not one column, a size differs, a teacher's
///             score is outside [0, 1] (or a logit not finite), the offsets fall or don't span the
///             rows, or an option is out of its range; nothing is recorded then.
/// Numerics    computed in double with the largest logit subtracted. Equal teacher's scores make P
///             uniform. A list of one, or no list, gives 0 with a gradient of 0. Finite for all
///             finite logits: a loss or slope beyond the largest number is that number.
/// Source      Cao et al., ICML 2007; docs/formulas.md#listwise-distillation.
template <Context C>
value_of<C> listwise_distillation(C& context, const value_of<C>& logits,
                                  std::span<const scalar_of<C>> teacher,
                                  std::span<const std::uint32_t> offsets,
                                  const listwise_options<scalar_of<C>>& options = {}) {
  using t = scalar_of<C>;
  constexpr const char* name = "listwise_distillation";
  const std::size_t n = detail::check_logits(name, logits);
  detail::check_count(name, "teacher", teacher.size(), n);
  detail::check_offsets(name, offsets, n);
  detail::check_positive(name, "temperature", options.temperature);
  detail::check_option(name, "smallest_probability", options.smallest_probability,
                       options.smallest_probability > 0 && options.smallest_probability < t(0.5),
                       "a number in (0, 0.5)");
  const bool probabilities = options.scale == teacher_scale::probability;
  if (probabilities) {
    detail::require_unit_interval(name, "teacher", teacher);
  } else {
    detail::require_finite(name, "teacher", teacher);
  }

  double* target = context.scratch().template allocate<double>(n);
  double* own = context.scratch().template allocate<double>(n);
  return detail::scalar_loss(context, logits, [&](matrix_view<const t> z, matrix_view<t> slopes) {
    if (slopes.data() != nullptr) std::fill_n(slopes.data(), n, t(0));
    const double temperature = static_cast<double>(options.temperature);
    const double smallest = static_cast<double>(options.smallest_probability);
    for (std::size_t i = 0; i < n; ++i) {
      const double p = static_cast<double>(teacher[i]);
      // Each side is clipped by itself: 1 - smallest may round to 1.
      target[i] =
          probabilities ? std::log(std::max(p, smallest)) - std::log(std::max(1 - p, smallest)) : p;
      own[i] = static_cast<double>(z(i, 0));
    }
    constexpr double most = std::numeric_limits<double>::max();
    const auto counts = [&](std::size_t g) { return offsets[g + 1] - offsets[g] > 1; };
    double lists = 0;
    for (std::size_t g = 0; g + 1 < offsets.size(); ++g) lists += counts(g) ? 1 : 0;
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
          const double slope = (std::exp(own[i]) - p) / (temperature * lists);
          slopes(i, 0) = detail::saturated<t>(std::clamp(slope, -most, most));
        }
      }
      sum.add(1, std::min(loss, most));
    }
    return sum.mean(lists);
  });
}

}  // namespace funnel
