// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace funnel::detail {

/// Maps a number to an unsigned integer of the same size that orders the same way; -0 is below 0.
/// NaN is above infinity, or below -infinity if its sign bit is set.
template <class T>
constexpr auto order_key(T value) {
  if constexpr (std::integral<T>) {
    using key = std::make_unsigned_t<T>;
    return static_cast<key>(static_cast<key>(value) ^
                            static_cast<key>(std::numeric_limits<T>::min()));
  } else {
    using key = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    static_assert(sizeof(T) == sizeof(key), "scores are integers, float or double");
    constexpr key sign = key{1} << (8 * sizeof(T) - 1);
    const key bits = std::bit_cast<key>(value);
    return bits & sign ? ~bits : bits | sign;
  }
}

/// The number that `order_key` maps to `key`.
template <class T, class Key>
constexpr T from_order_key(Key key) {
  if constexpr (std::integral<T>) {
    return static_cast<T>(key ^ static_cast<Key>(std::numeric_limits<T>::min()));
  } else {
    constexpr Key sign = Key{1} << (8 * sizeof(T) - 1);
    return std::bit_cast<T>(key & sign ? key ^ sign : ~key);
  }
}

}  // namespace funnel::detail
