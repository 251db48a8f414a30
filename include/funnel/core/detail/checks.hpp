// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

// Checks of arguments. Public functions call them before they write anything.
namespace funnel::detail {

/// Throws std::invalid_argument unless `argument` has the expected size, the size of `other`.
inline void require_size(std::string_view function, std::string_view argument, std::size_t size,
                         std::string_view other, std::size_t expected) {
  if (size != expected)
    fail("funnel::", function, ": ", argument, " has ", size, " values, expected ", expected,
         " as in ", other);
}

/// Throws std::invalid_argument unless `accepts(value)` is true for every value; `expected`
/// describes the accepted values.
template <class T, class Accepts>
void require_each(std::string_view function, std::string_view argument, std::span<const T> values,
                  std::string_view expected, Accepts accepts) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!accepts(values[i]))
      fail("funnel::", function, ": ", argument, "[", i, "] is ", static_cast<double>(values[i]),
           ", expected ", expected);
}

template <class T>
void require_binary(std::string_view function, std::string_view argument,
                    std::span<const T> values) {
  require_each(function, argument, values, "0 or 1", [](T v) { return v == 0 || v == 1; });
}

template <class T>
void require_unit_interval(std::string_view function, std::string_view argument,
                           std::span<const T> values) {
  require_each(function, argument, values, "a number in [0, 1]",
               [](T v) { return v >= 0 && v <= 1; });
}

template <class T>
void require_finite(std::string_view function, std::string_view argument,
                    std::span<const T> values) {
  require_each(function, argument, values, "a finite number", [](T v) { return std::isfinite(v); });
}

}  // namespace funnel::detail
