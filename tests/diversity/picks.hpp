// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

// Inputs and plain references for greedy re-ranking.

using pick_list = std::vector<std::size_t>;

template <class T>
std::vector<T> random_relevance(funnel::random_generator& bits, std::size_t n) {
  std::vector<T> relevance(n);
  for (T& r : relevance) r = static_cast<T>(funnel::uniform01(bits));
  return relevance;
}

/// n vectors; those behind the first `distinct` are one of these with noise of the given size.
template <class T>
funnel::matrix<T> random_vectors(funnel::random_generator& bits, std::size_t n, std::size_t d,
                                 std::size_t distinct, double noise) {
  funnel::matrix<T> vectors(n, d);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t f = 0; f < d; ++f)
      vectors(i, f) = static_cast<T>(i < distinct ? funnel::standard_normal(bits)
                                                  : static_cast<double>(vectors(i % distinct, f)) +
                                                        noise * funnel::standard_normal(bits));
  return vectors;
}

/// The cosine of all pairs, in double; mapped to (1 + cosine) / 2 if told.
template <class T>
funnel::matrix<double> cosines(const funnel::matrix<T>& vectors, bool mapped = false) {
  const std::size_t n = vectors.rows();
  funnel::matrix<double> table(n, n);
  const auto product = [&](std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t f = 0; f < vectors.cols(); ++f)
      sum += static_cast<double>(vectors(i, f)) * static_cast<double>(vectors(j, f));
    return sum;
  };
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      const double lengths = std::sqrt(product(i, i)) * std::sqrt(product(j, j));
      const double cosine = i == j ? 1 : lengths == 0 ? 0 : product(i, j) / lengths;
      table(i, j) = mapped ? (1 + cosine) / 2 : cosine;
    }
  return table;
}

inline bool distinct_positions(pick_list chosen, std::size_t n) {
  std::ranges::sort(chosen);
  return std::ranges::adjacent_find(chosen) == chosen.end() &&
         (chosen.empty() || chosen.back() < n);
}

inline std::size_t window_begin(std::size_t shown, std::size_t window) {
  return window == 0 || shown < window ? 0 : shown - window;
}
