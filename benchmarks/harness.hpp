// SPDX-License-Identifier: MIT
#pragma once

#include "roofline.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>

// How the benchmarks of funnel and of its peers are declared: same names, same loop, same output.
namespace bench {

/// What a workload cannot do without, whoever does it. Zeros don't count; nothing given: a peer.
struct cost {
  double flops = 0;         ///< float operations, a multiply-add being two
  double memory_bytes = 0;  ///< read or written where no cache can hold them
  double cached_bytes = 0;  ///< read or written, which the caches can hold
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
  bind(
      c.cached_bytes, [&] { return cache_bandwidth<>(c.cached_bytes); }, "cached bytes");
  return seconds;
}

/// Results of a peer are not ours.
struct mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Declares a benchmark. `make()` sets the work up and gives the task; it runs once per case, and the
/// task runs once, before anything is measured. One case's data is in memory at a time. A case whose
/// `make()` throws is not measured: it ends with that error.
///
/// The counter `roofline` is the fraction of the limit that binds the cost; the label says which.
/// Limits are measured right before and right after, and the better of the two counts.
template <class Make>
void add(const std::string& name, const cost& c, Make make) {
  const auto run_case = [=](benchmark::State& state) {
    static task work;
    static std::string prepared, error;
    if (prepared != name) {
      work = {};
      error.clear();
      prepared = name;
      try {
        work = make();
        work();
      } catch (const std::exception& e) {
        error = e.what();
      }
    }
    if (!error.empty()) {
      state.SkipWithError(error.c_str());
      return;
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

/// Throws where a peer's results are not ours: further away than `tolerance` of the largest of ours.
inline void compare(std::span<const float> ours, std::span<const float> theirs,
                    double tolerance = 1e-4) {
  if (ours.size() != theirs.size() || ours.empty())
    throw mismatch("results differ: " + std::to_string(theirs.size()) + " values where ours are " +
                   std::to_string(ours.size()));
  double largest = 0, distance = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double d = std::abs(double{ours[i]} - double{theirs[i]});
    largest = std::max(largest, std::abs(double{ours[i]}));
    if (!(d <= distance) && !std::isnan(distance)) distance = d;  // NaN stays
  }
  if (!(distance <= tolerance * largest)) {
    char text[128];
    std::snprintf(text, sizeof text, "results differ by %g where the largest is %g", distance,
                  largest);
    throw mismatch(text);
  }
}

}  // namespace bench
