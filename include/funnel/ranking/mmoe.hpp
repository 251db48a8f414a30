// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/row_blocks.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/softmax.hpp>
#include <funnel/ranking/gate_softmax.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
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
    const mlp_options relu{.output = activation::relu, .dropout = options.dropout};
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
    if constexpr (!C::is_training) {
      if (joined()) return mix_rest<C>(context, first_layers_(context, x), weights);
    }
    const auto outputs = room_for_outputs<C>(context);
    for (std::size_t k = 0; k < experts.size(); ++k)
      std::construct_at(&outputs[k], experts[k](context, x));
    return mix_outputs<C>(context, outputs, weights);
  }

  void visit_parameters(auto&& visit) {
    visit("experts", experts);
    visit("gates", gates);
  }

  /// Packs the weights for serving. If the experts' first layers have the same shape and
  /// activation, they are joined into one layer, computed by one product.
  template <class Arch>
  void freeze() {
    check_experts();
    gates.template freeze<Arch>();  // throws if the model is frozen already
    const bool join = alike();
    if (join) {
      first_layers_ = joined_first_layers();
      first_layers_.template freeze<Arch>();
    }
    for (mlp<T>& expert : experts) {
      if (join) expert.layers.front().weight = {};
      for (std::size_t i = join ? 1 : 0; i < expert.layers.size(); ++i)
        expert.layers[i].template freeze<Arch>();
    }
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
  bool joined() const { return first_layers_.out() > 0; }
  /// True if the experts' first layers have the same shape and activation, and all or none have a
  /// bias.
  bool alike() const {
    return std::ranges::all_of(experts, [&](const mlp<T>& expert) {
      const dense<T>& a = expert.layers.front();
      const dense<T>& b = experts.front().layers.front();
      return a.in() == b.in() && a.out() == b.out() && a.function == b.function &&
             a.bias.cols() == b.bias.cols();
    });
  }

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

  /// Runs the experts from their second layer on and mixes them. `first` holds the outputs of all
  /// first layers side by side.
  template <Context C>
  std::array<value_of<C>, Tasks> mix_rest(C& context, const value_of<C>& first,
                                          const std::array<value_of<C>, Tasks>& weights) const {
    const auto outputs = room_for_outputs<C>(context);
    const std::size_t width = first.cols() / experts.size();
    for (std::size_t k = 0; k < experts.size(); ++k) {
      const value_of<C> hidden = first.middle_cols(k * width, width);
      std::construct_at(&outputs[k], experts[k].rest(context, hidden));
    }
    return mix_outputs<C>(context, outputs, weights);
  }

  /// Serves 256 rows at a time; products of parts with fewer rows are computed once.
  template <Context C, std::size_t N>
  std::array<value_of<C>, Tasks> serve_blocks(C& context,
                                              const concatenated<value_of<C>, N>& x) const {
    std::array<matrix_view<T>, Tasks> mixed;
    for (auto& values : mixed) values = context.make(x.rows(), out());
    const arena::scope temporary(context.scratch());
    const auto of_gates = gates.shared(context, x);
    using shared_products = detail::shared_products<T, N>;
    const std::span<shared_products> of_first(
        context.scratch().template allocate<shared_products>(experts.size()), experts.size());
    if (joined()) {
      std::construct_at(&of_first[0], first_layers_.shared(context, x));
    } else {
      for (std::size_t k = 0; k < experts.size(); ++k)
        std::construct_at(&of_first[k], experts[k].layers.front().shared(context, x));
    }
    detail::in_row_blocks(context, x, [&](const auto& rows, std::size_t begin) {
      const auto weights =
          weights_of_tasks<C>(context, gates.on_block(context, rows, of_gates, begin));
      std::array<value_of<C>, Tasks> part;
      if (joined()) {
        part = mix_rest<C>(context, first_layers_.on_block(context, rows, of_first[0], begin),
                           weights);
      } else {
        const auto outputs = room_for_outputs<C>(context);
        for (std::size_t k = 0; k < experts.size(); ++k) {
          const value_of<C> hidden =
              experts[k].layers.front().on_block(context, rows, of_first[k], begin);
          std::construct_at(&outputs[k], experts[k].rest(context, hidden));
        }
        part = mix_outputs<C>(context, outputs, weights);
      }
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

  /// One layer that computes the outputs of the first layers of all experts, side by side.
  dense<T> joined_first_layers() const {
    const dense<T>& like = experts.front().layers.front();
    const std::size_t width = like.out();
    dense<T> joined(like.in(), width * experts.size(), {.function = like.function});
    for (std::size_t k = 0; k < experts.size(); ++k) {
      const dense<T>& layer = experts[k].layers.front();
      detail::check_parameter("mmoe", "the weight of an expert's first layer", layer.weight,
                              layer.in(), layer.out());
      detail::copy_rows<T>(layer.weight.value,
                           joined.weight.value.view().middle_cols(k * width, width), 0);
      detail::copy_rows<T>(layer.bias.value, joined.bias.value.view().middle_cols(k * width, width),
                           0);
    }
    return joined;
  }

  dense<T> first_layers_;  // of all experts, in a frozen model
};

}  // namespace funnel
