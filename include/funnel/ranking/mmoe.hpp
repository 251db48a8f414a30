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
#include <funnel/ranking/gate_softmax.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace funnel {

/// Options of `mmoe`.
struct mmoe_options {
  /// Number of experts, 1 or more. K in the paper; with 1 the tasks share one bottom network.
  std::size_t experts = 4;
  /// Number of outputs of each layer of an expert, first to last.
  std::vector<std::size_t> expert_sizes = {64};
  /// Probability of dropping a gate in training, in [0, 1); see `gate_softmax`.
  double gate_dropout = 0.1;
  /// Probability of dropping a hidden output of an expert in training, in [0, 1).
  double dropout = 0;
};

/// Multi-gate mixture of experts (MMoE): a multi-task network in which every task mixes the outputs
/// of the same experts with weights of its own.
///
///     g^t = softmax(x W_g^t),   h^t = sum_k g^t_k f_k(x)
///
/// Gates are linear without bias, as in the paper, with gate dropout; experts are MLPs with relu
/// after every layer. The caller adds the towers and heads: one `mlp` or `dense` per task, on the
/// output for that task.
///
/// Shapes      x [n, in], a value or a concatenation -> one [n, expert_sizes.back()] per task.
/// Errors      std::invalid_argument if there is no expert, a dropout rate is outside [0, 1), or x
///             does not have `in` columns.
/// Cost        one run of each of the K experts, for any number of tasks. `freeze` joins the first
///             layers of all experts into one product. Serving works on blocks of 256 rows; the
///             products of parts with fewer rows, such as the user's, are computed once.
/// Source      Ma et al., KDD 2018, section 4; docs/formulas.md#mixture-of-experts.
template <class T, std::size_t Tasks>
class mmoe {
  static_assert(Tasks > 0, "an mmoe serves at least one task");

 public:
  std::vector<mlp<T>> experts;
  dense<T> gates;  ///< of all tasks: columns [t K, (t + 1) K) belong to task t
  double gate_dropout = 0;

  mmoe() = default;
  explicit mmoe(std::size_t in, const mmoe_options& options = {})
      : gate_dropout(options.gate_dropout) {
    detail::check_at_least_one("mmoe", "experts", options.experts);
    detail::check_fraction("mmoe", "gate_dropout", options.gate_dropout);
    detail::check_fraction("mmoe", "dropout", options.dropout);
    detail::array_size<mlp<T>>("funnel::mmoe: experts x tasks", options.experts, Tasks);
    const mlp_options relu{.output = activation::relu, .dropout = options.dropout};
    experts.reserve(options.experts);
    for (std::size_t k = 0; k < options.experts; ++k)
      experts.emplace_back(in, options.expert_sizes, relu);
    gates = dense<T>(in, Tasks * options.experts, {.bias = false});
  }

  std::size_t out() const {
    check_experts();
    return experts.front().out();
  }

  template <ContextOf<T> C>
  std::array<value_of<C>, Tasks> operator()(C& context, const auto& x) const {
    if constexpr (!C::is_training) {
      if (x.rows() > detail::rows_in_cache)
        return serve_blocks(context, detail::as_concatenated(detail::as_value(context, x)));
    }
    return mix(context, x, gate_weights(context, x));
  }

  /// For contexts of another number type: stops the compilation with one sentence.
  template <Context C>
  std::array<value_of<C>, Tasks> operator()(C&, const auto&...) const requires(!ContextOf<C, T>) {
    detail::refuse_context<C, T>();
    return {};
  }

  /// The weight of every expert for every task, [n, K] per task; the input of `gate_diagnostics`.
  template <Context C>
  std::array<value_of<C>, Tasks> gate_weights(C& context, const auto& x) const {
    check_experts();
    return weights_of_tasks<C>(context, gates(context, x));
  }

  /// Mixes the outputs of the experts with the weights that are passed.
  template <Context C>
  std::array<value_of<C>, Tasks> mix(C& context, const auto& x,
                                     const std::array<value_of<C>, Tasks>& weights) const {
    check_experts();
    const auto outputs = room_for_outputs<C>(context);
    first_layers_(context, first_layers(), x, outputs.data());
    detail::run_rest(context, experts, outputs.data());
    return mix_outputs<C>(context, outputs, weights);
  }

  void visit_parameters(auto&& visit) {
    visit("experts", experts);
    visit("gates", gates);
  }

  /// Packs the weights for serving. If the experts' first layers have the same number of inputs and
  /// the same activation, they are joined into one layer, computed by one product.
  template <class Arch>
  void freeze() {
    check_experts();
    gates.template freeze<Arch>();  // throws if the model is frozen already
    first_layers_.template freeze<Arch>("mmoe", detail::first_layers_of{experts});
    detail::freeze_rest<Arch>(experts);
  }

 private:
  void check_experts() const {
    detail::check_not_empty("mmoe", "experts", experts.size());
    for (const mlp<T>& expert : experts) expert.in();  // throws if the expert has no layers
    if (gates.out() != Tasks * experts.size()) {
      detail::fail("funnel::mmoe: gates has ", gates.out(), " outputs, expected ",
                   Tasks * experts.size(), " for ", experts.size(), " experts");
    }
  }

  auto first_layers() const { return detail::first_layers_of{experts}; }

  template <Context C>
  std::array<value_of<C>, Tasks> weights_of_tasks(C& context, const value_of<C>& logits) const {
    const std::size_t k = experts.size();
    std::array<value_of<C>, Tasks> weights;
    for (std::size_t t = 0; t < Tasks; ++t)
      weights[t] = gate_softmax(context, detail::middle_cols(logits, t * k, k), gate_dropout);
    return weights;
  }

  template <Context C>
  std::span<value_of<C>> room_for_outputs(C& context) const {
    using value = value_of<C>;
    return {context.scratch().template allocate<value>(experts.size()), experts.size()};
  }

  /// Serves 256 rows at a time; products of parts with fewer rows are computed once.
  template <Context C, std::size_t N>
  std::array<value_of<C>, Tasks> serve_blocks(C& context,
                                              const concatenated<value_of<C>, N>& x) const {
    std::array<matrix_view<T>, Tasks> mixed;
    for (auto& values : mixed) values = context.make(x.rows(), out());
    const arena::scope temporary(context.scratch());
    const auto of_gates = gates.shared(context, x);
    const auto of_first = first_layers_.shared(context, first_layers(), x);
    detail::in_row_blocks(context, x, [&](const auto& rows, std::size_t begin) {
      const auto weights =
          weights_of_tasks<C>(context, gates.on_block(context, rows, of_gates, begin));
      const auto outputs = room_for_outputs<C>(context);
      first_layers_.on_block(context, first_layers(), rows, of_first, begin, outputs.data());
      detail::run_rest(context, experts, outputs.data());
      const auto part = mix_outputs<C>(context, outputs, weights);
      for (std::size_t t = 0; t < Tasks; ++t) detail::copy_rows(part[t], mixed[t], begin);
    });
    std::array<value_of<C>, Tasks> values;
    std::ranges::copy(mixed, values.begin());
    return values;
  }

  template <Context C>
  static std::array<value_of<C>, Tasks> mix_outputs(C& context,
                                                    std::span<const value_of<C>> outputs,
                                                    const std::array<value_of<C>, Tasks>& weights) {
    std::array<value_of<C>, Tasks> mixed;
    for (std::size_t t = 0; t < Tasks; ++t) mixed[t] = mixture(context, weights[t], outputs);
    return mixed;
  }

  detail::joined_layers<T> first_layers_;  // of the experts
};

}  // namespace funnel
