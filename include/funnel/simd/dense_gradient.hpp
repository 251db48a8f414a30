// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/dense.hpp>

#include <algorithm>
#include <cstddef>

namespace funnel {

/// Adds the column sums of g: to[j] += sum_i g(i, j). This is the gradient of b in y = x W + b,
/// from the gradient g of y.
template <class Arch, class T>
void column_sums_kernel(Arch, matrix_view<const T> g, T* to) noexcept {
  using p = detail::pack<Arch, T>;
  constexpr std::size_t width = detail::lanes<Arch, T>;
  const auto sum = [&](std::size_t j, const auto& load, p start) {
    for (std::size_t i = 0; i < g.rows(); ++i) start = start + load(g.data() + i * g.stride() + j);
    return start;
  };
  std::size_t j = 0;
  for (; j + width <= g.cols(); j += width) {
    sum(
        j, [](const T* at) { return p::load_unaligned(at); }, p::load_unaligned(to + j))
        .store_unaligned(to + j);
  }
  if (const std::size_t left = g.cols() - j; left > 0) {
    const auto load = [left](const T* at) { return detail::load_first<Arch, T>(at, left); };
    detail::store_first<Arch, T>(sum(j, load, load(to + j)), to + j, left);
  }
}

/// to += g W^T, where `panels` are those of `pack_transposed_kernel`.
template <class Arch, class T>
void packed_input_gradient_kernel(Arch arch, matrix_view<const T> g, const T* panels,
                                  matrix_view<T> to) noexcept {
  dense_kernel(arch, dense_arguments<T>{g, panels, g.cols(), to.data(), to.stride(), to,
                                        activation::identity});
}

/// to += g W^T: the gradient of x in y = x W, from the gradient g of y.
template <class Arch, class T>
void input_gradient_kernel(Arch arch, matrix_view<const T> g, matrix_view<const T> weights,
                           matrix_view<T> to, T* scratch) noexcept {
  pack_transposed_kernel(arch, weights, T(1), scratch);
  packed_input_gradient_kernel(arch, g, static_cast<const T*>(scratch), to);
}

namespace detail {
constexpr std::size_t gradient_block = 128;  // rows of x at a time, which stay in L2
}

/// Number of scratch values that `weight_gradient_kernel` needs.
template <class Arch, class T>
constexpr std::size_t weight_gradient_scratch(std::size_t n, std::size_t out) {
  return packed_size<Arch, T>(std::min(n, detail::gradient_block), out) + out;
}

/// to += x^T g: the gradient of W in y = x W, from the gradient g of y. Sums over the rows in their
/// order. If `adds` is false, sets `to` instead of adding to it.
template <class Arch, class T>
void weight_gradient_kernel(Arch arch, matrix_view<const T> x, matrix_view<const T> g,
                            matrix_view<T> to, T* scratch, bool adds = true) noexcept {
  const std::size_t n = x.rows();
  T* zeros = scratch + packed_size<Arch, T>(std::min(n, detail::gradient_block), g.cols());
  if (!adds) std::fill_n(zeros, g.cols(), T(0));
  for (std::size_t i = 0; i < to.rows() && n == 0 && !adds; ++i) std::ranges::fill(to.row(i), T(0));
  for (std::size_t begin = 0; begin < n; begin += detail::gradient_block) {
    const std::size_t count = std::min(detail::gradient_block, n - begin);
    const bool set = begin == 0 && !adds;
    pack_weights_kernel(arch, g.data() + begin * g.stride(), g.stride(), count, g.cols(), scratch);
    dense_kernel(arch, dense_arguments<T>{.x = x.middle_rows(begin, count),
                                          .panels = scratch,
                                          .panel_in = count,
                                          .start = set ? zeros : to.data(),
                                          .start_stride = set ? 0 : to.stride(),
                                          .y = to,
                                          .function = activation::identity,
                                          .transposed = true});
  }
}

}  // namespace funnel
