// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

// Every tolerance of the tests comes from here, by family. What is exact is compared with ==.
namespace tolerance {

/// |a - b| <= bound, or both the same infinity, or both NaN.
inline bool within(double a, double b, double bound) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  return std::abs(a - b) <= bound;
}

/// A function of one value, `ulps` units in the last place of T away at most.
template <class T>
double elementwise(double value, double ulps = 4) {
  const double scale =
      std::max(std::abs(value), static_cast<double>(std::numeric_limits<T>::min()));
  return ulps * static_cast<double>(std::numeric_limits<T>::epsilon()) * scale;
}

/// A sum of n terms whose absolute values add up to `sum_of_magnitudes`.
template <class T>
double reduction(std::size_t n, double sum_of_magnitudes) {
  constexpr double c = 2;
  return c * static_cast<double>(n + 1) * static_cast<double>(std::numeric_limits<T>::epsilon()) *
         (sum_of_magnitudes + static_cast<double>(std::numeric_limits<T>::min()));
}

/// Whether `found` is the sum of term(0) to term(n - 1), products of values of T, as far as T can hold
/// it.
template <class T, class Term>
bool is_sum(T found, std::size_t n, const Term& term) {
  double sum = 0, magnitudes = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const double value = term(k);
    sum += value;
    magnitudes += std::abs(value);
  }
  return within(static_cast<double>(found), sum, reduction<T>(n, magnitudes));
}

/// A chain of `steps` computations in T on values of size `scale`, each rounding a few times.
template <class T>
double iterative(std::size_t steps, double scale) {
  constexpr double c = 16;
  return c * static_cast<double>(steps + 1) *
         static_cast<double>(std::numeric_limits<T>::epsilon()) * scale;
}

/// The mean of n draws with the given standard deviation: five standard errors (fixed seeds make it
/// repeatable).
inline double statistical(double deviation, std::size_t n) {
  return 5 * deviation / std::sqrt(static_cast<double>(n));
}

/// A published number printed with this many decimals.
inline double printed(int decimals) {
  return 0.5000001 * std::pow(10.0, -decimals);
}

/// A relative bound that an issue or a document promises, as it is promised: `promised(.01, truth)`
/// is 1 % of truth.
inline double promised(double fraction, double value) {
  return fraction * std::abs(value);
}

/// A gradient by central differences in double: truncation of order h^2 and rounding of order eps /
/// h.
inline double finite_difference(double scale) {
  return 2e-7 * (1 + std::abs(scale));
}

}  // namespace tolerance
