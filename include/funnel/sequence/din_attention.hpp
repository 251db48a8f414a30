// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/freeze.hpp>
#include <funnel/nn/mlp.hpp>
#include <funnel/sequence/detail/event_lists.hpp>
#include <funnel/sequence/detail/pair_layer.hpp>
#include <funnel/simd/attention.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/detail/packed_weights.hpp>
#include <funnel/simd/softmax.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace funnel {
namespace detail {

/// Softmax over the pairs of each candidate.
template <class C>
value_of<C> softmax_of_lists(C& context, const value_of<C>& x, event_lists lists) {
  using arch = typename C::arch;
  const auto y = context.make(x.rows(), 1);
  for (std::size_t i = 0, at = 0; i < lists.candidates; at += lists.size(i++))
    softmax_row_kernel(arch{}, view(x).data() + at, writable(y).data() + at, lists.size(i));
  if constexpr (C::is_training) {
    context.record([x, y, lists] {
      for (std::size_t i = 0, at = 0; i < lists.candidates && x.has_gradient();
           at += lists.size(i++)) {
        softmax_backward_kernel(arch{}, y.values.data() + at, y.gradient.data() + at,
                                x.gradient.data() + at, lists.size(i));
      }
    });
  }
  return y;
}

/// y_i = sum of weight * event over the pairs of candidate i.
template <class C>
value_of<C> weighted_events(C& context, const value_of<C>& weights, const value_of<C>& x,
                            event_lists lists) {
  using t = scalar_of<C>;
  using arch = typename C::arch;
  const auto y = context.make(lists.candidates, x.cols());
  std::fill_n(writable(y).data(), y.rows() * y.cols(), t(0));
  lists.for_each_pair([&](std::size_t pair, std::size_t i, std::size_t j) {
    axpy_kernel(arch{}, view(weights)(pair, 0), view(x).row(j).data(), writable(y).row(i).data(),
                x.cols());
  });
  if constexpr (C::is_training) {
    context.record([weights, x, y, lists] {
      lists.for_each_pair([&](std::size_t pair, std::size_t i, std::size_t j) {
        const t* g = y.gradient.row(i).data();
        if (weights.has_gradient()) {
          weights.gradient(pair, 0) += dot_kernel(arch{}, g, x.values.row(j).data(), x.cols());
        }
        if (x.has_gradient()) {
          axpy_kernel(arch{}, weights.values(pair, 0), g, x.gradient.row(j).data(), x.cols());
        }
      });
    });
  }
  return y;
}

}  // namespace detail

/// Options of `din_attention`.
struct din_attention_options {
  /// Sizes of the hidden layers of the activation unit.
  std::vector<std::size_t> hidden = {80, 40};
  /// Activation function between the layers of the unit.
  activation function = activation::sigmoid;
  /// Whether to apply a softmax over the history, so that weights sum to 1. Without it, as in the
  /// paper, the sum of the weights tells how much of the history is relevant to the candidate.
  bool normalize = false;
};

/// DIN (deep interest network) attention: target attention in which a small network, the activation
/// unit, learns how relevant an event of the history is to a candidate.
///
///     o_i = sum_j a(q_i, x_j) x_j,   a(q, x) = unit([q, x, q - x, q * x])
///
/// The pairs are not formed. The first layer of the unit, W = [W_q; W_x; W_d; W_p], is split:
/// q (W_q + W_d) + b and the weights for the events, diag(q) W_p + W_x - W_d, depend on the candidate
/// only and are computed once per candidate.
///
/// Shapes      candidates [n, d], events [m, d], offsets [n + 1], [R + 1] or [2] as in
///             `target_attention` -> [n, d]. An empty history returns zeros.
/// Errors      std::invalid_argument if the columns differ or the offsets do not fit.
/// Cost        2 d h operations per pair for the first layer of the unit, with h outputs; plus the
///             other layers and 2 d. Training costs three times as much, and stores what the layers
///             return, for each pair.
/// Numerics    the result of a candidate has the same bits whatever the other candidates are, in
///             serving and in training.
/// Source      Zhou et al., KDD 2018, section 4.3; docs/formulas.md#activation-unit.
template <class T>
class din_attention : public detail::layer_of<T> {
 public:
  mlp<T> unit;
  bool normalize = false;

  din_attention() = default;
  explicit din_attention(std::size_t dim, const din_attention_options& options = {})
      : unit(4 * dim, with_one(options.hidden), {.hidden = options.function}),
        normalize(options.normalize) {}

  std::size_t dim() const { return unit.in() / 4; }
  std::size_t out() const { return dim(); }

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& candidates, const value_of<C>& events,
                         std::span<const std::uint32_t> offsets) const {
    constexpr std::string_view name = "din_attention";
    const std::size_t n = candidates.rows();
    detail::check_cols(name, "candidates", candidates.cols(), dim());
    const detail::event_lists lists = detail::make_event_lists(
        detail::requests_of(context), name, n, dim(), events.rows(), events.cols(), offsets);
    return attend(context, candidates, events, lists);
  }
  /// The same with lists that candidates share in any order: candidate i has list lists[i], so that the
  /// events of a list are there once.
  ///
  /// Shapes      candidates [n, d], events [m, d], offsets [L + 1] of L lists, lists [n] -> [n, d]. In
  ///             training, `offsets` and `lists` must live until the context is cleared.
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& candidates, const value_of<C>& events,
                         std::span<const std::uint32_t> offsets,
                         std::span<const std::uint32_t> lists) const {
    constexpr std::string_view name = "din_attention";
    detail::check_cols(name, "candidates", candidates.cols(), dim());
    detail::check_cols(name, "events", events.cols(), dim());
    return attend(
        context, candidates, events,
        detail::make_shared_lists(name, candidates.rows(), events.rows(), offsets, lists));
  }

  void visit_parameters(auto&& visit) { visit("unit", unit); }

  /// Splits and packs the first layer of the unit for `Arch`; afterward the layer is for serving
  /// only.
  ///
  /// Errors      std::invalid_argument if the layer is already frozen.
  template <class Arch>
  void freeze() {
    packed_.check_empty("din_attention::freeze");
    const std::size_t d = dim();  // throws if the unit has no layers
    const std::size_t h = unit.layers.front().out();
    const std::size_t size = packed_size<Arch, T>(d, h);
    detail::check_pair_layer(unit.layers.front(), d);
    std::vector<T> room(d * h);
    detail::pack_pair_weights(Arch{}, unit.layers.front(), packed_.template make<Arch>(3 * size),
                              room.data());
    unit.layers.front().weight = {};
    for (std::size_t i = 1; i < unit.layers.size(); ++i) unit.layers[i].template freeze<Arch>();
  }

 private:
  static std::vector<std::size_t> with_one(std::vector<std::size_t> sizes) {
    sizes.push_back(1);
    return sizes;
  }

  template <class C>
  value_of<C> attend(C& context, const value_of<C>& candidates, const value_of<C>& events,
                     const detail::event_lists& lists) const {
    if constexpr (C::is_training) {
      packed_.check_empty("din_attention");
      auto weights = unit.rest(
          context, detail::pair_layer(context, unit.layers.front(), candidates, events, lists));
      if (normalize) weights = detail::softmax_of_lists(context, weights, lists);
      return detail::weighted_events(context, weights, events, lists);
    } else {
      return serve(context, candidates, events, lists);
    }
  }

  template <Context C>
  value_of<C> serve(C& context, const value_of<C>& candidates, const value_of<C>& events,
                    const detail::event_lists& lists) const {
    using arch = typename C::arch;
    const dense<T>& first = unit.layers.front();
    const std::size_t n = candidates.rows();
    const std::size_t d = dim();
    const std::size_t h = first.out();
    const std::size_t size = packed_size<arch, T>(d, h);
    const auto y = context.make(n, d);
    arena& scratch = context.scratch();
    const arena::scope temporary(scratch);
    const T* panels;
    if (packed_.empty()) {
      detail::check_pair_layer(first, d);
      T* packed = scratch.template allocate<T>(3 * size);
      detail::pack_pair_weights(arch{}, first, packed, scratch.template allocate<T>(d * h));
      panels = packed;
    } else {
      detail::check_parameter("din_attention", "the unit's first bias", first.bias, 1, h);
      panels = packed_.template data<arch>("din_attention", 3 * size);
    }
    T* zeros = scratch.template allocate<T>(d);
    std::fill_n(zeros, d, T(0));
    const detail::pair_products<arch, T> products(scratch, candidates, panels, first);
    for (std::size_t i = 0; i < n; ++i) {
      const arena::scope of_candidate(scratch);
      const auto list = events.middle_rows(lists.begin(i), lists.size(i));
      const auto hidden = context.make(list.rows(), h);
      products.run(i, list, hidden, first.function);
      const matrix_view<const T> weights = unit.rest(context, hidden);
      const T* alpha = weights.data();
      if (normalize) {
        T* normal = scratch.template allocate<T>(list.rows());
        detail::softmax_row_kernel(arch{}, alpha, normal, list.rows());
        alpha = normal;
      }
      weighted_rows_kernel(arch{}, alpha, list, zeros, y.row(i).data());
    }
    return y;
  }

  detail::packed_weights<T> packed_;  // if frozen: the three parts of the first weight
};

}  // namespace funnel
