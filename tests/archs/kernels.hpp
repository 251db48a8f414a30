// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

// What every instruction set offers, behind plain functions: no type of the library or of the
// standard library crosses between units, so that they have no inline function in common.

/// What the rows of a table are stored in; but for `own`, numbers computed on in float.
enum class storage { own, float16, bfloat16, int8 };

/// `funnel::detail::stored_rows`.
struct stored_table {
  storage type;
  const void* data;
  std::size_t rows;
  std::size_t cols;
  std::size_t stride;
};

template <class T>
struct kernel_table {
  std::size_t lanes;
  T (*dot)(const T* a, const T* b, std::size_t n);
  T (*max)(const T* x, std::size_t n);
  double (*log_sum_exp)(const T* x, std::size_t n);
  void (*axpy)(T factor, const T* x, T* y, std::size_t n);
  void (*scale)(T factor, const T* x, T* y, std::size_t n);
  void (*exp)(const T* x, T* y, std::size_t n);
  void (*log)(const T* x, T* y, std::size_t n);
  void (*log1p)(const T* x, T* y, std::size_t n);
  void (*softplus)(const T* x, T* y, std::size_t n);
  void (*activation)(const T* x, T* y, std::size_t n, int function);
  void (*activation_backward)(const T* x, const T* y, const T* g, T* x_gradient, std::size_t n,
                              int function);
  void (*softmax)(const T* x, T* y, std::size_t n, std::size_t d);
  void (*softmax_backward)(const T* y, const T* g, T* x_gradient, std::size_t n);
  /// k values of [n, d] one after the other.
  void (*mixture)(const T* weights, const T* values, std::size_t n, std::size_t k, std::size_t d,
                  T* y);

  std::size_t tile;  ///< columns of a packed panel
  std::size_t (*packed_size)(std::size_t in, std::size_t out);
  /// Packs the weights [in, out] into `panels` first.
  void (*dense)(const T* x, const T* weights, const T* bias, T* panels, std::size_t n,
                std::size_t in, std::size_t out, int function, T* y);
  void (*input_gradient)(const T* g, const T* weights, std::size_t n, std::size_t in,
                         std::size_t out, T* to, T* scratch);
  std::size_t (*weight_gradient_scratch)(std::size_t n, std::size_t out);
  void (*weight_gradient)(const T* x, const T* g, std::size_t n, std::size_t in, std::size_t out,
                          T* to, T* scratch);
  void (*column_sums)(const T* g, std::size_t n, std::size_t out, T* to);
  void (*pack_transposed)(const T* rows, std::size_t m, std::size_t d, T scale, T* panels);
  void (*fold_rows)(const T* factors, const T* a, const T* b, std::size_t in, std::size_t out,
                    T* panels);
  void (*weighted_rows)(const T* weights, const T* rows, std::size_t m, std::size_t d,
                        const T* start, T* y);

  std::size_t item_panel;
  /// Packs the items [n, d] into `panels` first; scores [q, n up to a whole panel].
  void (*inner_products)(const T* queries, const T* items, T* panels, std::size_t q, std::size_t n,
                         std::size_t d, T* scores);
  /// At most `item_panel` rows anywhere.
  void (*products_in_order)(const T* const* rows, std::size_t n, const T* query, std::size_t d,
                            T* y);
  /// Rows anywhere, [n] of [d]; queries [count, d]; y [n, count].
  void (*row_products)(const T* const* rows, std::size_t n, const T* queries, std::size_t stride,
                       std::size_t count, std::size_t d, T* y);
  std::size_t (*find_above)(const T* values, std::size_t begin, std::size_t n, T bound);
  T (*max_lane)(const T* values);
  /// Rows a register has lanes for, [lanes][d], or `direction_block` of them.
  void (*interleave_group)(const T* rows, std::size_t d, T* columns);
  void (*interleave_block)(const T* rows, std::size_t d, T* columns);
  /// Rows that stand anywhere, [lanes] of [d], each times its factor.
  void (*interleave_scaled_group)(const T* const* rows, const T* factors, std::size_t d,
                                  T* columns);
  void (*interleaved_dot)(const T* group, const T* directions, std::size_t d, std::size_t begin,
                          std::size_t end, T* products);

  /// For ids[begin .. end) of n.
  void (*bag)(const stored_table& table, const std::uint32_t* ids, std::size_t n, std::size_t begin,
              std::size_t end, T factor, T* y);
  void (*gather)(const stored_table& table, const std::uint32_t* ids, std::size_t n, T* y);
  void (*scatter_add)(T* sums, std::size_t cols, const std::uint32_t* slots, std::size_t n,
                      T factor, const T* values, std::size_t& fresh);
  double (*squares)(const T* x, std::size_t n);
  /// rate, momentum, decay.
  void (*sgd)(const T (&step)[3], const T* g, T* v, T* p, std::size_t n);
  /// rate, epsilon, decay.
  void (*adagrad)(const T (&step)[3], const T* g, T* s, T* p, std::size_t n);
  void (*row_adagrad)(const T (&step)[3], const T* g, T& s, T* p, std::size_t n);
  /// first, second, rate, unbias, epsilon, decay.
  void (*adam)(const T (&step)[6], const T* g, T* m, T* v, T* p, std::size_t n);
};

struct id_kernel_table {
  std::uint32_t (*largest_id)(const std::uint32_t* ids, std::size_t n);
  std::size_t (*find_last_equal)(const std::uint32_t* ids, std::uint32_t wanted, std::size_t n,
                                 std::uint32_t* positions, std::size_t most);
  /// In either of two arrays.
  std::size_t (*find_last_equal_of_2)(const std::uint32_t* const (&ids)[2],
                                      const std::uint32_t (&wanted)[2], std::size_t n,
                                      std::uint32_t* positions, std::size_t most);
};

/// Inner products with items that are stored in fewer bytes. Items [n, d] are packed into `panels`
/// first; scores and sums [q, n up to a whole panel].
struct stored_kernel_table {
  /// float16, or bfloat16.
  void (*inner_products)(storage type, const float* queries, const float* items, void* panels,
                         std::size_t q, std::size_t n, std::size_t d, float* scores);
  /// Of the packed queries [q].
  std::size_t (*int8_words)(std::size_t q, std::size_t d);
  void (*int8_products)(const std::int8_t* queries, const std::int8_t* items, std::uint32_t* words,
                        std::uint8_t* panels, std::size_t q, std::size_t n, std::size_t d,
                        std::int32_t* sums);
};

constexpr int activation_count = 6;
constexpr std::size_t direction_block = 16;  ///< funnel::direction_block
constexpr std::size_t direction_slack = 3;   ///< funnel::direction_slack

struct kernel_unit {
  const char* name;
  kernel_table<float> of_float;
  kernel_table<double> of_double;
  id_kernel_table of_ids;
  stored_kernel_table of_stored;
};

kernel_unit scalar_kernels();
kernel_unit baseline_kernels();
kernel_unit avx2_kernels();
kernel_unit avx512_kernels();
