// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/pack.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>

// What one core of this machine can do, measured with the instructions of the instruction set that
// the program was built for. A measurement takes some milliseconds and is the best of its passes, so
// that it can be repeated beside every case.
namespace bench {

/// Seconds on a clock that never goes back.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Makes the compiler compute `value`.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "m"(value) : "memory");
}

namespace detail {

/// Operations a second of one pass over `sums` chains of fused multiply-adds in registers.
template <std::size_t sums, class Arch>
double multiply_add_once() {
  using p = funnel::detail::pack<Arch, float>;
  constexpr std::size_t steps = 20000;
  p sum[sums];
  for (std::size_t i = 0; i < sums; ++i) sum[i] = p(static_cast<float>(i));
  volatile float numbers[] = {0.999f, 0.5f};  // else they are folded
  const p factor(numbers[0]);
  const p term(numbers[1]);
  const double begin = now();
  for (std::size_t step = 0; step < steps; ++step) {
    for (std::size_t i = 0; i < sums; ++i) sum[i] = fma(sum[i], factor, term);
  }
  const double seconds = now() - begin;
  keep(sum);
  return 2.0 * static_cast<double>(steps * sums * p::size) / seconds;
}

/// Bytes a second of one pass over [bytes] of floats, read as `runs` runs side by side.
template <std::size_t runs, class Arch>
double read_once(const float* values, std::size_t count) {
  using p = funnel::detail::pack<Arch, float>;
  constexpr std::size_t line = 64 / sizeof(float);
  constexpr std::size_t loads = line / p::size;
  const std::size_t length = count / runs / line * line;
  p sum[runs][loads];
  for (auto& of_run : sum) {
    for (p& s : of_run) s = p(0.0f);
  }
  const double begin = now();
  for (std::size_t i = 0; i < length; i += line) {
    for (std::size_t r = 0; r < runs; ++r) {
      const float* from = values + r * length + i;
      __builtin_prefetch(from + 16 * line);
      for (std::size_t l = 0; l < loads; ++l)
        sum[r][l] = sum[r][l] + p::load_unaligned(from + l * p::size);
    }
  }
  const double seconds = now() - begin;
  keep(sum);
  return static_cast<double>(runs * length * sizeof(float)) / seconds;
}

}  // namespace detail

/// Float operations a second, two a lane and fused multiply-add.
///
/// 12 sums are in flight: 2 units * 4 cycles of latency ask for 8, and AVX2 has 16 registers.
template <class Arch = funnel::default_arch>
double multiply_add_peak() {
  double best = 0;
  for (int pass = 0; pass < 6; ++pass) best = std::max(best, detail::multiply_add_once<12, Arch>());
  return best;
}

/// Bytes a second from an array far larger than any cache: 256 MB of ordinary pages.
template <class Arch = funnel::default_arch>
double memory_bandwidth() {
  static const funnel::detail::aligned_vector<float> values(std::size_t{64} << 20, 1.0f);
  return std::max({detail::read_once<2, Arch>(values.data(), values.size()),
                   detail::read_once<4, Arch>(values.data(), values.size()),
                   detail::read_once<8, Arch>(values.data(), values.size())});
}

/// Bytes a second from 512 KB read again and again: more than any L1, less than any L2 cache of the
/// processors this is for.
template <class Arch = funnel::default_arch>
double l2_bandwidth() {
  static const funnel::detail::aligned_vector<float> values(std::size_t{128} << 10, 1.0f);
  double best = 0;
  for (int pass = 0; pass < 100; ++pass) {
    best = std::max({best, detail::read_once<2, Arch>(values.data(), values.size()),
                     detail::read_once<4, Arch>(values.data(), values.size())});
  }
  return best;
}

}  // namespace bench
