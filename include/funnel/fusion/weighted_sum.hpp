// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/fusion/formula.hpp>

#include <array>

namespace funnel {

/// Weighted sum of the objectives.
///
///     s = sum_k w_k p_k
///
/// With p_click as the first objective, with weight 1, this is the simplest formula in use. If the
/// other estimates are conditional on a click, the sum is not an expected value; use
/// `click_times_weighted_sum` then.
///
/// Shapes      N objectives.
/// Units       calibrated estimates, on any scales that the weights make comparable.
/// Order       NaN in an objective makes the score NaN. An objective with weight 0 is ignored, even
///             if it is NaN.
/// Numerics    the sum is taken in double.
/// Source      docs/formulas.md#weighted-sum. A bonus is one more objective with weight 1.
template <std::size_t N, class T = float>
struct weighted_sum {
  /// Any numbers; a negative weight is a penalty. w in the lectures.
  std::array<T, N> weights{};

  void check(std::size_t columns) const {
    detail::check_cols("weighted_sum", "objectives", columns, N);
  }

  T operator()(std::span<const T> objectives) const {
    FUNNEL_ASSERT(objectives.size() == N);
    double sum = 0;
    for (std::size_t k = 0; k < N; ++k)
      if (weights[k] != 0)
        sum += static_cast<double>(weights[k]) * static_cast<double>(objectives[k]);
    return static_cast<T>(sum);
  }
  /// The estimate that changes nothing; see `fill_missing`.
  T neutral(std::size_t) const { return 0; }

  /// See `HasState`.
  void visit_state(auto&& visit) { visit("weights", weights); }
};

/// Click rate times (1 + weighted sum of the rates of actions after a click).
///
///     s = p_click (1 + sum_k w_k p_k) = P(click) + sum_k w_k P(k and click)
///
/// This is the expected value of an impression if a click is worth 1 and action k is worth w_k.
///
/// Shapes      N + 1 objectives: p_click first, then the N that are conditional on it.
/// Units       calibrated probabilities; without calibration, the product of heads has a different
///             order.
/// Order       NaN in p_click or another objective makes the score NaN. An objective with weight 0
///             is ignored, even if it is NaN. With all weights 0 the order is that of p_click.
/// Numerics    computed in double.
/// Source      docs/formulas.md#click-times-weighted-sum. A bonus that is conditional on a click is
///             one more objective.
template <std::size_t N, class T = float>
struct click_times_weighted_sum {
  /// The value of each action in clicks, 0 or more. w in the lectures.
  std::array<T, N> weights{};

  void check(std::size_t columns) const {
    detail::check_cols("click_times_weighted_sum", "objectives", columns, N + 1);
  }

  T operator()(std::span<const T> objectives) const {
    FUNNEL_ASSERT(objectives.size() == N + 1);
    double sum = 1;
    for (std::size_t k = 0; k < N; ++k)
      if (weights[k] != 0)
        sum += static_cast<double>(weights[k]) * static_cast<double>(objectives[k + 1]);
    return static_cast<T>(static_cast<double>(objectives[0]) * sum);
  }
  /// The estimate that changes nothing; see `fill_missing`.
  T neutral(std::size_t k) const { return k == 0 ? T(1) : T(0); }

  /// See `HasState`.
  void visit_state(auto&& visit) { visit("weights", weights); }
};

}  // namespace funnel
