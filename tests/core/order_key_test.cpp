// SPDX-License-Identifier: MIT
#include "support/catch.hpp"

#include <funnel/core/detail/order_key.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace {

using funnel::detail::from_order_key;
using funnel::detail::order_key;

/// The numbers are in rising order; -0 and 0 are not equal here.
template <class T>
void check_rising(const std::vector<T>& numbers) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto key = order_key(numbers[i]);
    static_assert(std::is_unsigned_v<decltype(key)> && sizeof key == sizeof(T));
    const T back = from_order_key<T>(key);
    CHECK(back == numbers[i]);
    if constexpr (std::is_floating_point_v<T>)
      CHECK(std::signbit(back) == std::signbit(numbers[i]));
    if (i > 0) CHECK(order_key(numbers[i - 1]) < key);
  }
}

template <class T>
void check_numbers() {
  using limits = std::numeric_limits<T>;
  check_rising<T>({-limits::infinity(), limits::lowest(), T(-2), T(-1), -limits::min(),
                   -limits::denorm_min(), -T(0), T(0), limits::denorm_min(), limits::min(), T(1),
                   T(2), limits::max(), limits::infinity()});
  // Neighbors in the order of the numbers are neighbors in the order of the keys.
  CHECK(order_key(std::nextafter(T(1), T(2))) == order_key(T(1)) + 1);
  CHECK(order_key(std::nextafter(T(-1), T(-2))) == order_key(T(-1)) - 1);
  CHECK(order_key(T(0)) == order_key(-T(0)) + 1);
  // NaN lies outside of all numbers, on the side of its sign.
  const T nan = std::copysign(limits::quiet_NaN(), T(1));
  CHECK(order_key(nan) > order_key(limits::infinity()));
  CHECK(order_key(std::copysign(nan, T(-1))) < order_key(-limits::infinity()));
}

template <class T>
void check_integers() {
  using limits = std::numeric_limits<T>;
  std::vector<T> numbers{limits::min(), static_cast<T>(limits::min() + 1)};
  if (std::is_signed_v<T>) numbers.insert(numbers.end(), {static_cast<T>(-1), T(0)});
  numbers.insert(numbers.end(), {T(2), T(3), limits::max()});
  check_rising(numbers);
}

}  // namespace

TEST_CASE("order_key: orders as the numbers do, and from_order_key returns them") {
  check_numbers<float>();
  check_numbers<double>();
  check_integers<std::int8_t>();
  check_integers<std::uint8_t>();
  check_integers<std::int32_t>();
  check_integers<std::uint32_t>();
  check_integers<std::int64_t>();
}
