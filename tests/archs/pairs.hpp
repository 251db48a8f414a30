// SPDX-License-Identifier: MIT
#pragma once

#include "kernels.hpp"

#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <cstddef>
#include <cstdio>
#include <vector>

/// The units this machine can run, the scalar one first: the others are compared with it.
inline std::vector<kernel_unit> units() {
  std::vector<kernel_unit> found = {scalar_kernels(), baseline_kernels()};
  const auto add = [&](bool can_run, const char* name, kernel_unit (*unit)()) {
    if (can_run)
      found.push_back(unit());
    else
      std::printf("%s: skipped, the machine has none\n", name);
  };
  static_cast<void>(add);
#ifdef FUNNEL_HAS_avx2
  add(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), "avx2", avx2_kernels);
#endif
#ifdef FUNNEL_HAS_avx512
  add(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl"),
      "avx512", avx512_kernels);
#endif
  return found;
}

template <class T>
const kernel_table<T>& table_of(const kernel_unit& unit) {
  if constexpr (sizeof(T) == sizeof(float))
    return unit.of_float;
  else
    return unit.of_double;
}

/// Calls `test(scalar, other)` with the tables of every unit but the scalar one.
template <class T, class Test>
void for_each_pair(const Test& test) {
  const std::vector<kernel_unit> all = units();
  for (std::size_t u = 1; u < all.size(); ++u) {
    INFO("unit " << all[u].name);
    test(table_of<T>(all[0]), table_of<T>(all[u]));
  }
}

/// a[i] and b[i] are no further apart than bound(i) for every i.
template <class T, class Bound>
bool agree(const std::vector<T>& a, const std::vector<T>& b, const Bound& bound) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (tolerance::within(static_cast<double>(a[i]), static_cast<double>(b[i]), bound(i))) continue;
    UNSCOPED_INFO("value " << i << ": " << a[i] << " and " << b[i]);
    return false;
  }
  return true;
}

/// Lengths around every register width.
inline const std::vector<std::size_t> lengths = {0,  1,  2,  3,  4,  5,  7,  8,  9,   15,
                                                 16, 17, 31, 32, 33, 63, 64, 65, 127, 300};
