// SPDX-License-Identifier: MIT
#include <funnel/core/float16.hpp>

#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using funnel::bfloat16;
using funnel::float16;
using funnel::to_bfloat16;
using funnel::to_float;
using funnel::to_float16;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_float = std::numeric_limits<float>::quiet_NaN();

/// Values of every size a float has.
std::vector<float> floats_of_all_sizes(std::size_t n) {
  funnel::random_generator bits(5);
  std::vector<float> values(n);
  for (float& value : values) {
    do value = std::bit_cast<float>(static_cast<std::uint32_t>(bits()));
    while (!std::isfinite(value));
  }
  return values;
}

template <class Storage>
std::vector<Storage> all_of_two_bytes() {
  std::vector<Storage> all(1 << 16);
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  return all;
}

}  // namespace

TEST_CASE("float16: numbers whose bits are known") {
  CHECK(to_float16(0.f).bits == 0);
  CHECK(to_float16(-0.f).bits == 0x8000);
  CHECK(to_float16(1.f).bits == 0x3c00);
  CHECK(to_float16(-2.f).bits == 0xc000);
  CHECK(to_float16(65504.f).bits == 0x7bff);
  CHECK(to_float16(std::nextafter(65520.f, 0.f)).bits == 0x7bff);
  CHECK(to_float16(65520.f).bits == 0x7c00);
  CHECK(to_float16(infinity).bits == 0x7c00);
  CHECK(to_float16(-1e30f).bits == 0xfc00);
  CHECK(std::isnan(to_float(to_float16(nan_float))));
  // Of two equally near the even one.
  CHECK(to_float16(1 + 0x1p-11f).bits == 0x3c00);
  CHECK(to_float16(1 + 3 * 0x1p-11f).bits == 0x3c02);
  CHECK(to_float16(1 + 0x1.002p-11f).bits == 0x3c01);
  // Below 2^-14 the places are 2^-24 apart.
  CHECK(to_float16(0x1p-14f).bits == 0x0400);
  CHECK(to_float16(0x1p-24f).bits == 1);
  CHECK(to_float16(0x1p-25f).bits == 0);
  CHECK(to_float16(0x1.002p-25f).bits == 1);
  CHECK(to_float16(3 * 0x1p-25f).bits == 2);
  CHECK(to_float16(std::nextafter(0x1p-14f, 0.f)).bits == 0x0400);
  CHECK(to_float(float16{0x03ff}) == 1023 * 0x1p-24f);
  CHECK(to_float(float16{0x7c00}) == infinity);
}

TEST_CASE("bfloat16: numbers whose bits are known") {
  CHECK(to_bfloat16(1.f).bits == 0x3f80);
  CHECK(to_bfloat16(-0.f).bits == 0x8000);
  CHECK(to_bfloat16(1 + 0x1p-8f).bits == 0x3f80);
  CHECK(to_bfloat16(1 + 3 * 0x1p-8f).bits == 0x3f82);
  CHECK(to_bfloat16(1 + 0x1.002p-8f).bits == 0x3f81);
  CHECK(to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(to_bfloat16(infinity).bits == 0x7f80);
  CHECK(std::isnan(to_float(to_bfloat16(nan_float))));
  CHECK(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("float16 and bfloat16: what can be stored comes back") {
  std::size_t wrong = 0;
  for (const float16 value : all_of_two_bytes<float16>()) {
    const float wide = to_float(value);
    wrong += std::isnan(wide) || to_float16(wide).bits == value.bits ? 0 : 1;
  }
  for (const bfloat16 value : all_of_two_bytes<bfloat16>()) {
    const float wide = to_float(value);
    wrong += std::isnan(wide) || to_bfloat16(wide).bits == value.bits ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("float16 and bfloat16: no number that can be stored is nearer") {
  std::size_t wrong = 0;
  const auto distance = [](float value, auto stored) {
    return std::abs(static_cast<double>(value) - static_cast<double>(to_float(stored)));
  };
  const auto compare = [&](float value, auto stored) {
    if (!std::isfinite(to_float(stored))) return;
    auto below = stored;
    auto above = stored;
    if ((stored.bits & 0x7fff) != 0) --below.bits;
    ++above.bits;
    wrong += distance(value, below) < distance(value, stored) ? 1 : 0;
    wrong += distance(value, above) < distance(value, stored) ? 1 : 0;
  };
  for (const float value : floats_of_all_sizes(20000)) compare(value, to_bfloat16(value));
  for (const double size : {70000., 1., 1e-4, 1e-7}) {
    for (const float value : random_values<float>(20000, 6, -size, size))
      compare(value, to_float16(value));
  }
  CHECK(wrong == 0);
}
