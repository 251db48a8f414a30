// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

// Checks of arguments. Public functions call them before they write anything.
//
// `function` is the name without "funnel::"; `argument` is the name that the caller knows. A failed
// check throws std::invalid_argument. All messages have one form: function, argument, what it is,
// what was expected.
//
//     funnel::fit_platt: tolerance is 0, expected a number above 0
//     funnel::auc: labels has 3 values, expected 4 as in scores
//
// A check that only one place needs calls `fail` itself, with a message of the same form.
namespace funnel::detail {

template <class... Parts>
[[noreturn]] void fail_check(std::string_view function, std::string_view argument, Parts... parts) {
  fail("funnel::", function, ": ", argument, parts...);
}

/// Throws for a count that differs from the expected one; `other`, if it is not empty, is the
/// argument that the expected count comes from.
[[noreturn]] inline void fail_count(std::string_view function, std::string_view argument,
                                    std::size_t count, std::string_view noun, std::size_t expected,
                                    std::string_view other) {
  fail_check(function, argument, " has ", count, noun, count == 1 ? "" : "s", ", expected ",
             expected, other.empty() ? "" : " as in ", other);
}

// One number.

/// Throws unless `accepted`; the parts of `expected` describe the accepted values.
template <class T, class... Expected>
void check_that(std::string_view function, std::string_view argument, T value, bool accepted,
                Expected... expected) {
  if (!accepted) fail_check(function, argument, " is ", value, ", expected ", expected...);
}

/// Throws unless the value is a finite number above 0. With `Rounded`, it must also be finite after
/// rounding to that type.
template <class Rounded = void, std::floating_point T>
void check_positive(std::string_view function, std::string_view argument, T value) {
  if constexpr (std::is_void_v<Rounded>) {
    check_that(function, argument, value, value > 0 && value <= std::numeric_limits<T>::max(),
               "a finite number above 0");
  } else {
    constexpr T largest = static_cast<T>(std::numeric_limits<Rounded>::max());
    check_that(function, argument, value, value > 0 && value <= largest,
               "a number above 0, at most ", largest);
  }
}

/// Throws unless the value is a finite number of 0 or more. `Rounded` as in `check_positive`.
template <class Rounded = void, std::floating_point T>
void check_not_negative(std::string_view function, std::string_view argument, T value) {
  if constexpr (std::is_void_v<Rounded>) {
    check_that(function, argument, value, value >= 0 && value <= std::numeric_limits<T>::max(),
               "a finite number of 0 or more");
  } else {
    constexpr T largest = static_cast<T>(std::numeric_limits<Rounded>::max());
    check_that(function, argument, value, value >= 0 && value <= largest,
               "a number of 0 or more, at most ", largest);
  }
}

/// Throws unless the value is in [0, 1), also after rounding to `Rounded`.
template <class Rounded = double>
void check_fraction(std::string_view function, std::string_view argument, double value) {
  check_that(function, argument, value, value >= 0 && static_cast<Rounded>(value) < Rounded(1),
             "a number in [0, 1)");
}

template <std::floating_point T>
void check_unit_interval(std::string_view function, std::string_view argument, T value) {
  check_that(function, argument, value, value >= 0 && value <= 1, "a number in [0, 1]");
}

inline void check_at_least_one(std::string_view function, std::string_view argument,
                               std::size_t value) {
  check_that(function, argument, value, value > 0, "1 or more");
}

inline void check_below(std::string_view function, std::string_view argument, std::size_t value,
                        std::size_t limit) {
  check_that(function, argument, value, value < limit, "below ", limit);
}

// Sizes. `other` is the argument that the expected size comes from.

inline void check_not_empty(std::string_view function, std::string_view argument,
                            std::size_t size) {
  if (size == 0) fail_check(function, argument, " is empty, expected 1 value or more");
}

inline void check_size(std::string_view function, std::string_view argument, std::size_t size,
                       std::size_t expected, std::string_view other = {}) {
  if (size != expected) fail_count(function, argument, size, " value", expected, other);
}

/// Throws unless all positions of the values fit in 32 bits.
inline void check_size_of_32_bits(std::string_view function, std::string_view argument,
                                  std::size_t size) {
  if (size > std::numeric_limits<std::uint32_t>::max())
    fail_check(function, argument, " has ", size, " values, expected fewer than 2^32");
}

inline void check_rows(std::string_view function, std::string_view argument, std::size_t rows,
                       std::size_t expected, std::string_view other = {}) {
  if (rows != expected) fail_count(function, argument, rows, " row", expected, other);
}

inline void check_cols(std::string_view function, std::string_view argument, std::size_t cols,
                       std::size_t expected, std::string_view other = {}) {
  if (cols != expected) fail_count(function, argument, cols, " column", expected, other);
}

/// Throws unless `values` is [rows, cols]: a matrix, or anything with `rows()` and `cols()`.
template <class Values>
void check_shape(std::string_view function, std::string_view argument, const Values& values,
                 std::size_t rows, std::size_t cols, std::string_view other = {}) {
  if (values.rows() != rows || values.cols() != cols)
    fail_check(function, argument, " is [", values.rows(), ", ", values.cols(), "], expected [",
               rows, ", ", cols, "]", other.empty() ? "" : " as in ", other);
}

// All values of a span.

/// Throws unless `accepts(value)` is true for every value; `expected` describes the accepted
/// values.
template <class T, class Accepts>
void check_each(std::string_view function, std::string_view argument, std::span<const T> values,
                std::string_view expected, Accepts accepts) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!accepts(values[i]))
      fail_check(function, argument, "[", i, "] is ", values[i], ", expected ", expected);
}

template <class T>
void check_binary(std::string_view function, std::string_view argument, std::span<const T> values) {
  check_each(function, argument, values, "0 or 1", [](T v) { return v == 0 || v == 1; });
}

template <class T>
void check_unit_interval(std::string_view function, std::string_view argument,
                         std::span<const T> values) {
  check_each(function, argument, values, "a number in [0, 1]",
             [](T v) { return v >= 0 && v <= 1; });
}

template <class T>
void check_finite(std::string_view function, std::string_view argument, std::span<const T> values) {
  check_each(function, argument, values, "a finite number", [](T v) {  // <cmath> reads slowly
    return v >= std::numeric_limits<T>::lowest() && v <= std::numeric_limits<T>::max();
  });
}

template <class T>
void check_not_negative(std::string_view function, std::string_view argument,
                        std::span<const T> values) {
  check_each(function, argument, values, "a finite number of 0 or more",
             [](T v) { return v >= 0 && v <= std::numeric_limits<T>::max(); });
}

template <class T>
void check_positive(std::string_view function, std::string_view argument,
                    std::span<const T> values) {
  check_each(function, argument, values, "a finite number above 0",
             [](T v) { return v > 0 && v <= std::numeric_limits<T>::max(); });
}

/// Throws unless the offsets start at 0, end at n and do not decrease; `rows` is what they count.
inline void check_offsets(std::string_view function, std::string_view argument,
                          std::span<const std::uint32_t> offsets, std::size_t n,
                          std::string_view rows) {
  check_not_empty(function, argument, offsets.size());
  if (offsets.front() != 0)
    fail_check(function, argument, "[0] is ", offsets.front(), ", expected 0");
  if (offsets.back() != n)
    fail_check(function, argument, "[", offsets.size() - 1, "] is ", offsets.back(), ", expected ",
               n, ", the number of ", rows);
  for (std::size_t i = 1; i < offsets.size(); ++i)
    if (offsets[i] < offsets[i - 1])
      fail_check(function, argument, "[", i, "] is ", offsets[i], ", expected ", offsets[i - 1],
                 " or more, as the one before");
}

}  // namespace funnel::detail
