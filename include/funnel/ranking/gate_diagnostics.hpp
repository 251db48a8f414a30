// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

namespace funnel {

/// How one task uses the experts, as `gate_diagnostics` reports it.
struct gate_report {
  /// Mean gate entropy, -sum_k g_k ln g_k, over the rows, in nats: 0 if one expert has all of the
  /// weight, ln K if all K experts have the same weight.
  double entropy = 0;
  /// Mean weight of each expert.
  std::vector<double> utilization;
  /// The largest value of `utilization`.
  double largest_utilization = 0;
};

/// Statistics of the gate weights of a mixture of experts, over any number of batches: do all
/// experts get weight, or does one get nearly all of it (polarization)?
///
/// Source      polarization: Zhao et al., RecSys 2019; thresholds:
///             docs/formulas.md#gate-diagnostics.
template <std::size_t Tasks>
class gate_diagnostics {
  static_assert(Tasks > 0, "gates serve at least one task");

 public:
  /// Errors      std::invalid_argument if experts is 0.
  explicit gate_diagnostics(std::size_t experts) {
    detail::check_at_least_one("gate_diagnostics", "experts", experts);
    detail::array_size<double>("funnel::gate_diagnostics: experts", experts);
    for (auto& task : sums_) task.assign(experts, 0);
  }

  gate_diagnostics(const gate_diagnostics&) = default;
  gate_diagnostics(gate_diagnostics&&) noexcept = default;
  /// Strong guarantee: if memory runs out, this object is unchanged.
  gate_diagnostics& operator=(const gate_diagnostics& other) {
    *this = gate_diagnostics(other);
    return *this;
  }
  gate_diagnostics& operator=(gate_diagnostics&&) noexcept = default;

  /// Adds gate weights, [n, experts] for each task, as `mmoe::gate_weights` returns them.
  /// Errors      std::invalid_argument if the weights of a task do not have one column per expert,
  ///             or the tasks differ in the number of rows.
  template <class T>
  void add(const std::array<matrix_view<const T>, Tasks>& weights) {
    for (const auto& w : weights)
      detail::check_shape("gate_diagnostics", "weights", w, weights[0].rows(), sums_[0].size());
    for (std::size_t t = 0; t < Tasks; ++t) {
      for (std::size_t i = 0; i < weights[t].rows(); ++i) {
        for (std::size_t k = 0; k < weights[t].cols(); ++k) {
          const double g = static_cast<double>(weights[t](i, k));
          sums_[t][k] += g;
          entropies_[t] -= g > 0 ? g * std::log(g) : 0;
        }
      }
    }
    rows_ += weights[0].rows();
  }

  /// Number of rows added. Without rows, every number of a report is 0.
  std::size_t rows() const { return rows_; }

  /// Statistics of one task.
  /// Errors      std::invalid_argument if `task` is not below `Tasks`.
  gate_report report(std::size_t task) const {
    detail::check_below("gate_diagnostics::report", "task", task, Tasks);
    const double n = rows_ > 0 ? static_cast<double>(rows_) : 1;
    gate_report result{.entropy = entropies_[task] / n, .utilization = sums_[task]};
    for (double& u : result.utilization) {
      u /= n;
      result.largest_utilization = std::max(result.largest_utilization, u);
    }
    return result;
  }

  /// True if, for at least one task, the mean weight of one expert is above `dominant`.
  bool polarized(double dominant = 0.95) const {
    for (std::size_t t = 0; t < Tasks; ++t) {
      if (report(t).largest_utilization > dominant) return true;
    }
    return false;
  }

  /// Experts whose mean weight is below `least` for every task. They get almost no gradient, so
  /// they no longer learn.
  std::vector<std::size_t> dead_experts(double least = 0.01) const {
    std::vector<std::size_t> dead;
    for (std::size_t k = 0; k < sums_[0].size() && rows_ > 0; ++k) {
      const bool alive = std::ranges::any_of(
          sums_, [&](const auto& task) { return task[k] / static_cast<double>(rows_) >= least; });
      if (!alive) dead.push_back(k);
    }
    return dead;
  }

 private:
  std::array<std::vector<double>, Tasks> sums_;
  std::array<double, Tasks> entropies_{};
  std::size_t rows_ = 0;
};

}  // namespace funnel
