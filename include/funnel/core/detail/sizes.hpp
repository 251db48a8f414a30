// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

// Checks of sizes that callers pass: their products must not overflow.
namespace funnel::detail {

/// The largest number of values of T in an array: its size in bytes, rounded up to cache lines of
/// 64 bytes, must fit in ptrdiff_t.
template <class T>
inline constexpr std::size_t most_values = static_cast<std::size_t>(PTRDIFF_MAX - 63) / sizeof(T);

/// Returns `count` if an array of `count` values of T is possible.
///
/// Errors      std::invalid_argument if it is not; `argument` is "function: argument".
template <class T>
constexpr std::size_t array_size(std::string_view argument, std::size_t count) {
  if (count > most_values<T>) fail(argument, " is ", count, ", expected at most ", most_values<T>);
  return count;
}

/// Returns `rows` * `cols` if an array of that many values of T is possible.
///
/// Errors      std::invalid_argument if it is not; `arguments` is "function: rows x cols".
template <class T>
constexpr std::size_t array_size(std::string_view arguments, std::size_t rows, std::size_t cols) {
  if (cols != 0 && rows > most_values<T> / cols)
    fail(arguments, " is ", rows, " x ", cols, ", expected at most ", most_values<T>, " values");
  return rows * cols;
}

/// Number of blocks of `block` values that hold `n` values; the last block may be partly filled.
constexpr std::size_t blocks_of(std::size_t n, std::size_t block) {
  return n / block + (n % block != 0 ? 1 : 0);
}

/// A size that becomes 0 when its owner is moved from, like the vectors next to it.
class owned_size {
 public:
  constexpr owned_size(std::size_t n = 0) : n_(n) {}
  constexpr owned_size(const owned_size&) = default;
  constexpr owned_size(owned_size&& other) noexcept : n_(std::exchange(other.n_, 0)) {}
  constexpr owned_size& operator=(const owned_size&) = default;
  constexpr owned_size& operator=(owned_size&& other) noexcept {
    n_ = std::exchange(other.n_, 0);
    return *this;
  }

  constexpr operator std::size_t() const { return n_; }

 private:
  std::size_t n_;
};

}  // namespace funnel::detail
