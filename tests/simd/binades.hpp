// SPDX-License-Identifier: MIT
#pragma once

#include "support/matrices.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

/// Values all over a floating-point type: a dense stride through the bit patterns, which meets every
/// binade of both signs, many values where functions bend, and what is special.
template <class T>
std::vector<T> values_of_every_binade() {
  using limits = std::numeric_limits<T>;
  std::vector<T> values = {T(0),
                           T(-0.0),
                           limits::infinity(),
                           limits::max(),
                           limits::min(),
                           limits::denorm_min(),
                           limits::quiet_NaN()};
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  constexpr int steps = 100'003;  // a prime: low bits differ too
  constexpr bits step = ~bits(0) / steps;
  for (int i = 0; i < steps; ++i) values.push_back(std::bit_cast<T>(static_cast<bits>(i) * step));
  std::uint64_t seed = 0;
  for (const double range : {1e-4, 1., 10., 100., 800.}) {
    for (const T value : random_values<T>(5000, ++seed, -range, range)) values.push_back(value);
  }
  const std::size_t n = values.size();
  for (std::size_t i = 0; i < n; ++i) values.push_back(-values[i]);
  return values;
}
