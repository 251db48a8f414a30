// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/random.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
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

/// Calls same(fit(logits, labels), fit(z, y)) where z and y are the 1000 drawn rows, with logits
/// scale z + shift, and three rows that a model has masked: far logits of several sizes, at
/// several places.
template <class T, class Fit, class Same>
void with_masked_rows(double scale, double shift, Fit fit, Same same) {
  const auto rows = draw(1000, .65, -.3, 4);
  std::vector<T> logits;
  const std::vector<T> labels(rows.labels.begin(), rows.labels.end());
  for (const double z : rows.logits) logits.push_back(static_cast<T>(scale * z + shift));
  const auto plain = fit(logits, labels);
  const T most = std::numeric_limits<T>::max();
  for (const T far : {most, most / 2, static_cast<T>(1e30), static_cast<T>(1e18)})
    for (const std::size_t place : {0u, 500u, 1000u}) {
      std::vector<T> z = logits, y = labels;
      const auto at = static_cast<std::ptrdiff_t>(place);
      z.insert(z.begin() + at, {-far, far, -far});  // never, surely, never
      y.insert(y.begin() + at, {0, 1, 0});
      same(plain, fit(z, y));
    }
}
