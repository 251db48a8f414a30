// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

// What every instruction set offers, behind plain functions: no type of the library or of the
// standard library crosses between units, so that they have no inline function in common.

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
  std::size_t (*packed_size)(std::size_t in, std::size_t out);
  /// Packs the weights [in, out] into `panels` first.
  void (*dense)(const T* x, const T* weights, const T* bias, T* panels, std::size_t n,
                std::size_t in, std::size_t out, int function, T* y);
};

constexpr int activation_count = 6;

struct kernel_unit {
  const char* name;
  kernel_table<float> of_float;
  kernel_table<double> of_double;
};

kernel_unit scalar_kernels();
kernel_unit baseline_kernels();
kernel_unit avx2_kernels();
kernel_unit avx512_kernels();
