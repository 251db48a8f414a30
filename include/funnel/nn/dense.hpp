// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/activation.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/rows.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/dense_gradient.hpp>
#include <funnel/simd/detail/packed_weights.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace funnel {
namespace detail {

/// The part of a layer's product that all rows of x share: the packed weights, and the products of
/// the one-row parts. It is computed once, even if the rows are processed in blocks.
template <class T, std::size_t N>
struct shared_products {
  const T* panels;
  const T* bias;
  /// Per part: null unless the part has one row and x has more. The one-row parts at the beginning
  /// hold the sum so far, bias + x_1 W_1 + ... + x_i W_i; later ones hold x_i W_i alone.
  std::array<const T*, N> rows{};
};

template <class Arch, class T, std::size_t N>
shared_products<T, N> multiply_shared(Arch arch, arena& scratch,
                                      const concatenated<matrix_view<const T>, N>& x,
                                      const T* panels, const T* bias, std::size_t out) {
  shared_products<T, N> shared{panels, bias};
  const std::size_t n = x.rows();
  const std::size_t in = x.cols();
  const T* start = bias;
  const T* zeros = nullptr;  // start of the parts after a part of n rows
  std::size_t first = 0;     // the first input of the part
  for (std::size_t part = 0; part < N; ++part) {
    const matrix_view<const T>& xs = x.parts[part];
    if (xs.rows() == 1 && n != 1) {
      const matrix_view<T> row(scratch.allocate<T>(out), 1, out);
      dense_kernel(arch, dense_arguments<T>{xs, panels + first * dense_tile<Arch, T>::cols, in,
                                            start, 0, row, activation::identity});
      shared.rows[part] = row.data();
      if (zeros == nullptr) start = row.data();
    } else if (zeros == nullptr) {
      T* values = scratch.allocate<T>(out);
      std::fill_n(values, out, T(0));
      start = zeros = values;
    }
    first += xs.cols();
  }
  return shared;
}

/// y = function(bias + x W) with packed weights, one part of x after another: ((bias + x_1 W_1) +
/// x_2 W_2) + ...
///
/// The order of the sums does not depend on the number of rows. The sums of the other parts start
/// from the result of the one-row parts at the beginning.
template <class Arch, class T, std::size_t N>
void linear_forward(Arch arch, const concatenated<matrix_view<const T>, N>& x,
                    const shared_products<T, N>& shared, matrix_view<T> y, activation function) {
  const std::size_t out = y.cols();
  const std::size_t in = x.cols();
  const T* start = shared.bias;
  std::size_t start_stride = 0;
  bool started = false;   // y holds a sum
  std::size_t first = 0;  // the first input of the part
  for (std::size_t part = 0; part < N; ++part) {
    const matrix_view<const T>& xs = x.parts[part];
    const bool last = part + 1 == N;
    const T* row = shared.rows[part];
    if (row != nullptr && !started) {
      FUNNEL_ASSERT(!last);  // a part with y.rows() rows is still to come
      start = row;
    } else if (row != nullptr) {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        for (std::size_t j = 0; j < out; ++j) y(i, j) += row[j];
        if (last) activation_kernel(arch, y.row(i).data(), y.row(i).data(), out, function);
      }
    } else {
      const T* part_panels = shared.panels + first * dense_tile<Arch, T>::cols;
      dense_kernel(arch, dense_arguments<T>{xs, part_panels, in, start, start_stride, y,
                                            last ? function : activation::identity});
      started = true;
      start = y.data();
      start_stride = y.rows() == 1 ? 0 : y.stride();
    }
    first += xs.cols();
  }
}

/// Adds the gradients of W and x of y = x W + b, for one part of the inputs. `g` is [n, out]; for a
/// one-row part it is the column sums, [1, out].
template <class Arch, class T>
void linear_backward(Arch arch, arena& scratch, const variable<T>& x, matrix_view<const T> weight,
                     matrix_view<const T> g, matrix_view<T> weight_gradient) {
  const arena::scope temporary(scratch);
  const std::size_t in = weight.rows();
  const std::size_t out = weight.cols();
  weight_gradient_kernel(arch, view(x), g, weight_gradient,
                         scratch.allocate<T>(weight_gradient_scratch<Arch, T>(g.rows(), out)));
  if (!x.has_gradient()) return;
  input_gradient_kernel(arch, g, weight, x.gradient,
                        scratch.allocate<T>(packed_size<Arch, T>(out, in)));
}

/// True if the derivative of the activation can be computed from its output alone.
constexpr bool slope_needs_output_only(activation function) {
  return function == activation::relu || function == activation::sigmoid ||
         function == activation::tanh;
}

}  // namespace detail

/// Options of `dense`.
struct dense_options {
  /// Activation function, applied to every output.
  activation function = activation::identity;
  /// Whether the layer adds a bias.
  bool bias = true;
  /// Initial values of the weights. Biases start at zero.
  initial_values initial = initial_values::glorot_uniform;
};

/// Fully connected layer, y = f(x W + b).
///
/// If x is a concatenation `[user | items]` in which the user is one row, the user's product is
/// computed once, and the sum of every item starts from it.
///
/// Shapes      x [n, in] as a value or a concatenation; y [n, out]; weight [in, out]; bias [1,
///             out].
/// Errors      std::invalid_argument if x has another number of columns, its parts have different
///             numbers of rows, or the weights were replaced by ones of another shape; also if the
///             layer is frozen and the context is a training context or has another instruction
///             set.
/// Cost        2 n in out operations; 2 in out for a one-row part.
/// Numerics    A row has the same bits in every batch. A NaN input makes the outputs of its row
///             NaN.
/// Source      docs/formulas.md#dense-layer.
template <class T>
class dense {
 public:
  parameter<T> weight;
  parameter<T> bias;
  activation function = activation::identity;

  dense() = default;
  /// Errors      std::invalid_argument if in or out is 0.
  dense(std::size_t in, std::size_t out, const dense_options& options = {})
      : weight(in, out, options.initial), bias(1, options.bias ? out : 0),
        function(options.function), in_(in), out_(out) {
    detail::check_at_least_one("dense", "in", in);
    detail::check_at_least_one("dense", "out", out);
  }

  std::size_t in() const { return in_; }
  std::size_t out() const { return out_; }

  template <Context C>
  value_of<C> operator()(C& context, const value_of<C>& x) const {
    return (*this)(context, concatenated<value_of<C>, 1>{{x}});
  }

  template <Context C, std::size_t N>
  value_of<C> operator()(C& context, const concatenated<value_of<C>, N>& x) const {
    check(x);
    const auto y = context.make(x.rows(), out_);
    if constexpr (!C::is_training) {
      const arena::scope temporary(context.scratch());
      detail::linear_forward(typename C::arch{}, x, shared(context, x), y, function);
      return y;
    } else {
      packed_.check_empty("dense");
      const bool fused = detail::slope_needs_output_only(function);
      forward(context, x, y, fused ? function : activation::identity);
      context.record([this, &context, x, y, fused] { backward(context, x, y, fused); });
      return fused ? y : activate(context, y, function);
    }
  }

  /// Computes the part of the product that all rows of x share, for callers that process x in
  /// blocks. `on_block(context, block, shared)` then computes the layer for one block. The result
  /// lives in the context's scratch memory.
  template <Context C, std::size_t N>
  detail::shared_products<T, N> shared(C& context,
                                       const concatenated<matrix_view<const T>, N>& x) const {
    check(x);
    using arch = typename C::arch;
    arena& scratch = context.scratch();
    const std::size_t size = packed_size<arch, T>(in_, out_);
    const T* panels;
    if (packed_.empty()) {
      T* packed = scratch.template allocate<T>(size);
      pack_weights_kernel(arch{}, weight.value.data(), out_, in_, out_, packed);
      panels = packed;
    } else {
      panels = packed_.template data<arch>("dense", size);
    }
    const T* start = bias.value.data();
    if (bias.value.empty()) {
      T* zeros = scratch.template allocate<T>(out_);
      std::fill_n(zeros, out_, T(0));
      start = zeros;
    }
    return detail::multiply_shared(arch{}, scratch, x, panels, start, out_);
  }
  template <Context C, std::size_t N>
  value_of<C> on_block(C& context, const concatenated<value_of<C>, N>& block,
                       const detail::shared_products<T, N>& shared) const {
    const auto y = context.make(block.rows(), out_);
    detail::linear_forward(typename C::arch{}, block, shared, y, function);
    return y;
  }

  void visit_parameters(auto&& visit) {
    visit("weight", weight);
    if (!bias.value.empty()) visit("bias", bias);
  }

  /// Packs the weights for `Arch` and releases the unpacked ones: for serving only.
  /// Errors      std::invalid_argument if the layer is frozen already.
  template <class Arch>
  void freeze() {
    packed_.check_empty("dense::freeze");
    check_parameters();
    T* panels = packed_.template make<Arch>(packed_size<Arch, T>(in_, out_));
    pack_weights_kernel(Arch{}, weight.value.data(), out_, in_, out_, panels);
    weight = {};
  }

 private:
  void check_parameters() const {
    if (packed_.empty()) detail::check_parameter("dense", "weight", weight, in_, out_);
    if (!bias.value.empty()) detail::check_parameter("dense", "bias", bias, 1, out_);
  }
  void check(const auto& x) const {
    detail::check_cols("dense", "x", x.cols(), in_);
    for (const auto& part : x.parts)
      detail::common_rows("dense", "a part of x", part, x, "the others");
    check_parameters();
  }

  template <class C, std::size_t N>
  void forward(C& context, const concatenated<variable<T>, N>& x, const variable<T>& y,
               activation applied) const {
    const arena::scope temporary(context.scratch());
    concatenated<matrix_view<const T>, N> values;
    std::ranges::transform(x.parts, values.parts.begin(),
                           [](const auto& part) { return view(part); });
    detail::linear_forward(typename C::arch{}, values, shared(context, values), y.values, applied);
  }

  template <class C, std::size_t N>
  void backward(C& context, const concatenated<variable<T>, N>& x, const variable<T>& y,
                bool fused) const {
    using arch = typename C::arch;
    check(x);  // the weights may have been replaced since the forward step
    detail::check_that("dense", "out", out_, y.cols() == out_, y.cols(), " as in the forward step");
    arena& scratch = context.scratch();
    const arena::scope temporary(scratch);
    matrix_view<const T> g = y.gradient;
    if (fused) {
      T* slopes = scratch.template allocate<T>(g.size());
      std::fill_n(slopes, g.size(), T(0));
      activation_backward_kernel(arch{}, y.values.data(), y.values.data(), g.data(), slopes,
                                 g.size(), function);
      g = {slopes, g.rows(), out_};
    }
    T* sums = scratch.template allocate<T>(out_);
    std::fill_n(sums, out_, T(0));
    column_sums_kernel(arch{}, g, sums);
    if (!bias.value.empty()) detail::add_to_row(context.gradient(bias).values(), 0, sums);
    const matrix_view<T> weight_gradient = context.gradient(weight).values();
    std::size_t first = 0;
    for (const variable<T>& part : x.parts) {
      detail::linear_backward(arch{}, scratch, part,
                              weight.value.view().middle_rows(first, part.cols()),
                              part.rows() == g.rows() ? g : matrix_view<const T>(sums, 1, out_),
                              weight_gradient.middle_rows(first, part.cols()));
      first += part.cols();
    }
  }

  std::size_t in_ = 0;
  std::size_t out_ = 0;
  detail::packed_weights<T> packed_;
};

}  // namespace funnel
