// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/mean.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel::detail {

// Checks of the arguments of a loss; each failure is a std::invalid_argument that names the
// function and the argument.

/// Checks that logits are [n, 1] and returns n.
template <class Value>
std::size_t check_logits(std::string_view function, const Value& logits) {
  if (logits.cols() != 1) {
    fail("funnel::", function, ": logits is [", logits.rows(), ", ", logits.cols(),
         "], expected one column");
  }
  return logits.rows();
}

inline void check_count(std::string_view function, std::string_view argument, std::size_t size,
                        std::size_t expected) {
  if (size != expected) {
    fail("funnel::", function, ": ", argument, " has ", size, " values, expected ", expected);
  }
}

template <class T>
void check_not_negative(std::string_view function, std::string_view argument,
                        std::span<const T> values) {
  require_each(function, argument, values, "a finite number not below 0",
               [](T v) { return v >= 0 && std::isfinite(v); });
}

/// Checks one option of any function: throws unless `accepted`.
template <class T>
void check_option(std::string_view function, std::string_view argument, T value, bool accepted,
                  std::string_view expected) {
  if (!accepted) fail("funnel::", function, ": ", argument, " is ", value, ", expected ", expected);
}

/// Checks that an option is a positive, finite number.
template <class T>
void check_positive(std::string_view function, std::string_view argument, T value) {
  check_option(function, argument, value, value > 0 && std::isfinite(value),
               "a finite number above 0");
}

/// Checks the weights of n rows; empty is allowed.
template <class T>
void check_weights(std::string_view function, std::span<const T> weights, std::size_t n) {
  if (weights.empty()) return;
  check_count(function, "weights", weights.size(), n);
  check_not_negative(function, "weights", weights);
}

/// The weight of row i; 1 if `weights` is empty.
template <class T>
T weight_of(std::span<const T> weights, std::size_t i) {
  return weights.empty() ? T(1) : weights[i];
}

/// The sum of the weights of n rows.
template <class T>
weight_total total_of(std::span<const T> weights, std::size_t n) {
  return weight_total::of(n, [&](std::size_t i) { return weight_of(weights, i); });
}

/// Checks the offsets of lists over n rows: they start at 0, end at n and do not decrease.
inline void check_offsets(std::string_view function, std::span<const std::uint32_t> offsets,
                          std::size_t n) {
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != n) {
    fail("funnel::", function, ": offsets must start at 0 and end at the number of logits, ", n);
  }
  for (std::size_t i = 1; i < offsets.size(); ++i) {
    if (offsets[i] < offsets[i - 1]) {
      fail("funnel::", function, ": offsets[", i, "] is ", offsets[i], ", below the one before it");
    }
  }
}

}  // namespace funnel::detail
