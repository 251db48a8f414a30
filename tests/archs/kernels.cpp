// SPDX-License-Identifier: MIT
#include "kernels.hpp"

#include <funnel/simd/activation.hpp>
#include <funnel/simd/attention.hpp>
#include <funnel/simd/dense.hpp>
#include <funnel/simd/dense_gradient.hpp>
#include <funnel/simd/elementwise.hpp>
#include <funnel/simd/embedding.hpp>
#include <funnel/simd/find.hpp>
#include <funnel/simd/inner_product.hpp>
#include <funnel/simd/int8_product.hpp>
#include <funnel/simd/interleaved_dot.hpp>
#include <funnel/simd/optimizer.hpp>
#include <funnel/simd/reduce.hpp>
#include <funnel/simd/row_products.hpp>
#include <funnel/simd/softmax.hpp>

#include <concepts>

// Compiled once for each instruction set, with the flags of that set: FUNNEL_UNIT names it,
// FUNNEL_ARCH is its type.
#define JOIN(a, b) a##b
#define KERNELS(unit) JOIN(unit, _kernels)
#define TEXT(a) #a
#define NAME(unit) TEXT(unit)

namespace {

using arch = FUNNEL_ARCH;
using funnel::matrix_view;
constexpr std::size_t most_values = 16;
static_assert(direction_block == funnel::direction_block &&
              direction_slack == funnel::direction_slack);

template <class T>
void add_elementwise(kernel_table<T>& t) {
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
}

template <class T>
void add_dense(kernel_table<T>& t) {
  t.tile = funnel::detail::dense_tile<arch, T>::cols;
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
  t.input_gradient = [](const T* g, const T* weights, std::size_t n, std::size_t in,
                        std::size_t out, T* to, T* scratch) {
    funnel::input_gradient_kernel(arch{}, matrix_view<const T>(g, n, out),
                                  matrix_view<const T>(weights, in, out), matrix_view<T>(to, n, in),
                                  scratch);
  };
  t.weight_gradient_scratch = [](std::size_t n, std::size_t out) {
    return funnel::weight_gradient_scratch<arch, T>(n, out);
  };
  t.weight_gradient = [](const T* x, const T* g, std::size_t n, std::size_t in, std::size_t out,
                         T* to, T* scratch) {
    funnel::weight_gradient_kernel(arch{}, matrix_view<const T>(x, n, in),
                                   matrix_view<const T>(g, n, out), matrix_view<T>(to, in, out),
                                   scratch);
  };
  t.column_sums = [](const T* g, std::size_t n, std::size_t out, T* to) {
    funnel::column_sums_kernel(arch{}, matrix_view<const T>(g, n, out), to);
  };
  t.pack_transposed = [](const T* rows, std::size_t m, std::size_t d, T scale, T* panels) {
    funnel::pack_transposed_kernel(arch{}, matrix_view<const T>(rows, m, d), scale, panels);
  };
  t.fold_rows = [](auto... a) { funnel::fold_rows_kernel(arch{}, a...); };
  t.weighted_rows = [](const T* weights, const T* rows, std::size_t m, std::size_t d,
                       const T* start, T* y) {
    funnel::weighted_rows_kernel(arch{}, weights, matrix_view<const T>(rows, m, d), start, y);
  };
}

template <class T>
void add_search(kernel_table<T>& t) {
  t.item_panel = funnel::item_panel<arch, T>;
  t.inner_products = [](const T* queries, const T* items, T* panels, std::size_t q, std::size_t n,
                        std::size_t d, T* scores) {
    const std::size_t size = funnel::packed_items_size<arch, T>(n, 1);
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t k = 0; k < d; ++k)
        panels[funnel::packed_item_place<arch, T>(i, k, d)] = i < n ? items[i * d + k] : T(0);
    }
    funnel::inner_products_kernel(arch{}, matrix_view<const T>(queries, q, d), panels, 0,
                                  matrix_view<T>(scores, q, size));
  };
  t.products_in_order = [](auto... a) { funnel::products_in_order_kernel(arch{}, a...); };
  t.row_products = [](auto... a) { funnel::row_products_kernel(arch{}, a...); };
  t.find_above = [](auto... a) { return funnel::find_above_kernel(arch{}, a...); };
  t.max_lane = [](const T* values) {
    return funnel::detail::max_lane(funnel::detail::pack<arch, T>::load_unaligned(values));
  };
  t.interleave_group = [](auto... a) {
    funnel::interleave_rows_kernel<funnel::detail::lanes<arch, T>>(arch{}, a...);
  };
  t.interleave_block = [](auto... a) {
    funnel::interleave_rows_kernel<direction_block>(arch{}, a...);
  };
  t.interleave_scaled_group = [](auto... a) {
    funnel::interleave_scaled_rows_kernel<funnel::detail::lanes<arch, T>>(arch{}, a...);
  };
  t.interleaved_dot = [](auto... a) { funnel::interleaved_dot_kernel(arch{}, a...); };
}

template <class Storage>
funnel::detail::stored_rows<Storage> rows_of(const stored_table& table) {
  return {static_cast<const Storage*>(table.data), table.rows, table.cols, table.stride};
}

template <class T>
void add_training(kernel_table<T>& t) {
  t.bag = [](const stored_table& table, const std::uint32_t* ids, std::size_t n, std::size_t begin,
             std::size_t end, T factor, T* y) {
    const auto bag = [&]<class Storage>(Storage) {
      funnel::bag_kernel(arch{}, rows_of<Storage>(table), std::span(ids, n), begin, end, factor, y);
    };
    if (table.type == storage::own) return bag(T());
    if constexpr (std::same_as<T, float>) {
      if (table.type == storage::float16) return bag(funnel::float16());
      if (table.type == storage::bfloat16) return bag(funnel::bfloat16());
      bag(std::int8_t());
    }
  };
  t.gather = [](const stored_table& table, const std::uint32_t* ids, std::size_t n, T* y) {
    funnel::gather_kernel(arch{}, rows_of<T>(table), std::span(ids, n), y);
  };
  t.scatter_add = [](T* sums, std::size_t cols, const std::uint32_t* slots, std::size_t n, T factor,
                     const T* values, std::size_t& fresh) {
    funnel::scatter_add_kernel(arch{}, sums, cols, std::span(slots, n), 0, n, factor, values,
                               fresh);
  };
  t.squares = [](auto... a) { return funnel::squares_kernel(arch{}, a...); };
  t.sgd = [](const T(&step)[3], const T* g, T* v, T* p, std::size_t n) {
    funnel::sgd_kernel(arch{}, funnel::sgd_step<T>{step[0], step[1], step[2]}, g, v, p, n);
  };
  t.adagrad = [](const T(&step)[3], const T* g, T* s, T* p, std::size_t n) {
    funnel::adagrad_kernel(arch{}, funnel::adagrad_step<T>{step[0], step[1], step[2]}, g, s, p, n);
  };
  t.row_adagrad = [](const T(&step)[3], const T* g, T& s, T* p, std::size_t n) {
    const funnel::adagrad_step<T> numbers{step[0], step[1], step[2]};
    funnel::row_adagrad_kernel(arch{}, numbers, g, s, p, n);
  };
  t.adam = [](const T(&step)[6], const T* g, T* m, T* v, T* p, std::size_t n) {
    const funnel::adam_step<T> numbers{step[0], step[1], step[2], step[3], step[4], step[5]};
    funnel::adam_kernel(arch{}, numbers, g, m, v, p, n);
  };
}

template <class T>
kernel_table<T> table() {
  kernel_table<T> t;
  add_elementwise(t);
  add_dense(t);
  add_search(t);
  add_training(t);
  return t;
}

id_kernel_table ids() {
  id_kernel_table t;
  t.largest_id = [](auto... a) { return funnel::largest_id_kernel(arch{}, a...); };
  t.find_last_equal = [](const std::uint32_t* ids, std::uint32_t wanted, std::size_t n,
                         std::uint32_t* positions, std::size_t most) {
    return funnel::find_last_equal_kernel(arch{}, {ids}, {wanted}, n, positions, most);
  };
  t.find_last_equal_of_2 = [](const std::uint32_t* const(&ids)[2], const std::uint32_t(&wanted)[2],
                              std::size_t n, std::uint32_t* positions, std::size_t most) {
    return funnel::find_last_equal_kernel(arch{}, ids, wanted, n, positions, most);
  };
  return t;
}

stored_kernel_table stored() {
  stored_kernel_table t;
  t.inner_products = [](storage type, const float* queries, const float* items, void* to,
                        std::size_t q, std::size_t n, std::size_t d, float* scores) {
    const auto run = [&](auto* panels, auto stored) {
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t k = 0; k < d; ++k)
          panels[funnel::packed_item_place<arch, float>(i, k, d)] = stored(items[i * d + k]);
      funnel::inner_products_kernel(
          arch{}, matrix_view<const float>(queries, q, d), panels, 0,
          matrix_view<float>(scores, q, funnel::packed_items_size<arch, float>(n, 1)));
    };
    if (type == storage::float16)
      run(static_cast<funnel::float16*>(to), [](float v) { return funnel::to_float16(v); });
    else
      run(static_cast<funnel::bfloat16*>(to), [](float v) { return funnel::to_bfloat16(v); });
  };
  t.int8_words = [](std::size_t q, std::size_t d) {
    return q * funnel::packed_int8_query_size<arch>(d);
  };
  t.int8_products = [](const std::int8_t* queries, const std::int8_t* items, std::uint32_t* words,
                       std::uint8_t* panels, std::size_t q, std::size_t n, std::size_t d,
                       std::int32_t* sums) {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < d; ++k)
        panels[funnel::packed_int8_place<arch>(i, k, d)] = funnel::packed_int8(items[i * d + k]);
    const std::size_t size = funnel::packed_int8_query_size<arch>(d);
    for (std::size_t i = 0; i < q; ++i)
      funnel::pack_int8_query_kernel(arch{}, queries + i * d, d, words + i * size);
    funnel::int8_products_kernel(
        arch{}, matrix_view<const std::uint32_t>(words, q, size), panels, 0,
        matrix_view<std::int32_t>(sums, q, funnel::packed_items_size<arch, float>(n, 1)));
  };
  return t;
}

}  // namespace

kernel_unit KERNELS(FUNNEL_UNIT)() {
  return {NAME(FUNNEL_UNIT), table<float>(), table<double>(), ids(), stored()};
}
