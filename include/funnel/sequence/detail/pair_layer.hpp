// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/activation.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/dense.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/sequence/detail/event_lists.hpp>
#include <funnel/simd/attention.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/dense_gradient.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>

#include <algorithm>
#include <cstddef>

// The first layer of DIN's activation unit, W = [W_q; W_x; W_d; W_p] with h outputs, for pairs of a
// candidate q and an event x, without forming [q, x, q - x, q * x]:
//
//     y = f((b + q (W_q + W_d)) + x (W_x - W_d + diag(q) W_p))
namespace funnel::detail {

/// Checks the shapes of the layer's weights for vectors of d values.
template <class T>
void check_pair_layer(const dense<T>& layer, std::size_t d) {
  check_parameter("din_attention", "the unit's first weight", layer.weight, 4 * d, layer.out());
  check_parameter("din_attention", "the unit's first bias", layer.bias, 1, layer.out());
}

/// Writes W_q + W_d (part 0) or W_x - W_d (part 1), [d, h].
template <class T>
void combine_weights(matrix_view<const T> w, std::size_t part, matrix_view<T> to) {
  const std::size_t d = to.rows();
  for (std::size_t k = 0; k < d; ++k) {
    for (std::size_t j = 0; j < to.cols(); ++j)
      to(k, j) = part == 0 ? w(k, j) + w(2 * d + k, j) : w(d + k, j) - w(2 * d + k, j);
  }
}

/// Packs W_q + W_d, W_x - W_d and W_p of a layer one after another, each with `packed_size(d, h)`
/// values. `room` has d h values.
template <class Arch, class T>
void pack_pair_weights(Arch arch, const dense<T>& layer, T* panels, T* room) {
  const matrix_view<const T> w = layer.weight.value.view();
  const std::size_t d = w.rows() / 4;
  const std::size_t h = w.cols();
  const std::size_t size = packed_size<Arch, T>(d, h);
  for (std::size_t part = 0; part < 2; ++part) {
    combine_weights(w, part, matrix_view<T>(room, d, h));
    pack_weights_kernel(arch, room, h, d, h, panels + part * size);
  }
  pack_weights_kernel(arch, w.middle_rows(3 * d, d).data(), w.stride(), d, h, panels + 2 * size);
}

/// The layer for the candidates `q`, from weights that `pack_pair_weights` packed: what depends on
/// the candidate alone is computed once per candidate.
template <class Arch, class T>
class pair_products {
 public:
  pair_products(arena& memory, matrix_view<const T> q, const T* panels, const dense<T>& layer)
      : q_(q), panels_(panels), size_(packed_size<Arch, T>(q.cols(), layer.out())),
        starts_(memory.allocate<T>(q.rows(), layer.out()), q.rows(), layer.out()),
        folded_(memory.allocate<T>(size_)) {
    dense_kernel(Arch{}, dense_arguments<T>{q, panels, q.cols(), layer.bias.value.data(), 0,
                                            starts_, activation::identity});
  }
  /// Row j of y belongs to candidate i and event j of `list`.
  void run(std::size_t i, matrix_view<const T> list, matrix_view<T> y, activation function) const {
    const std::size_t d = q_.cols();
    fold_rows_kernel(Arch{}, q_.row(i).data(), panels_ + 2 * size_, panels_ + size_, d, y.cols(),
                     folded_);
    dense_kernel(Arch{},
                 dense_arguments<T>{list, folded_, d, starts_.row(i).data(), 0, y, function});
  }

 private:
  matrix_view<const T> q_;
  const T* panels_;
  std::size_t size_;
  matrix_view<T> starts_;  ///< b + q (W_q + W_d)
  T* folded_;              ///< W_x - W_d + diag(q_i) W_p, packed
};

/// Adds the gradients of the layer. `by_output` if y is f(...), and not the sum alone.
template <class C, class T>
void pair_layer_backward(C& context, const dense<T>& layer, const variable<T>& q,
                         const variable<T>& x, const variable<T>& y, const event_lists& lists,
                         bool by_output) {
  using arch = typename C::arch;
  const std::size_t d = q.cols();
  const std::size_t h = y.cols();
  check_pair_layer(layer, d);  // they may have been replaced since the forward step
  arena& scratch = context.scratch();
  const arena::scope temporary(scratch);
  const auto zeros = [&](std::size_t rows, std::size_t cols) {
    const matrix_view<T> made(scratch.allocate<T>(rows, cols), rows, cols);
    std::fill_n(made.data(), made.size(), T(0));
    return made;
  };
  const std::size_t most = largest_list(lists.offsets);
  T* packed = scratch.allocate<T>(std::max(
      {weight_gradient_scratch<arch, T>(std::max(most, q.rows()), h), packed_size<arch, T>(h, d)}));
  T* slopes = scratch.allocate<T>(by_output ? most * h : 0);
  const matrix_view<const T> w = layer.weight.value.view();
  const matrix_view<const T> of_product = w.middle_rows(3 * d, d);  // W_p
  const matrix_view<T> to = context.gradient(layer.weight).values();
  const matrix_view<T> of_event = zeros(d, h);  // W_x - W_d
  combine_weights(w, 1, of_event);
  const matrix_view<T> folded = zeros(d, h);       // W_x - W_d + diag(q_i) W_p
  const matrix_view<T> sums = zeros(q.rows(), h);  // of the gradients of a candidate's pairs
  const matrix_view<T> products = zeros(d, h);     // x^T g of a candidate's pairs
  const matrix_view<T> all_products = zeros(d, h);
  for (std::size_t i = 0, at = 0; i < q.rows(); at += lists.size(i++)) {
    const std::size_t count = lists.size(i);
    if (count == 0) continue;
    const auto events = view(x).middle_rows(lists.begin(i), count);
    matrix_view<const T> g = y.gradient.middle_rows(at, count);
    if (by_output) {
      activation_slopes(arch{}, g.data(), y.values.row(at).data(), slopes, count * h,
                        layer.function);
      g = {slopes, count, h};
    }
    column_sums_kernel(arch{}, g, sums.row(i).data());
    std::fill_n(products.data(), products.size(), T(0));
    weight_gradient_kernel(arch{}, events, g, products, packed);
    axpy_kernel(arch{}, T(1), products.data(), all_products.data(), products.size());
    for (std::size_t k = 0; k < d; ++k) {
      const T* product = products.row(k).data();
      const T factor = q.values(i, k);
      axpy_kernel(arch{}, factor, product, to.row(3 * d + k).data(), h);
      if (q.has_gradient())
        q.gradient(i, k) += dot_kernel(arch{}, product, of_product.row(k).data(), h);
      if (!x.has_gradient()) continue;
      std::ranges::copy(of_event.row(k), folded.row(k).begin());
      axpy_kernel(arch{}, factor, of_product.row(k).data(), folded.row(k).data(), h);
    }
    if (x.has_gradient())
      input_gradient_kernel(arch{}, g, matrix_view<const T>(folded),
                            x.gradient.middle_rows(lists.begin(i), count), packed);
  }
  column_sums_kernel(arch{}, matrix_view<const T>(sums),
                     context.gradient(layer.bias).values().data());
  std::fill_n(products.data(), products.size(), T(0));
  weight_gradient_kernel(arch{}, view(q), matrix_view<const T>(sums), products, packed);
  for (std::size_t k = 0; k < d; ++k) {
    for (std::size_t j = 0; j < h; ++j) {
      to(k, j) += products(k, j);
      to(d + k, j) += all_products(k, j);
      to(2 * d + k, j) += products(k, j) - all_products(k, j);
    }
  }
  if (!q.has_gradient()) return;
  combine_weights(w, 0, folded);
  input_gradient_kernel(arch{}, matrix_view<const T>(sums), matrix_view<const T>(folded),
                        q.gradient, packed);
}

/// The layer for all pairs in training, [pairs, h].
template <class C, class T>
variable<T> pair_layer(C& context, const dense<T>& layer, const variable<T>& q,
                       const variable<T>& x, const event_lists& lists) {
  using arch = typename C::arch;
  const std::size_t d = q.cols();
  const std::size_t h = layer.out();
  check_pair_layer(layer, d);
  const auto y = context.make(lists.pairs(), h);
  const bool by_output = slope_needs_output_only(layer.function);
  arena& scratch = context.scratch();
  {
    const arena::scope temporary(scratch);
    T* panels = scratch.allocate<T>(3 * packed_size<arch, T>(d, h));
    pack_pair_weights(arch{}, layer, panels, scratch.allocate<T>(d * h));
    const pair_products<arch, T> products(scratch, q.values, panels, layer);
    for (std::size_t i = 0, at = 0; i < q.rows(); at += lists.size(i++))
      products.run(i, view(x).middle_rows(lists.begin(i), lists.size(i)),
                   y.values.middle_rows(at, lists.size(i)),
                   by_output ? layer.function : activation::identity);
  }
  context.record([&context, &layer, q, x, y, lists, by_output] {
    pair_layer_backward(context, layer, q, x, y, lists, by_output);
  });
  return by_output ? y : activate(context, y, layer.function);
}

}  // namespace funnel::detail
