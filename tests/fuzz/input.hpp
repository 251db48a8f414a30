// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>

/// Ends the program where something that must hold does not: the fuzzer then keeps the input.
#define FUZZ_EXPECT(condition)                                                                     \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);          \
      std::abort();                                                                                \
    }                                                                                              \
  } while (false)

namespace fuzz {

/// Reads the bytes that the fuzzer gives as numbers and text. Past their end everything is 0.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  std::size_t left() const { return size_; }
  /// Eight bytes, the first the lowest.
  std::uint64_t bits(std::size_t bytes = 8) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{next()} << (8 * i);
    return value;
  }
  bool flag() { return (next() & 1) != 0; }
  /// A number in [0, n); n is 1 or more.
  std::size_t below(std::size_t n) { return bits(n <= 256 ? 1 : n <= 65536 ? 2 : 8) % n; }
  /// Any number there is: every bit pattern, NaN, infinities and denormal numbers among them.
  template <class T>
  T any() {
    const std::uint64_t value = bits(sizeof(T));
    T number;
    std::memcpy(&number, &value, sizeof(T));  // on little-endian machines, as are all we fuzz on
    return number;
  }
  /// A number of few digits in [-8, 8), so that equal ones are usual; now and then a special one.
  template <class T>
  T usual() {
    const std::uint8_t byte = next();
    constexpr T special[] = {
        std::numeric_limits<T>::quiet_NaN(),  std::numeric_limits<T>::infinity(),
        -std::numeric_limits<T>::infinity(),  std::numeric_limits<T>::max(),
        std::numeric_limits<T>::lowest(),     std::numeric_limits<T>::min(),
        std::numeric_limits<T>::denorm_min(), T(-0.)};
    if (byte >= 256 - std::size(special)) return special[256 - std::size_t{byte} - 1];
    return static_cast<T>(byte) / T(16) - T(8);
  }
  /// All bytes that are left.
  std::string_view rest() {
    const std::string_view text(reinterpret_cast<const char*>(data_), size_);
    data_ += size_;
    size_ = 0;
    return text;
  }

 private:
  std::uint8_t next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

  const std::uint8_t* data_;
  std::size_t size_;
};

}  // namespace fuzz
