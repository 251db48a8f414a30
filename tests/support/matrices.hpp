// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <vector>

/// Numbers a loop goes through: `for (const std::size_t n : size_list{0, 1, 7})`.
using size_list = std::initializer_list<std::size_t>;

/// Values uniform in [low, high), the same for the same seed.
template <class T>
std::vector<T> random_values(std::size_t n, std::uint64_t seed, double low = -1, double high = 1) {
  funnel::random_generator bits(seed);
  std::vector<T> values(n);
  for (T& value : values) value = static_cast<T>(low + (high - low) * funnel::uniform01(bits));
  return values;
}

template <class T>
funnel::matrix<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed,
                                double low = -1, double high = 1) {
  const std::vector<T> values = random_values<T>(rows * cols, seed, low, high);
  return funnel::matrix<T>(funnel::matrix_view<const T>(values.data(), rows, cols));
}

template <class T>
bool same_bits(const T* a, const T* b, std::size_t n) {
  return n == 0 || std::memcmp(a, b, n * sizeof(T)) == 0;
}

/// The same shape and the same bits; stricter than ==, which takes 0 for -0 and no NaN for itself.
template <class A, class B>
bool same_bits(const A& a, const B& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    if (!same_bits(a.row(i).data(), b.row(i).data(), a.cols())) return false;
  }
  return true;
}
