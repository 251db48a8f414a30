// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/crossing/lhuc.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dropout.hpp>
#include <funnel/nn/mlp.hpp>

#include <cstddef>
#include <vector>

namespace funnel {

/// Options of `ppnet`.
struct ppnet_options {
  /// Activations and dropout of the network.
  mlp_options network = {};
  /// Sizes of the hidden layers of every gate network; may be empty.
  std::vector<std::size_t> gate_hidden = {64};
  /// Whether the input of the network has gates too.
  bool gate_input = false;
  /// Whether the output of the last layer has gates too, for a network below other layers.
  bool gate_output = false;
};

/// PPNet (parameter personalized network): an `mlp` with `lhuc` gates on the outputs of its hidden
/// layers, each with a gate network of its own.
///
///     h_{l+1} = f(h_l W_l + b_l) * 2 sigmoid(net_l(g))
///
/// The input of the gate networks is an argument of the call. LHUC takes features of the user. PPNet
/// takes ids, such as those of user, author and item, next to the input of the network, to which no
/// gradient flows back through the gates:
///
///     net(context, x, concat(context, ids, stop_gradient(context, x)))
///
/// As the gates start at 1, the network starts as the `mlp` without gates.
///
/// Shapes      x [n, in] and gate_x [n, gate_in], values or concatenations; y [n, sizes.back()]. Each
///             may have one row, or one row per request: the gates of a user are computed once per
///             request.
/// Errors      std::invalid_argument if there are no sizes, a size is 0, or the values have other
///             shapes.
/// Cost        that of the network and of the gate networks. With gates on the input, the product of
///             x with the first layer is computed for every row, also for the user's part.
/// Numerics    A row has the same bits in every batch.
/// Source      Chang et al., KDD 2023; docs/formulas.md#ppnet.
template <class T>
class ppnet : public detail::layer_of<T> {
 public:
  mlp<T> network;
  std::vector<lhuc<T>> gates;  ///< of the input, if it has gates; of the layers, first to last
  bool gate_input = false;     ///< whether gates[0] belongs to the input

  ppnet() = default;
  /// `sizes` are the numbers of outputs of the layers, from the first layer to the last.
  ppnet(std::size_t in, std::size_t gate_in, const std::vector<std::size_t>& sizes,
        const ppnet_options& options = {})
      : network(in, sizes, options.network), gate_input(options.gate_input) {
    const lhuc_options gate{.hidden = options.gate_hidden};
    if (options.gate_input) gates.emplace_back(gate_in, in, gate);
    for (std::size_t l = 0; l + (options.gate_output ? 0 : 1) < sizes.size(); ++l)
      gates.emplace_back(gate_in, sizes[l], gate);
  }

  std::size_t in() const { return network.in(); }
  std::size_t out() const { return network.out(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& x, const auto& gate_x) const {
    const std::size_t first = gate_input ? 1 : 0;  // the gates of the first layer
    value_of<C> y = first_layer(context, x, gate_x);
    for (std::size_t l = 0;; ++l) {
      if (first + l < gates.size()) y = gates[first + l](context, gate_x, y);
      if (l + 1 == network.layers.size()) return y;
      y = network.layers[l + 1](context, dropout(context, y, network.dropout_rate));
    }
  }

  void visit_parameters(auto&& visit) {
    visit("network", network);
    visit("gates", gates);
  }

 private:
  template <Context C>
  value_of<C> first_layer(C& context, const auto& x, const auto& gate_x) const {
    detail::check_cols("ppnet", "x", x.cols(), in());  // throws if there are no layers
    const dense<T>& layer = network.layers.front();
    if (!gate_input) return layer(context, x);
    return layer(context, gates.front()(context, gate_x, materialize(context, x)));
  }
};

}  // namespace funnel
