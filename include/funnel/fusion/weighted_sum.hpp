// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/fusion/formula.hpp>

#include <array>

namespace funnel {

/// A weighted sum of objectives.
///
///     s = sum_k w_k p_k
///
/// With p_click first and w = 1 for it, the simplest formula in use. If the other estimates are
/// conditional on a click it is not an expected value: `click_times_weighted_sum` is.
///
/// Shapes      N objectives.
/// Units       estimates on scales that the weights make comparable; calibrated ones.
/// Order       NaN in an objective of weight other than 0 gives NaN. An objective of weight 0 is
///             absent, whatever it holds.
/// Numerics    the sum is taken in double.
/// Source      docs/formulas.md#weighted-sum. A bonus is one more objective of weight 1.
template <std::size_t N, class T = float>
struct weighted_sum {
  /// Any number; negative ones punish. w in the lectures.
  std::array<T, N> weights{};

  void check(std::size_t columns) const { detail::check_objectives("weighted_sum", columns, N); }

  T operator()(std::span<const T> objectives) const {
    FUNNEL_ASSERT(objectives.size() == N);
    double sum = 0;
    for (std::size_t k = 0; k < N; ++k)
      if (weights[k] != 0)
        sum += static_cast<double>(weights[k]) * static_cast<double>(objectives[k]);
    return static_cast<T>(sum);
  }
};

/// The click rate times one plus a weighted sum of the rates of what follows a click.
///
///     s = p_click (1 + sum_k w_k p_k) = P(click) + sum_k w_k P(k and click)
///
/// The expected value of an impression if a click is worth 1 and action k is worth w_k.
///
/// Shapes      N + 1 objectives: p_click first, then the N that are conditional on it.
/// Units       probabilities; calibrated, as the product of heads changes order otherwise.
/// Order       NaN in p_click or in an objective of weight other than 0 gives NaN. An objective of
///             weight 0 is absent, whatever it holds. All weights 0 is the order of p_click.
/// Numerics    in double.
/// Source      docs/formulas.md#click-times-weighted-sum. A bonus given a click is one more
///             objective.
template <std::size_t N, class T = float>
struct click_times_weighted_sum {
  /// The worth of each action in clicks, 0 or more. w in the lectures.
  std::array<T, N> weights{};

  void check(std::size_t columns) const {
    detail::check_objectives("click_times_weighted_sum", columns, N + 1);
  }

  T operator()(std::span<const T> objectives) const {
    FUNNEL_ASSERT(objectives.size() == N + 1);
    double sum = 1;
    for (std::size_t k = 0; k < N; ++k)
      if (weights[k] != 0)
        sum += static_cast<double>(weights[k]) * static_cast<double>(objectives[k + 1]);
    return static_cast<T>(static_cast<double>(objectives[0]) * sum);
  }
};

}  // namespace funnel
