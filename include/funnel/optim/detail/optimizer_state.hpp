// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/state.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/optim/detail/check_fits.hpp>
#include <funnel/optim/parameter_group.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel::detail {

/// State of an optimizer for one parameter. The arrays are allocated with the first gradient.
template <class T>
struct optimizer_state {
  std::size_t rows = 0;  // of the parameter
  std::size_t cols = 0;
  parameter_kind kind = parameter_kind::dense;
  aligned_vector<T> first;              ///< velocity, or mean of the gradients
  aligned_vector<T> second;             ///< sum or mean of the squared gradients
  aligned_vector<double> row_sums;      ///< per table row: sum of mean squared gradients
  aligned_vector<std::uint32_t> steps;  ///< number of updates, per table row or one

  optimizer_state() = default;
  explicit optimizer_state(const parameter<T>& p) : rows(p.rows()), cols(p.cols()), kind(p.kind) {}

  void visit_state(auto&& visit) {
    const auto visit_as = [&]<class N>(std::string_view name, auto& field, N number) {
      visit(name, number);
      if (is_loading(visit)) field = static_cast<std::remove_reference_t<decltype(field)>>(number);
    };
    visit_as("rows", rows, std::uint64_t{rows});
    visit_as("cols", cols, std::uint64_t{cols});
    visit_as("kind", kind, static_cast<std::uint8_t>(kind));
    visit("first", first);
    visit("second", second);
    visit("row_sums", row_sums);
    visit("steps", steps);
  }

  /// Whether the arrays have the sizes of the parameter, or are empty.
  bool arrays_fit() const {
    const auto fits = [](const auto& array, std::size_t size) {
      return array.empty() || array.size() == size;
    };
    const bool by_rows = kind == parameter_kind::rows;
    return fits(first, rows * cols) && fits(second, rows * cols) && fits(row_sums, rows) &&
           fits(steps, by_rows ? rows : 1);
  }
};

/// How one parameter is updated.
struct parameter_rates {
  double factor = 1;  ///< of the learning rate
  double decay = 0;
  bool frozen = false;
};

/// What an optimizer keeps from step to step, in the model's order of parameters; and its groups.
template <class T>
class optimizer_memory {
 public:
  std::vector<optimizer_state<T>> states;

  const std::vector<parameter_group>& groups() const { return groups_; }
  /// Errors      std::invalid_argument if a number of a group is outside its range.
  void set_groups(std::string_view optimizer, std::vector<parameter_group> groups) {
    for (const parameter_group& group : groups) {
      check_not_negative(optimizer, "rate_factor", group.rate_factor);
      if (group.weight_decay) check_not_negative(optimizer, "weight_decay", *group.weight_decay);
    }
    groups_ = std::move(groups);
    group_of_.clear();
  }

  /// Finds the group of each parameter, after `set_groups` and for another number of parameters.
  /// Errors      std::invalid_argument if a group selects no parameter.
  template <HasParameters Model>
  void find_groups(std::string_view optimizer, const Model& model, std::size_t parameters) {
    if (groups_.empty() || group_of_.size() == parameters) return;
    std::vector<std::size_t> found;
    std::vector<bool> used(groups_.size());
    for_each_parameter(model, [&](std::string_view path, const auto&) {
      std::size_t i = 0;
      while (i < groups_.size() && !groups_[i].selects(path)) ++i;
      found.push_back(i);
      if (i < groups_.size()) used[i] = true;
    });
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      if (!used[i]) {
        fail(
            "funnel::", optimizer, ": group ", i, " (path \"", groups_[i].path,
            "\") selects no parameter, expected a path of the model that no earlier group selects");
      }
    }
    group_of_ = std::move(found);
  }

  /// How the parameter at a position is updated, given the weight decay of the optimizer.
  parameter_rates rates_of(std::size_t position, const parameter<T>& p, double decay) const {
    if (!decays_by_default(p)) decay = 0;
    if (groups_.empty() || group_of_[position] == groups_.size()) return {1, decay, false};
    const parameter_group& group = groups_[group_of_[position]];
    return {group.rate_factor, group.weight_decay.value_or(decay), group.frozen};
  }

  void visit_state(std::string_view optimizer, auto&& visit) {
    std::uint64_t count = states.size();
    visit(optimizer, count);
    if (is_loading(visit)) states.resize(count);
    visit("parameters", states);
  }

 private:
  std::vector<parameter_group> groups_;
  std::vector<std::size_t> group_of_;  // groups_.size(): none
};

}  // namespace funnel::detail
