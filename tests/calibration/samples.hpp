// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/random.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// Logits and labels for the fits of Platt, and how far from the best fit a line is.

using doubles = std::vector<double>;

inline double sigmoid(double z) {
  return 1 / (1 + std::exp(-z));
}

struct sample {
  doubles logits, labels;
};

/// Labels drawn with probability sigma(a z + b).
inline sample draw(std::size_t n, double a, double b, std::uint64_t seed, double spread = 2) {
  funnel::random_generator bits(seed);
  sample rows;
  for (std::size_t i = 0; i < n; ++i) {
    rows.logits.push_back(spread * funnel::standard_normal(bits) - 1);
    rows.labels.push_back(funnel::bernoulli(bits, sigmoid(a * rows.logits[i] + b)) ? 1 : 0);
  }
  return rows;
}

/// The means of sigma - y and of its product with z: both 0 at the best fit.
inline std::pair<double, double> gradient(const sample& rows, double a, double b) {
  double level = 0, slope = 0;
  for (std::size_t i = 0; i < rows.logits.size(); ++i) {
    const double error = sigmoid(a * rows.logits[i] + b) - rows.labels[i];
    level += error;
    slope += error * rows.logits[i];
  }
  const double n = static_cast<double>(rows.logits.size());
  return {level / n, slope / n};
}
