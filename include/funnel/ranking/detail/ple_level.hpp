// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/ranking/detail/joined_layers.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace funnel {

/// The experts of one task, or those that all tasks share, at one level of a `ple`; and the gate on
/// the same input.
template <class T>
class ple_experts {
 public:
  std::vector<mlp<T>> experts;
  /// Linear, without bias. A task's gate has one output for each of the task's own experts, then one
  /// for each shared expert. The gate of the shared experts has one for each expert of the level,
  /// task after task, then the shared ones; at the last level there is none.
  dense<T> gate;

  /// Constructs the outputs of the experts, one value each.
  template <Context C>
  void operator()(C& context, const value_of<C>& x, value_of<C>* outputs) const {
    first_layers_(context, detail::first_layers_of{experts}, x, outputs);
    detail::run_rest(context, experts, outputs);
  }

  void visit_parameters(auto&& visit) {
    visit("experts", experts);
    if (gate.out() > 0) visit("gate", gate);
  }

  template <class Arch>
  void freeze() {
    first_layers_.template freeze<Arch>("ple", detail::first_layers_of{experts});
    detail::freeze_rest<Arch>(experts);
    if (gate.out() > 0) gate.template freeze<Arch>();
  }

 private:
  detail::joined_layers<T> first_layers_;
};

/// One level of a `ple`.
template <class T, std::size_t Tasks>
struct ple_level {
  std::array<ple_experts<T>, Tasks> tasks;
  ple_experts<T> shared;

  void visit_parameters(auto&& visit) {
    visit("tasks", tasks);
    visit("shared", shared);
  }
};

namespace detail {

/// Input i of a level: a task's, or after the tasks that of the shared experts.
template <class Level>
auto& part(Level& level, std::size_t input) {
  return input < level.tasks.size() ? level.tasks[input] : level.shared;
}
std::size_t experts_at(const auto& level, std::size_t input) {
  return part(level, input).experts.size();
}

/// All experts of a level, as a list: task after task, then the shared ones.
template <class Level>
struct experts_of {
  Level& level;

  std::size_t size() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i <= level.tasks.size(); ++i) count += experts_at(level, i);
    return count;
  }
  auto& operator[](std::size_t k) const {
    std::size_t input = 0;
    for (; k >= experts_at(level, input); ++input) k -= experts_at(level, input);
    return part(level, input).experts[k];
  }
};
template <class Level>
experts_of(Level&) -> experts_of<Level>;

/// The gates of a level, as a list.
template <class Level>
struct gates_of {
  Level& level;

  std::size_t size() const { return level.tasks.size() + (level.shared.gate.out() > 0 ? 1 : 0); }
  auto& operator[](std::size_t i) const { return part(level, i).gate; }
};
template <class Level>
gates_of(Level&) -> gates_of<Level>;

}  // namespace detail
}  // namespace funnel
