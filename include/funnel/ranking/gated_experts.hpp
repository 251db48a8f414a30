// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/sizes.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/softmax.hpp>
#include <funnel/ranking/gate_softmax.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace funnel {

/// Options of `gated_experts`.
struct gated_experts_options {
  /// Number of experts, 1 or more. K.
  std::size_t experts = 4;
  /// Number of outputs of each layer of an expert, first to last.
  std::vector<std::size_t> expert_sizes = {64};
  /// Number of outputs of each hidden layer of the gate; none for a linear gate.
  std::vector<std::size_t> gate_sizes = {};
  /// Probability of dropping an expert's weight in training, in [0, 1); see `gate_softmax`.
  double gate_dropout = 0.1;
  /// Probability of dropping a hidden output of an expert in training, in [0, 1).
  double dropout = 0;
};

/// Mixture of experts with a gate that sees the user alone: one model for ordinary and special
/// users, in which each kind of user has its own mixture of the same experts.
///
///     g = softmax(gate(user)),   h = sum_k g_k f_k(x)
///
/// `user` holds what tells the kinds apart, such as the age of the account and the number of recent
/// actions. The gate is computed once per request, and all candidates of a user are scored with the
/// same weights. The gates of `mmoe` instead see all features, one gate per task. Experts are MLPs
/// with relu after every layer; the caller adds the heads.
///
/// Shapes      x [n, in], a value or a concatenation; user [1, user_in], [R, user_in] with one row
///             per request, or [n, user_in]; result [n, expert_sizes.back()].
/// Errors      std::invalid_argument if there is no expert, a dropout rate is outside [0, 1), or on
///             other shapes.
/// Cost        one run of each of the K experts; the gate once per row of user.
/// Source      docs/formulas.md#experts-gated-by-the-user.
template <class T>
class gated_experts : public detail::layer_of<T> {
 public:
  std::vector<mlp<T>> experts;
  mlp<T> gate;
  double gate_dropout = 0;

  gated_experts() = default;
  gated_experts(std::size_t in, std::size_t user_in, const gated_experts_options& options = {})
      : gate_dropout(options.gate_dropout) {
    detail::check_at_least_one("gated_experts", "experts", options.experts);
    detail::check_fraction("gated_experts", "gate_dropout", options.gate_dropout);
    detail::check_fraction("gated_experts", "dropout", options.dropout);
    const mlp_options relu{.output = activation::relu, .dropout = options.dropout};
    experts.reserve(detail::array_size<mlp<T>>("funnel::gated_experts: experts", options.experts));
    for (std::size_t k = 0; k < options.experts; ++k)
      experts.emplace_back(in, options.expert_sizes, relu);
    std::vector<std::size_t> sizes = options.gate_sizes;
    sizes.push_back(options.experts);
    gate = mlp<T>(user_in, sizes);
  }

  std::size_t out() const {
    check_experts();
    return experts.front().out();
  }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& x, const auto& user) const {
    return mix(context, x, gate_weights(context, user));
  }

  /// The weight of each expert, one row per row of user; the input of `gate_diagnostics<1>`.
  template <ContextOf<T> C>
  value_of<C> gate_weights(C& context, const auto& user) const {
    check_experts();
    return gate_softmax(context, gate(context, user), gate_dropout);
  }

  /// Mixes the outputs of the experts with the weights that are passed.
  template <ContextOf<T> C>
  value_of<C> mix(C& context, const auto& x, const value_of<C>& weights) const {
    check_experts();
    using value = value_of<C>;
    auto* outputs = context.scratch().template allocate<value>(experts.size());
    for (std::size_t k = 0; k < experts.size(); ++k)
      std::construct_at(outputs + k, experts[k](context, x));
    return mixture(context, for_rows(context, weights, outputs[0].rows()),
                   std::span<const value>(outputs, experts.size()));
  }

  void visit_parameters(auto&& visit) {
    visit("experts", experts);
    visit("gate", gate);
  }

 private:
  void check_experts() const {
    detail::check_not_empty("gated_experts", "experts", experts.size());
    if (gate.out() != experts.size())
      detail::fail("funnel::gated_experts: gate has ", gate.out(), " outputs, expected ",
                   experts.size(), ", one per expert");
  }

  /// The weights of each of n rows, [n, K].
  template <Context C>
  static value_of<C> for_rows(C& context, const value_of<C>& weights, std::size_t n) {
    if (weights.rows() == n) return weights;
    const detail::request_rows requests = detail::requests_of(context);
    detail::check_that("gated_experts", "user.rows()", weights.rows(),
                       weights.rows() == 1 || requests.match(weights.rows(), n),
                       "1, one per request, or ", n, " as in x");
    const auto y = context.make(n, weights.cols());
    const detail::row_map row_of(requests, n);
    for (std::size_t i = 0; i < n; ++i)
      std::copy_n(row_of(view(weights), i), weights.cols(), writable(y).row(i).data());
    if constexpr (C::is_training) {
      context.record([weights, y, row_of] {
        for (std::size_t i = 0; i < y.rows(); ++i)
          row_of.add(weights.gradient, i, y.gradient.row(i).data());
      });
    }
    return y;
  }
};

}  // namespace funnel
