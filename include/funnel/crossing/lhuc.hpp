// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/nn/context.hpp>
#include <funnel/nn/elementwise.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/nn/parameter.hpp>

#include <cstddef>
#include <vector>

namespace funnel {

/// Options of `lhuc`.
struct lhuc_options {
  /// Sizes of the hidden layers of the gate network, which have relu; may be empty.
  std::vector<std::size_t> hidden = {64};
};

/// LHUC (learning hidden unit contributions): multiplies hidden values of a network with gates in
/// (0, 2), which a small network computes from other features, such as those of the user. The model
/// so adapts its hidden units to the user.
///
///     y = h * 2 sigmoid(net(g))
///
/// The last layer of the gate network starts with weights of zero, also after `initialize`: every
/// gate starts at 1, and the layer returns h.
///
/// Shapes      gate_x [n, gate_in], a value or a concatenation; h [n, width] -> [n, width]. Each may
///             have one row, or one row per request: the gates of a user are computed once per
///             request.
/// Errors      std::invalid_argument if gate_in, width or a hidden size is 0, or the values have
///             other shapes.
/// Cost        that of the gate network, and 2 n width operations.
/// Numerics    A row has the same bits in every batch; the gates of the start are exactly 1.
/// Source      Swietojanski, Li and Renals, IEEE/ACM TASLP 2016; docs/formulas.md#lhuc.
template <class T>
class lhuc : public detail::layer_of<T> {
 public:
  mlp<T> net;

  lhuc() = default;
  lhuc(std::size_t gate_in, std::size_t width, const lhuc_options& options = {})
      : net(gate_in, with_last(options.hidden, width), {.output = activation::sigmoid}) {
    net.layers.back().weight.initial = initial_values::zeros;
  }

  /// Number of columns of the gate network's input, and of the gates.
  std::size_t gate_in() const { return net.in(); }
  std::size_t width() const { return net.out(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const auto& gate_x, const value_of<C>& h) const {
    return multiply(context, gates(context, gate_x), h);
  }

  /// The gates, in (0, 2).
  template <ContextOf<T> C>
  value_of<C> gates(C& context, const auto& gate_x) const {
    return affine(context, net(context, gate_x), T(2));
  }

  void visit_parameters(auto&& visit) { visit("net", net); }

 private:
  static std::vector<std::size_t> with_last(std::vector<std::size_t> sizes, std::size_t last) {
    sizes.push_back(last);
    return sizes;
  }
};

}  // namespace funnel
