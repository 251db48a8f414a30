// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>
#include <funnel/simd/detail/pack.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>

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

/// Bytes a second of `passes` over the values, which are read as `runs` runs side by side.
template <std::size_t runs, bool prefetched, class Arch>
double read(const float* values, std::size_t count, std::size_t passes) {
  using p = funnel::detail::pack<Arch, float>;
  constexpr std::size_t line = 64 / sizeof(float);
  constexpr std::size_t loads = line / p::size;
  const std::size_t length = count / runs / line * line;
  p sum[runs][loads];
  for (auto& of_run : sum) {
    for (p& s : of_run) s = p(0.0f);
  }
  const double begin = now();
  for (std::size_t pass = 0; pass < passes; ++pass) {
    for (std::size_t i = 0; i < length; i += line) {
      for (std::size_t r = 0; r < runs; ++r) {
        const float* from = values + r * length + i;
        if constexpr (prefetched) __builtin_prefetch(from + 16 * line);
        for (std::size_t l = 0; l < loads; ++l)
          sum[r][l] = sum[r][l] + p::load_unaligned(from + l * p::size);
      }
    }
    asm volatile("" : : : "memory");  // else passes become one
  }
  const double seconds = now() - begin;
  keep(sum);
  return static_cast<double>(passes * runs * length * sizeof(float)) / seconds;
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

/// Bytes a second from an array far larger than any cache: 256 MB.
template <class Arch = funnel::default_arch>
double memory_bandwidth() {
  static const funnel::detail::aligned_vector<float> values(std::size_t{64} << 20, 1.0f);
  return std::max({detail::read<2, true, Arch>(values.data(), values.size(), 1),
                   detail::read<4, true, Arch>(values.data(), values.size(), 1),
                   detail::read<8, true, Arch>(values.data(), values.size(), 1)});
}

/// The share of what is read at random from an array of this many bytes that the last cache of the
/// core cannot hold. 1 where Linux doesn't say how large that is.
inline double uncached_share(double bytes) {
  double kilobytes = 0;
  std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kilobytes;
  return std::clamp(1 - 1024 * kilobytes / bytes, 0.0, 1.0);
}

/// Bytes a second from an array of this many bytes read again and again: from the cache that holds
/// it, whichever that is.
template <class Arch = funnel::default_arch>
double cache_bandwidth(double bytes) {
  static funnel::detail::aligned_vector<float> values;
  const std::size_t count = std::max<std::size_t>(static_cast<std::size_t>(bytes / 4), 1024);
  if (values.size() < count) values.assign(count, 1.0f);
  constexpr std::size_t once = std::size_t{1} << 17;  // floats: some microseconds even from L1
  const std::size_t passes = std::max<std::size_t>(1, once / count);
  const std::size_t repeats = std::clamp<std::size_t>(32 * once / count, 3, 12);
  double best = 0;
  for (std::size_t i = 0; i < repeats; ++i) {
    best = std::max({best, detail::read<2, false, Arch>(values.data(), count, passes),
                     detail::read<4, false, Arch>(values.data(), count, passes),
                     detail::read<8, false, Arch>(values.data(), count, passes)});
  }
  return best;
}

}  // namespace bench
