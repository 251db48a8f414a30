// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/mlp.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

// Layers with the same input, which a frozen model computes by one product. A list is anything with
// `size()` and `operator[]`.
namespace funnel::detail {

/// True if the layers of a list have the same number of inputs and the same activation, and all or
/// none of them have a bias.
bool can_be_joined(const auto& layers) {
  for (std::size_t k = 1; k < layers.size(); ++k) {
    const auto &a = layers[k], &b = layers[0];
    if (a.in() != b.in() || a.function != b.function ||
        a.bias.value.empty() != b.bias.value.empty())
      return false;
  }
  return true;
}

/// One layer that computes the outputs of all layers of a list, side by side.
template <class T>
dense<T> join_layers(std::string_view function, const auto& layers) {
  const dense<T>& like = layers[0];
  std::size_t width = 0;
  for (std::size_t k = 0; k < layers.size(); ++k) width += layers[k].out();
  dense<T> joined(like.in(), width, {.function = like.function, .bias = !like.bias.value.empty()});
  for (std::size_t k = 0, begin = 0; k < layers.size(); begin += layers[k++].out()) {
    const dense<T>& layer = layers[k];
    check_parameter(function, "the weight of a layer", layer.weight, layer.in(), layer.out());
    copy_rows<T>(layer.weight.value, joined.weight.value.view().middle_cols(begin, layer.out()), 0);
    if (!layer.bias.value.empty())
      copy_rows<T>(layer.bias.value, joined.bias.value.view().middle_cols(begin, layer.out()), 0);
  }
  return joined;
}

/// The layers of a list, on one input. A frozen model computes them by one product.
template <class T>
class joined_layers {
 public:
  /// Joins and packs the layers; packs each by itself if they cannot be joined. Releases their
  /// weights.
  /// Errors      std::invalid_argument if the layers are frozen already.
  template <class Arch>
  void freeze(std::string_view function, const auto& layers) {
    if (joined())
      fail("funnel::", function, ": the layer is frozen, expected the one that it was frozen from");
    const bool join = can_be_joined(layers);
    if (join) {
      joined_ = join_layers<T>(function, layers);
      joined_.template freeze<Arch>();
    }
    for (std::size_t k = 0; k < layers.size(); ++k) {
      if (join)
        layers[k].weight = {};
      else
        layers[k].template freeze<Arch>();
    }
  }

  /// Constructs the outputs of the layers for x, one value each.
  template <Context C>
  void operator()(C& context, const auto& layers, const auto& x, value_of<C>* outputs) const {
    if constexpr (!C::is_training) {
      if (joined()) return split<C>(layers, joined_(context, x), outputs);
    }
    for (std::size_t k = 0; k < layers.size(); ++k)
      std::construct_at(&outputs[k], layers[k](context, x));
  }

  /// The parts of the products that all rows of x share; `on_block` then constructs the outputs for
  /// a block of rows. See `dense::shared`.
  template <Context C, std::size_t N>
  std::span<const shared_products<T, N>> shared(C& context, const auto& layers,
                                                const concatenated<value_of<C>, N>& x) const {
    using products = shared_products<T, N>;
    const std::size_t count = joined() ? 1 : layers.size();
    products* const shared = context.scratch().template allocate<products>(count);
    for (std::size_t k = 0; k < count; ++k)
      std::construct_at(&shared[k], (joined() ? joined_ : layers[k]).shared(context, x));
    return {shared, count};
  }
  template <Context C, std::size_t N>
  void on_block(C& context, const auto& layers, const concatenated<value_of<C>, N>& block,
                std::span<const shared_products<T, N>> shared, std::size_t begin,
                value_of<C>* outputs) const {
    if (joined())
      return split<C>(layers, joined_.on_block(context, block, shared[0], begin), outputs);
    for (std::size_t k = 0; k < layers.size(); ++k)
      std::construct_at(&outputs[k], layers[k].on_block(context, block, shared[k], begin));
  }

 private:
  bool joined() const { return joined_.out() > 0; }

  template <Context C>
  static void split(const auto& layers, const value_of<C>& joined, value_of<C>* outputs) {
    for (std::size_t k = 0, begin = 0; k < layers.size(); begin += layers[k++].out())
      std::construct_at(&outputs[k], joined.middle_cols(begin, layers[k].out()));
  }

  dense<T> joined_;  // in a frozen model, if the layers could be joined
};

/// The first layers of a list of experts (`mlp`s), as a list.
template <class Experts>
struct first_layers_of {
  Experts& experts;

  std::size_t size() const { return experts.size(); }
  auto& operator[](std::size_t k) const { return experts[k].layers.front(); }
};
template <class Experts>
first_layers_of(Experts&) -> first_layers_of<Experts>;

/// Runs the experts from their second layer on: values[k] becomes the output of expert k.
template <Context C>
void run_rest(C& context, const auto& experts, value_of<C>* values) {
  for (std::size_t k = 0; k < experts.size(); ++k) values[k] = experts[k].rest(context, values[k]);
}

/// Packs the layers of the experts from the second on.
template <class Arch>
void freeze_rest(auto& experts) {
  for (std::size_t k = 0; k < experts.size(); ++k) {
    auto& layers = experts[k].layers;
    for (std::size_t i = 1; i < layers.size(); ++i) layers[i].template freeze<Arch>();
  }
}

}  // namespace funnel::detail
