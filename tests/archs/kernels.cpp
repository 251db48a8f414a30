// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#include <funnel/simd/activation.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/reduce.hpp>
#include <funnel/simd/softmax.hpp>

// Compiled once for each instruction set, with the flags of that set: FUNNEL_UNIT names it,
// FUNNEL_ARCH is its type.
#define JOIN(a, b) a##b
#define KERNELS(unit) JOIN(unit, _kernels)
#define TEXT(a) #a
#define NAME(unit) TEXT(unit)

namespace {

using arch = FUNNEL_ARCH;
constexpr std::size_t most_values = 16;

template <class T>
kernel_table<T> table() {
  using funnel::matrix_view;
  kernel_table<T> t;
  t.lanes = funnel::detail::lanes<arch, T>;
  t.dot = [](auto... a) { return funnel::dot_kernel(arch{}, a...); };
  t.max = [](auto... a) { return funnel::max_kernel(arch{}, a...); };
  t.log_sum_exp = [](auto... a) { return funnel::log_sum_exp_kernel(arch{}, a...); };
  t.axpy = [](auto... a) { funnel::axpy_kernel(arch{}, a...); };
  t.scale = [](auto... a) { funnel::scale_kernel(arch{}, a...); };
  t.exp = [](auto... a) { funnel::exp_kernel(arch{}, a...); };
  t.log = [](auto... a) { funnel::log_kernel(arch{}, a...); };
  t.log1p = [](auto... a) { funnel::log1p_kernel(arch{}, a...); };
  t.softplus = [](auto... a) { funnel::softplus_kernel(arch{}, a...); };
  t.activation = [](const T* x, T* y, std::size_t n, int function) {
    funnel::activation_kernel(arch{}, x, y, n, static_cast<funnel::activation>(function));
  };
  t.activation_backward = [](const T* x, const T* y, const T* g, T* x_gradient, std::size_t n,
                             int function) {
    funnel::activation_backward_kernel(arch{}, x, y, g, x_gradient, n,
                                       static_cast<funnel::activation>(function));
  };
  t.softmax = [](const T* x, T* y, std::size_t n, std::size_t d) {
    funnel::softmax_kernel(arch{}, matrix_view<const T>(x, n, d), matrix_view<T>(y, n, d));
  };
  t.softmax_backward = [](auto... a) { funnel::softmax_backward_kernel(arch{}, a...); };
  t.mixture = [](const T* weights, const T* values, std::size_t n, std::size_t k, std::size_t d,
                 T* y) {
    matrix_view<const T> views[most_values];
    for (std::size_t v = 0; v < k; ++v) views[v] = matrix_view<const T>(values + v * n * d, n, d);
    funnel::mixture_kernel(arch{}, matrix_view<const T>(weights, n, k),
                           std::span<const matrix_view<const T>>(views, k),
                           matrix_view<T>(y, n, d));
  };
  t.packed_size = [](std::size_t in, std::size_t out) {
    return funnel::packed_size<arch, T>(in, out);
  };
  t.dense = [](const T* x, const T* weights, const T* bias, T* panels, std::size_t n,
               std::size_t in, std::size_t out, int function, T* y) {
    funnel::pack_weights_kernel(arch{}, weights, out, in, out, panels);
    funnel::dense_arguments<T> a{};
    a.x = matrix_view<const T>(x, n, in);
    a.panels = panels;
    a.panel_in = in;
    a.start = bias;
    a.start_stride = 0;
    a.y = matrix_view<T>(y, n, out);
    a.function = static_cast<funnel::activation>(function);
    funnel::dense_kernel(arch{}, a);
  };
  return t;
}

}  // namespace

kernel_unit KERNELS(FUNNEL_UNIT)() {
  return {NAME(FUNNEL_UNIT), table<float>(), table<double>()};
}
