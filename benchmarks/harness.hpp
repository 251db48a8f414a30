// SPDX-License-Identifier: MIT
#pragma once

#include "roofline.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <span>
#include <string>

// How the benchmarks of funnel and of its peers are declared: same names, same loop, same output.
namespace bench {

/// What a workload cannot do without, whoever does it. Zeros don't count; nothing given: a peer.
struct cost {
  double flops = 0;         ///< float operations, a multiply-add being two
  double memory_bytes = 0;  ///< read or written where no cache can hold them
  double l2_bytes = 0;      ///< passing between registers and the L2 cache
  int threads = 1;
};

/// A workload made ready: each call does it once.
using task = std::function<void()>;

/// The least seconds a cost takes, by limits measured now; `limit` says which of them binds.
inline double least_seconds(const cost& c, const char*& limit) {
  double seconds = 0;
  const auto bind = [&](double work, auto rate, const char* name) {
    if (work == 0) return;
    const double needed = work / (rate() * c.threads);
    if (needed > seconds) limit = name;
    seconds = std::max(seconds, needed);
  };
  bind(c.flops, multiply_add_peak<>, "FLOPs");
  bind(c.memory_bytes, memory_bandwidth<>, "memory bytes");
  bind(c.l2_bytes, l2_bandwidth<>, "L2 bytes");
  return seconds;
}

/// Declares a benchmark. `make()` sets the work up and gives the task; it runs once per case, and the
/// task runs once, before anything is measured. One case's data is in memory at a time.
///
/// The counter `roofline` is the fraction of the limit that binds the cost; the label says which.
/// Limits are measured right before and right after, and the better of the two counts.
template <class Make>
void add(const std::string& name, const cost& c, Make make) {
  const auto run_case = [=](benchmark::State& state) {
    static task work;
    static std::string prepared;
    if (prepared != name) {
      work = {};
      work = make();
      work();
      prepared = name;
    }
    const char* limit = "";
    const double before = least_seconds(c, limit);
    const double begin = now();
    for ([[maybe_unused]] auto _ : state) work();
    const double seconds = (now() - begin) / static_cast<double>(state.iterations());
    if (before == 0) return;
    state.counters["roofline"] = std::min(before, least_seconds(c, limit)) / seconds;
    state.SetLabel(limit);
  };
  benchmark::RegisterBenchmark(name.c_str(), run_case)->Unit(benchmark::kMicrosecond);
}

template <class Make>
void add(const std::string& name, Make make) {
  add(name, cost{}, make);
}

/// Tells where a peer's results are not ours: further away than `tolerance` of the largest of ours.
inline void compare(const std::string& name, std::span<const float> ours,
                    std::span<const float> theirs, double tolerance = 1e-4) {
  double largest = 0, distance = ours.size() == theirs.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    largest = std::max(largest, std::abs(double{ours[i]}));
    distance = std::max(distance, std::abs(double{ours[i]} - double{theirs[i]}));
  }
  if (!(distance <= tolerance * largest))
    std::fprintf(stderr, "%s: results differ by %g where the largest is %g\n", name.c_str(),
                 distance, largest);
}

}  // namespace bench
