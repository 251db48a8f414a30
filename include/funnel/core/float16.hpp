// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <bit>
#include <cstdint>

namespace funnel {

/// Half-precision number in two bytes (IEEE 754 binary16): 11 significant bits, up to 65504.
struct float16 {
  std::uint16_t bits = 0;
};

/// bfloat16, the upper two bytes of a float: 8 significant bits, the range of a float.
struct bfloat16 {
  std::uint16_t bits = 0;
};

/// Converts to the nearest float16, ties to even. Numbers of 65520 or more become infinity.
inline float16 to_float16(float value) {
  constexpr std::uint32_t infinity = 0x7f800000;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffff;
  const std::uint32_t sign = bits >> 16 & 0x8000;
  const auto with_sign = [sign](std::uint32_t half) {
    return float16{static_cast<std::uint16_t>(sign | half)};
  };
  if (magnitude > infinity) return with_sign(0x7e00);  // a quiet NaN
  if (magnitude >= 0x477ff000) return with_sign(0x7c00);
  if (magnitude < 0x38800000) {
    // Below 2^-14, the last place of value + 1/2 is 2^-24, that of every subnormal float16.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return with_sign(std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5f));
  }
  const std::uint32_t odd = magnitude >> 13 & 1;
  return with_sign((magnitude - (std::uint32_t{112} << 23) + 0xfff + odd) >> 13);
}

/// Converts to the nearest bfloat16, ties to even.
inline bfloat16 to_bfloat16(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return {static_cast<std::uint16_t>(bits >> 16 | 0x40)};
  return {static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

/// Converts to float; exact.
inline float to_float(float16 value) {
  const std::uint32_t sign = std::uint32_t{value.bits} << 16 & 0x80000000;
  const std::uint32_t exponent = value.bits >> 10 & 0x1f;
  const std::uint32_t fraction = value.bits & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  // Infinity stays infinity. A NaN becomes quiet, as the hardware instruction makes it.
  const std::uint32_t quiet = exponent == 0x1f && fraction != 0 ? 0x400000 : 0;
  const std::uint32_t wide = exponent == 0x1f ? 0xff : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13 | quiet);
}
inline float to_float(bfloat16 value) {
  return std::bit_cast<float>(std::uint32_t{value.bits} << 16);
}

}  // namespace funnel
