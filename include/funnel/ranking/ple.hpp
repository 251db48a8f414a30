// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/row_blocks.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/softmax.hpp>
#include <funnel/ranking/detail/joined_layers.hpp>
#include <funnel/ranking/detail/ple_level.hpp>
#include <funnel/ranking/gate_softmax.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace funnel {

/// Options of `ple`.
struct ple_options {
  /// Number of experts that each task has for itself at each level, 1 or more. m_k in the paper.
  std::size_t experts_per_task = 1;
  /// Number of experts that all tasks share at each level, 1 or more. m_s in the paper.
  std::size_t shared_experts = 1;
  /// Number of outputs of each layer of an expert, first to last, for each level; as many levels as
  /// entries, 1 or more. One level is CGC.
  std::vector<std::vector<std::size_t>> expert_sizes = {{64}, {64}};
  /// Probability of dropping a gate in training, in [0, 1); see `gate_softmax`.
  double gate_dropout = 0.1;
  /// Probability of dropping a hidden output of an expert in training, in [0, 1).
  double dropout = 0;
};

/// Progressive layered extraction (PLE): a multi-task network of one or more levels, in which every
/// task has experts of its own beside those that all tasks share. With one level it is the
/// customized gate control model (CGC).
///
///     g^{t,j} = softmax(h^{t,j-1} W^{t,j}),   h^{t,j} = sum_k g^{t,j}_k f_k,   h^{t,0} = x
///
/// At level j, the experts and the gate of task t see the output of task t of level j - 1. The gate
/// weighs the task's own experts and the shared ones. The shared experts see the output of the
/// shared gate of level j - 1, which weighs all experts of that level; the last level has no shared
/// gate. So the loss of a task doesn't change the own experts of another task at the last level, and
/// changes those of lower levels through the shared gates only.
///
/// Gates have gate dropout; experts are MLPs with relu after every layer. The caller adds the towers
/// and heads: one `mlp` or `dense` per task, on the output for that task.
///
/// Shapes      x [n, in], a value or a concatenation -> one [n, expert_sizes.back().back()] per task.
/// Errors      std::invalid_argument if there is no level, expert or layer, a dropout rate is outside
///             [0, 1), or x does not have `in` columns.
/// Cost        one run of each expert of each level. `freeze` joins the first layers of the experts
///             with the same input into one product: of all experts at the first level, then of each
///             task and of the shared ones; likewise the gates of the first level. Serving works on
///             blocks of 256 rows; the products of parts with fewer rows, such as the user's, are
///             computed once.
/// Source      Tang et al., RecSys 2020, section 4; docs/formulas.md#progressive-layered-extraction.
template <class T, std::size_t Tasks>
class ple {
  static_assert(Tasks > 0, "a ple serves at least one task");

 public:
  std::vector<ple_level<T, Tasks>> levels;
  double gate_dropout = 0;

  ple() = default;
  explicit ple(std::size_t in, const ple_options& options = {})
      : gate_dropout(options.gate_dropout) {
    const std::size_t own = options.experts_per_task, shared = options.shared_experts;
    detail::check_at_least_one("ple", "experts_per_task", own);
    detail::check_at_least_one("ple", "shared_experts", shared);
    detail::check_not_empty("ple", "expert_sizes", options.expert_sizes.size());
    detail::check_fraction("ple", "gate_dropout", options.gate_dropout);
    detail::check_fraction("ple", "dropout", options.dropout);
    const std::size_t all =
        detail::array_size<mlp<T>>("funnel::ple: experts_per_task x tasks", own, Tasks) +
        detail::array_size<mlp<T>>("funnel::ple: shared_experts", shared);
    const auto make = [&](std::size_t experts, std::size_t weights, const auto& sizes) {
      ple_experts<T> made;
      made.experts.reserve(experts);
      for (std::size_t k = 0; k < experts; ++k) {
        made.experts.emplace_back(
            in, sizes, mlp_options{.output = activation::relu, .dropout = options.dropout});
      }
      if (weights > 0) made.gate = dense<T>(in, weights, {.bias = false});
      return made;
    };
    for (const auto& sizes : options.expert_sizes) {
      const bool last = levels.size() + 1 == options.expert_sizes.size();
      ple_level<T, Tasks> level;
      for (auto& task : level.tasks) task = make(own, own + shared, sizes);
      level.shared = make(shared, last ? 0 : all, sizes);
      levels.push_back(std::move(level));
      in = sizes.back();
    }
  }

  std::size_t out() const {
    check_levels();
    return levels.back().shared.experts.front().out();
  }

  template <ContextOf<T> C>
  std::array<value_of<C>, Tasks> operator()(C& context, const auto& x) const {
    check_levels();
    if constexpr (!C::is_training) {
      if (x.rows() > detail::rows_in_cache)
        return serve_blocks(context, detail::as_concatenated(detail::as_value(context, x)));
    }
    return outputs_of(run_levels(context, first_level(context, x), levels.size()));
  }

  /// For contexts of another number type: stops the compilation with one sentence.
  template <Context C>
  std::array<value_of<C>, Tasks> operator()(C&, const auto&...) const requires(!ContextOf<C, T>) {
    detail::refuse_context<C, T>();
    return {};
  }

  /// The weights of the experts for every task at a level, from 0: the input of `gate_diagnostics`.
  ///
  /// Shapes      [n, K] per task, K = experts of the task + shared ones, in this order.
  /// Errors      std::invalid_argument if there is no such level.
  template <Context C>
  std::array<value_of<C>, Tasks> gate_weights(C& context, const auto& x, std::size_t level) const {
    check_levels();
    detail::check_below("ple::gate_weights", "level", level, levels.size());
    const auto logits = logits_of(context, x, level);
    std::array<value_of<C>, Tasks> weights;
    for (std::size_t t = 0; t < Tasks; ++t)
      weights[t] = gate_softmax(context, logits[t], gate_dropout);
    return weights;
  }

  /// The weights of all experts of a level for the shared experts of the next one, [n, all experts]:
  /// task after task, then the shared ones.
  /// Errors      std::invalid_argument if there is no such level, or it is the last.
  template <Context C>
  value_of<C> shared_gate_weights(C& context, const auto& x, std::size_t level) const {
    check_levels();
    detail::check_below("ple::shared_gate_weights", "level", level, levels.size() - 1);
    return gate_softmax(context, logits_of(context, x, level)[Tasks], gate_dropout);
  }

  void visit_parameters(auto&& visit) { visit("levels", levels); }

  /// Packs the weights for serving. The first layers of experts with the same input are joined into
  /// one layer, computed by one product, if they have the same activation.
  template <class Arch>
  void freeze() {
    check_levels();
    auto& first = levels.front();
    gates_.template freeze<Arch>("ple", detail::gates_of{first});
    const detail::experts_of all{first};
    first_layers_.template freeze<Arch>("ple", detail::first_layers_of{all});
    detail::freeze_rest<Arch>(all);
    for (auto& level : std::span(levels).subspan(1)) {
      for (std::size_t i = 0; i < inputs; ++i) detail::part(level, i).template freeze<Arch>();
    }
  }

 private:
  using level_type = ple_level<T, Tasks>;
  /// A level has an input for each task, then one for the shared experts.
  static constexpr std::size_t inputs = Tasks + 1;
  template <Context C>
  using values_of_inputs = std::array<value_of<C>, inputs>;

  /// What the experts and the gates of a level return.
  template <Context C>
  struct level_values {
    std::span<value_of<C>> experts;  ///< task after task, then the shared ones
    values_of_inputs<C> logits;
  };

  void check_levels() const {
    detail::check_not_empty("ple", "levels", levels.size());
    for (const level_type& level : levels) {
      const std::size_t shared = level.shared.experts.size();
      const bool last = &level == &levels.back();
      for (std::size_t i = 0; i < inputs; ++i) {
        const ple_experts<T>& at = detail::part(level, i);
        detail::check_not_empty("ple", "experts", at.experts.size());
        for (const mlp<T>& expert : at.experts) expert.in();  // throws if the expert has no layers
        const std::size_t expected = i < Tasks ? at.experts.size() + shared
                                     : last    ? 0
                                               : detail::experts_of{level}.size();
        if (at.gate.out() != expected)
          detail::fail("funnel::ple: a gate has ", at.gate.out(), " outputs, expected ", expected);
      }
    }
  }

  template <Context C>
  static level_values<C> room_for(C& context, const level_type& level) {
    using value = value_of<C>;
    const std::size_t count = detail::experts_of{level}.size();
    return {{context.scratch().template allocate<value>(count), count}, {}};
  }

  /// Runs the experts and gates of the first level, whose inputs are the same.
  template <Context C>
  level_values<C> first_level(C& context, const auto& x) const {
    const auto& level = levels.front();
    const detail::experts_of all{level};
    level_values<C> values = room_for(context, level);
    first_layers_(context, detail::first_layers_of{all}, x, values.experts.data());
    detail::run_rest(context, all, values.experts.data());
    gates_(context, detail::gates_of{level}, x, values.logits.data());
    return values;
  }

  /// Mixes the outputs of a level's experts: the inputs of the next level.
  template <Context C>
  values_of_inputs<C> mix(C& context, const level_type& level,
                          const level_values<C>& values) const {
    using value = value_of<C>;
    values_of_inputs<C> mixed;
    const auto weigh = [&](std::size_t input, std::span<const value> experts) {
      const value weights = gate_softmax(context, values.logits[input], gate_dropout);
      mixed[input] = mixture(context, weights, experts);
    };
    const std::span<value> shared = values.experts.last(level.shared.experts.size());
    for (std::size_t t = 0, begin = 0; t < Tasks; begin += detail::experts_at(level, t++)) {
      const std::size_t own = detail::experts_at(level, t);
      value* const seen = context.scratch().template allocate<value>(own + shared.size());
      std::ranges::uninitialized_copy(values.experts.subspan(begin, own), std::span(seen, own));
      std::ranges::uninitialized_copy(shared, std::span(seen + own, shared.size()));
      weigh(t, {seen, own + shared.size()});
    }
    if (level.shared.gate.out() > 0) weigh(Tasks, values.experts);
    return mixed;
  }

  /// Runs the levels from the second on, up to level `count` - 1, on the values of the first.
  template <Context C>
  values_of_inputs<C> run_levels(C& context, const level_values<C>& first,
                                 std::size_t count) const {
    values_of_inputs<C> x = mix(context, levels.front(), first);
    for (const level_type& level : std::span(levels).first(count).subspan(1)) {
      level_values<C> values = room_for(context, level);
      value_of<C>* to = values.experts.data();
      for (std::size_t i = 0; i < inputs; to += detail::experts_at(level, i++)) {
        detail::part(level, i)(context, x[i], to);
        if (detail::part(level, i).gate.out() > 0)
          values.logits[i] = detail::part(level, i).gate(context, x[i]);
      }
      x = mix(context, level, values);
    }
    return x;
  }

  /// The outputs of a level's gates, before the softmax.
  template <Context C>
  values_of_inputs<C> logits_of(C& context, const auto& x, std::size_t level) const {
    values_of_inputs<C> logits;
    const detail::gates_of gates{levels[level]};
    if (level == 0) {
      gates_(context, gates, x, logits.data());
    } else {
      const auto in = run_levels(context, first_level(context, x), level);
      for (std::size_t i = 0; i < gates.size(); ++i) logits[i] = gates[i](context, in[i]);
    }
    return logits;
  }

  template <class Values>
  static auto outputs_of(const Values& values) {
    std::array<typename Values::value_type, Tasks> outputs;
    std::copy_n(values.begin(), Tasks, outputs.begin());
    return outputs;
  }

  /// Serves 256 rows at a time; products of parts with fewer rows are computed once.
  template <Context C, std::size_t N>
  std::array<value_of<C>, Tasks> serve_blocks(C& context,
                                              const concatenated<value_of<C>, N>& x) const {
    std::array<matrix_view<T>, Tasks> served;
    for (auto& values : served) values = context.make(x.rows(), out());
    const arena::scope temporary(context.scratch());
    const auto& level = levels.front();
    const detail::experts_of all{level};
    const detail::first_layers_of first{all};
    const auto of_first = first_layers_.shared(context, first, x);
    const auto of_gates = gates_.shared(context, detail::gates_of{level}, x);
    detail::in_row_blocks(context, x, [&](const auto& rows, std::size_t begin) {
      level_values<C> values = room_for(context, level);
      first_layers_.on_block(context, first, rows, of_first, begin, values.experts.data());
      detail::run_rest(context, all, values.experts.data());
      gates_.on_block(context, detail::gates_of{level}, rows, of_gates, begin,
                      values.logits.data());
      const auto outputs = run_levels(context, values, levels.size());
      for (std::size_t t = 0; t < Tasks; ++t) detail::copy_rows(outputs[t], served[t], begin);
    });
    std::array<value_of<C>, Tasks> values;
    std::ranges::copy(served, values.begin());
    return values;
  }

  detail::joined_layers<T> first_layers_;  // of all experts of the first level
  detail::joined_layers<T> gates_;         // of the first level
};

}  // namespace funnel
