// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/arena.hpp>
#include <funnel/core/detail/checks.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/nn/activation.hpp>
#include <funnel/nn/concat.hpp>
#include <funnel/nn/context.hpp>
#include <funnel/nn/detail/request_rows.hpp>
#include <funnel/nn/parameter.hpp>
#include <funnel/nn/training_context.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/dense_gradient.hpp>
#include <funnel/simd/detail/packed_weights.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace funnel {
namespace detail {

/// The part of a layer's product that rows of x share: the packed weights, and the products of the
/// parts with fewer rows than x, one row or one per request. It is computed once, even if the rows
/// are processed in blocks.
template <class T, std::size_t N>
struct shared_products {
  const T* panels;
  const T* bias;
  /// Per part: no rows unless the part has fewer rows than x. The shared parts at the beginning hold
  /// the sum so far, bias + x_1 W_1 + ... + x_i W_i; later ones hold x_i W_i alone.
  std::array<matrix_view<const T>, N> products{};
  /// The request of each row of x; null if no part has one row per request.
  const std::uint32_t* of_row = nullptr;
};

template <class Arch, class T, std::size_t N>
shared_products<T, N>
multiply_shared(Arch arch, arena& scratch, const concatenated<matrix_view<const T>, N>& x,
                const request_rows& requests, const T* panels, const T* bias, std::size_t out) {
  shared_products<T, N> shared{panels, bias};
  const std::size_t n = x.rows();
  const std::size_t in = x.cols();
  matrix_view<const T> sum(bias, 1, out);  // of the shared parts at the beginning
  bool leading = true;
  T* zeros = scratch.allocate<T>(out);
  std::fill_n(zeros, out, T(0));
  std::size_t first = 0;  // the first input of the part
  for (std::size_t part = 0; part < N; ++part) {
    const matrix_view<const T>& xs = x.parts[part];
    const std::size_t rows = xs.rows();
    if (rows != n) {
      if (rows != 1) shared.of_row = requests.of_row();
      // A product starts from the sum of the parts before it, if that has a row for each of its own.
      const bool continues = leading && (sum.rows() == 1 || sum.rows() == rows);
      const matrix_view<T> product(scratch.allocate<T>(rows, out), rows, out);
      dense_kernel(arch, dense_arguments<T>{xs, panels + first * dense_tile<Arch, T>::cols, in,
                                            continues ? sum.data() : zeros,
                                            continues && sum.rows() != 1 ? sum.stride() : 0,
                                            product, activation::identity});
      if (leading && !continues) {  // one row after one row per request
        const matrix_view<T> both(scratch.allocate<T>(sum.rows(), out), sum.rows(), out);
        for (std::size_t r = 0; r < sum.rows(); ++r)
          for (std::size_t j = 0; j < out; ++j) both(r, j) = sum(r, j) + product(0, j);
        sum = both;
      } else if (leading) {
        sum = product;
      }
      shared.products[part] = leading ? sum : matrix_view<const T>(product);
    } else {
      leading = false;
    }
    first += xs.cols();
  }
  return shared;
}

/// y = function(bias + x W) with packed weights, one part of x after another: ((bias + x_1 W_1) +
/// x_2 W_2) + ...; row i of y is row begin + i of the x that `shared` was computed from.
///
/// The order of the sums does not depend on the number of rows. The sums of the other parts start
/// from the result of the shared parts at the beginning.
template <class Arch, class T, std::size_t N>
void linear_forward(Arch arch, const concatenated<matrix_view<const T>, N>& x,
                    const shared_products<T, N>& shared, std::size_t begin, matrix_view<T> y,
                    activation function) {
  const std::size_t out = y.cols();
  const std::size_t in = x.cols();
  const auto shared_row = [&](const matrix_view<const T>& product, std::size_t i) {
    return product.row(product.rows() == 1 ? 0 : shared.of_row[begin + i]).data();
  };
  matrix_view<const T> start(shared.bias, 1, out);
  bool started = false;   // y holds a sum
  std::size_t first = 0;  // the first input of the part
  for (std::size_t part = 0; part < N; ++part) {
    const matrix_view<const T>& xs = x.parts[part];
    const bool last = part + 1 == N;
    const matrix_view<const T>& product = shared.products[part];
    if (product.rows() != 0 && !started) {
      FUNNEL_ASSERT(!last);  // a part with y.rows() rows is still to come
      start = product;
    } else if (product.rows() != 0) {
      for (std::size_t i = 0; i < y.rows(); ++i) {
        const T* row = shared_row(product, i);
        for (std::size_t j = 0; j < out; ++j) y(i, j) += row[j];
        if (last) activation_kernel(arch, y.row(i).data(), y.row(i).data(), out, function);
      }
    } else {
      const bool by_request = !started && start.rows() != 1;
      dense_kernel(arch,
                   dense_arguments<T>{.x = xs,
                                      .panels = shared.panels + first * dense_tile<Arch, T>::cols,
                                      .panel_in = in,
                                      .start = start.data(),
                                      .start_stride = start.rows() == 1 ? 0 : start.stride(),
                                      .y = y,
                                      .function = last ? function : activation::identity,
                                      .start_rows = by_request ? shared.of_row + begin : nullptr});
      started = true;
      start = y;
    }
    first += xs.cols();
  }
}

/// Adds the gradients of W and x of y = x W + b, for one part of the inputs. `g` is [n, out]; for a
/// part with fewer rows it is the sums over the rows that share one, [1, out] or [R, out].
template <class Arch, class T>
void linear_backward(Arch arch, training_context<T, Arch>& context, const variable<T>& x,
                     const parameter<T>& weights, std::size_t first, matrix_view<const T> g,
                     const gradient_to_write<T>& gradient) {
  arena& scratch = context.scratch();
  const arena::scope temporary(scratch);
  const std::size_t in = x.cols();
  const std::size_t out = weights.cols();
  const auto weight = weights.value.view().middle_rows(first, in);
  weight_gradient_kernel(arch, view(x), g, gradient.values.middle_rows(first, in),
                         scratch.allocate<T>(weight_gradient_scratch<Arch, T>(g.rows(), out)),
                         !gradient.is_new);
  if (!x.has_gradient()) return;
  if (const T* panels = context.find_panels({&weights, first, in, true}))
    return packed_input_gradient_kernel(arch, g, panels, x.gradient);
  input_gradient_kernel(arch, g, weight, x.gradient,
                        scratch.allocate<T>(packed_size<Arch, T>(out, in)));
}

/// True if the derivative of the activation can be computed from its output alone.
constexpr bool slope_needs_output_only(activation function) {
  return function == activation::relu || function == activation::sigmoid ||
         function == activation::tanh;
}

/// slopes[i] = g[i] f'(...), from the outputs y of an activation whose slope needs nothing else.
template <class Arch, class T>
void activation_slopes(Arch arch, const T* g, const T* y, T* slopes, std::size_t n,
                       activation function) {
  with_constant(function, [&](auto f) {
    map(
        arch, n, slopes,
        [f](const auto& slope, const auto& gave) {
          return slope * activation_slope<Arch, T>(gave, gave, f());
        },
        g, y);
  });
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
/// If x is a concatenation `[user | items]` in which the user is one row, or one row per request, the
/// user's product is computed once per row, and the sum of every item starts from it.
///
/// Shapes      x [n, in] as a value or a concatenation; y [n, out]; weight [in, out]; bias [1,
///             out].
/// Errors      std::invalid_argument if x has another number of columns, its parts have different
///             numbers of rows, or the weights were replaced by ones of another shape; also if the
///             layer is frozen and the context is a training context or has another instruction
///             set.
/// Cost        2 n in out operations; 2 in out per row of a part with fewer rows.
/// Numerics    A row has the same bits in every batch. A NaN input makes the outputs of its row
///             NaN.
/// Source      docs/formulas.md#dense-layer.
template <class T>
class dense : public detail::layer_of<T> {
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

  using detail::layer_of<T>::operator();
  template <ContextOf<T> C>
  value_of<C> operator()(C& context, const value_of<C>& x) const {
    return (*this)(context, concatenated<value_of<C>, 1>{{x}});
  }

  template <ContextOf<T> C, std::size_t N>
  value_of<C> operator()(C& context, const concatenated<value_of<C>, N>& x) const {
    check(context, x);
    const auto y = context.make(x.rows(), out_);
    if constexpr (!C::is_training) {
      const arena::scope temporary(context.scratch());
      detail::linear_forward(typename C::arch{}, x, shared(context, x), 0, y, function);
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
  /// blocks. `on_block(context, block, shared, begin)` then computes the layer for the block that
  /// begins with row `begin` of x. The result lives in the context's scratch memory.
  template <Context C, std::size_t N>
  detail::shared_products<T, N> shared(C& context,
                                       const concatenated<matrix_view<const T>, N>& x) const {
    check(context, x);
    using arch = typename C::arch;
    arena& scratch = context.scratch();
    const std::size_t size = packed_size<arch, T>(in_, out_);
    const T* panels = nullptr;
    if constexpr (C::is_training) panels = context.find_panels({&weight, 0, in_, false});
    if (panels != nullptr) {
      // packed for the whole step
    } else if (packed_.empty()) {
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
    return detail::multiply_shared(arch{}, scratch, x, detail::requests_of(context), panels, start,
                                   out_);
  }
  template <Context C, std::size_t N>
  value_of<C> on_block(C& context, const concatenated<value_of<C>, N>& block,
                       const detail::shared_products<T, N>& shared, std::size_t begin) const {
    const auto y = context.make(block.rows(), out_);
    detail::linear_forward(typename C::arch{}, block, shared, begin, y, function);
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
  template <class C>
  void check(const C& context, const auto& x) const {
    detail::check_cols("dense", "x", x.cols(), in_);
    for (const auto& part : x.parts)
      detail::common_rows(detail::requests_of(context), "dense", "a part of x", part, x,
                          "the others");
    check_parameters();
  }

  template <class C, std::size_t N>
  void forward(C& context, const concatenated<variable<T>, N>& x, const variable<T>& y,
               activation applied) const {
    const arena::scope temporary(context.scratch());
    concatenated<matrix_view<const T>, N> values;
    std::ranges::transform(x.parts, values.parts.begin(),
                           [](const auto& part) { return view(part); });
    detail::linear_forward(typename C::arch{}, values, shared(context, values), 0, y.values,
                           applied);
  }

  template <class C, std::size_t N>
  void backward(C& context, const concatenated<variable<T>, N>& x, const variable<T>& y,
                bool fused) const {
    using arch = typename C::arch;
    check(context, x);  // the weights may have been replaced since the forward step
    detail::check_that("dense", "out", out_, y.cols() == out_, y.cols(), " as in the forward step");
    arena& scratch = context.scratch();
    const arena::scope temporary(scratch);
    matrix_view<const T> g = y.gradient;
    if (fused) {
      T* slopes = scratch.template allocate<T>(g.size());
      detail::activation_slopes(arch{}, g.data(), y.values.data(), slopes, g.size(), function);
      g = {slopes, g.rows(), out_};
    }
    T* sums = scratch.template allocate<T>(out_);
    std::fill_n(sums, out_, T(0));
    column_sums_kernel(arch{}, g, sums);
    if (!bias.value.empty()) {
      const std::span<T> to = context.gradient(bias).values().row(0);
      for (std::size_t j = 0; j < out_; ++j) to[j] += sums[j];
    }
    const detail::request_rows& requests = detail::requests_of(context);
    matrix_view<T> of_requests;  // the sums of each request's rows
    const auto gradient_of = [&](const variable<T>& part) -> matrix_view<const T> {
      if (part.rows() == g.rows()) return g;
      if (part.rows() == 1) return {sums, 1, out_};
      if (of_requests.data() == nullptr) {
        const std::size_t count = requests.requests();
        of_requests = {scratch.template allocate<T>(count, out_), count, out_};
        std::fill_n(of_requests.data(), of_requests.size(), T(0));
        for (std::size_t r = 0; r < count; ++r)
          column_sums_kernel(
              arch{}, g.middle_rows(requests.begin(r), requests.begin(r + 1) - requests.begin(r)),
              of_requests.row(r).data());
      }
      return of_requests;
    };
    const gradient_to_write<T> weight_gradient = context.gradient_to_set(weight);
    std::size_t first = 0;
    for (const variable<T>& part : x.parts) {
      detail::linear_backward(arch{}, context, part, weight, first, gradient_of(part),
                              weight_gradient);
      first += part.cols();
    }
  }

  std::size_t in_ = 0;
  std::size_t out_ = 0;
  detail::packed_weights<T> packed_;
};

}  // namespace funnel
