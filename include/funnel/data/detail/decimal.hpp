// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace funnel::detail {

/// A decimal number as it is written, still exact: 0.ddd * 10^point.
struct decimal {
  /// Maximum number of stored digits. The midpoint between two neighboring doubles has at most 768
  /// digits. Digits beyond the maximum only tell on which side of a midpoint the number is, so if
  /// one of them is not 0, a single last digit 1 replaces them all.
  static constexpr std::size_t most_digits = 800;

  bool negative = false;
  /// The digits from the first that is not 0; none for zero.
  std::array<std::uint8_t, most_digits + 1> digits;
  std::size_t size = 0;
  std::int64_t point = 0;
};

/// Parses `[-]digits[.digits][e[+-]digits]`, with a digit before or after the point, into `number`,
/// which must be new; returns false if the text has another form.
inline bool parse_decimal(std::string_view text, decimal& number) {
  const auto is_digit = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  std::size_t i = 0;
  if (i < text.size() && text[i] == '-') {
    number.negative = true;
    ++i;
  }
  bool any = false, fraction = false, more = false;
  for (;; ++i) {
    if (!fraction && i < text.size() && text[i] == '.') {
      fraction = true;
      continue;
    }
    if (!is_digit(i)) break;
    any = true;
    const auto digit = static_cast<std::uint8_t>(text[i] - '0');
    if (digit == 0 && number.size == 0) {
      number.point -= fraction;
      continue;
    }
    number.point += !fraction;
    if (number.size < decimal::most_digits)
      number.digits[number.size++] = digit;
    else
      more = more || digit != 0;
  }
  if (!any) return false;
  if (more) number.digits[number.size++] = 1;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    const bool down = i < text.size() && text[i] == '-';
    if (down || (i < text.size() && text[i] == '+')) ++i;
    if (!is_digit(i)) return false;
    std::int64_t exponent = 0;  // limited, far above what the digits of a field can offset
    for (; is_digit(i); ++i)
      exponent = std::min<std::int64_t>(exponent * 10 + (text[i] - '0'), std::int64_t{1} << 56);
    number.point += down ? -exponent : exponent;
  }
  return i == text.size();
}

/// An unsigned integer of at most 4096 bits.
class wide_integer {
 public:
  /// Sets *this to *this * factor + term.
  void multiply_add(std::uint32_t factor, std::uint32_t term) {
    std::uint64_t carry = term;
    for (std::size_t i = 0; i < size_; ++i) {
      carry += std::uint64_t{words_[i]} * factor;
      words_[i] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) words_[size_++] = static_cast<std::uint32_t>(carry);
  }
  void multiply_power_of_ten(std::int64_t exponent) {
    for (; exponent >= 9; exponent -= 9) multiply_add(1'000'000'000, 0);
    for (; exponent > 0; --exponent) multiply_add(10, 0);
  }
  void shift_left(std::int64_t bits) {
    for (; bits >= 31; bits -= 31) multiply_add(std::uint32_t{1} << 31, 0);
    multiply_add(std::uint32_t{1} << bits, 0);
  }
  /// Requires *this >= other.
  void subtract(const wide_integer& other) {
    std::uint64_t borrow = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      const std::uint64_t difference =
          std::uint64_t{words_[i]} - (i < other.size_ ? other.words_[i] : 0) - borrow;
      words_[i] = static_cast<std::uint32_t>(difference);
      borrow = difference >> 63;
    }
    while (size_ > 0 && words_[size_ - 1] == 0) --size_;
  }
  bool less_than(const wide_integer& other) const {
    if (size_ != other.size_) return size_ < other.size_;
    for (std::size_t i = size_; i-- > 0;)
      if (words_[i] != other.words_[i]) return words_[i] < other.words_[i];
    return false;
  }
  bool is_zero() const { return size_ == 0; }
  std::int64_t bits() const {
    return size_ == 0
               ? 0
               : static_cast<std::int64_t>(32 * (size_ - 1)) + std::bit_width(words_[size_ - 1]);
  }

 private:
  std::array<std::uint32_t, 128> words_;  // lowest word first; the highest is not 0
  std::size_t size_ = 0;
};

/// Returns the nearest T, by long division with one bit per step; infinity if the number is too
/// large.
template <std::floating_point T>
T nearest_by_division(const decimal& number) {
  using limits = std::numeric_limits<T>;
  // 310 and -345 are beyond the largest and half the smallest double. This keeps the integers
  // small.
  if (number.size == 0 || number.point < -345) return T(0);
  if (number.point > 310) return limits::infinity();
  wide_integer rest, divisor;
  for (std::size_t i = 0; i < number.size; ++i) rest.multiply_add(10, number.digits[i]);
  divisor.multiply_add(1, 1);
  const std::int64_t exponent = number.point - static_cast<std::int64_t>(number.size);
  rest.multiply_power_of_ten(exponent);
  divisor.multiply_power_of_ten(-exponent);

  // Scale rest / divisor into [1, 2); the number is that quotient times 2^binary.
  std::int64_t binary = rest.bits() - divisor.bits();
  if (binary < 0)
    rest.shift_left(-binary);
  else
    divisor.shift_left(binary);
  if (rest.less_than(divisor)) {
    rest.shift_left(1);
    --binary;
  }
  // Number of bits in the mantissa of T: fewer for subnormal numbers, and 0 if only rounding up
  // makes the number subnormal.
  const std::int64_t kept =
      limits::digits - std::max<std::int64_t>(0, limits::min_exponent - 1 - binary);
  std::uint64_t mantissa = 0;
  bool bit = false;
  for (std::int64_t i = 0; i <= kept; ++i) {  // one more bit, for rounding
    if (i > 0) rest.shift_left(1);
    mantissa = 2 * mantissa + bit;
    bit = !rest.less_than(divisor);
    if (bit) rest.subtract(divisor);
  }
  if (bit && (!rest.is_zero() || mantissa % 2 == 1)) ++mantissa;  // half to even
  return std::ldexp(static_cast<T>(mantissa), static_cast<int>(binary + 1 - kept));
}

/// Returns the T nearest to the number, half to even, with the same result on every platform and in
/// every locale. Below half the smallest subnormal number the result is 0, beyond the largest T it
/// is infinity; 0 keeps its sign.
///
/// Source      Clinger, "How to read floating point numbers accurately", PLDI 1990.
template <std::floating_point T>
requires(std::same_as<T, float> || std::same_as<T, double>) T nearest(const decimal& number) {
  const auto with_sign = [&](T magnitude) { return number.negative ? -magnitude : magnitude; };
#if defined(FLT_EVAL_METHOD) && (FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 16)
  // Up to 15 digits and powers up to 10^22 are exact in double, so one operation rounds only once.
  const std::int64_t exponent = number.point - static_cast<std::int64_t>(number.size);
  if (number.size <= 15 && exponent >= -22 && exponent <= 22) {
    constexpr double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    std::int64_t digits = 0;
    for (std::size_t i = 0; i < number.size; ++i) digits = 10 * digits + number.digits[i];
    const auto whole = static_cast<double>(digits);
    const double value = exponent < 0 ? whole / tens[-exponent] : whole * tens[exponent];
    // The second rounding, to float, is correct unless the first result is a midpoint of two
    // floats.
    constexpr int dropped = std::numeric_limits<double>::digits - std::numeric_limits<T>::digits;
    constexpr std::uint64_t tail = (std::uint64_t{1} << dropped) - 1;
    if (dropped == 0 || (std::bit_cast<std::uint64_t>(value) & tail) != tail / 2 + 1)
      return with_sign(static_cast<T>(value));
  }
#endif
  return with_sign(nearest_by_division<T>(number));
}

}  // namespace funnel::detail
