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

// Checks of what a loss is given, each a std::invalid_argument that names function and argument.

/// The logits of a loss with one value a row are [n, 1]; gives n.
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

/// One option of any function: `accepted` says whether it is what it should be.
template <class T>
void check_option(std::string_view function, std::string_view argument, T value, bool accepted,
                  std::string_view expected) {
  if (!accepted) fail("funnel::", function, ": ", argument, " is ", value, ", expected ", expected);
}

/// An option that is a positive number.
template <class T>
void check_positive(std::string_view function, std::string_view argument, T value) {
  check_option(function, argument, value, value > 0 && std::isfinite(value),
               "a finite number above 0");
}

/// Weights of n rows, or none.
template <class T>
void check_weights(std::string_view function, std::span<const T> weights, std::size_t n) {
  if (weights.empty()) return;
  check_count(function, "weights", weights.size(), n);
  check_not_negative(function, "weights", weights);
}

/// The weight of a row where no weights means 1 each.
template <class T>
T weight_of(std::span<const T> weights, std::size_t i) {
  return weights.empty() ? T(1) : weights[i];
}

/// The weights of n rows in total.
template <class T>
weight_total total_of(std::span<const T> weights, std::size_t n) {
  return weight_total::of(n, [&](std::size_t i) { return weight_of(weights, i); });
}

/// Offsets of lists over n rows: from 0 to n, not falling.
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
