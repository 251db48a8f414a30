// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <ctime>
#include <limits>

/// Processor time of the fastest of some calls: for claims that are off by a factor of ten where they
/// are wrong, and hold whatever else the machine does.
double cpu_time(const auto& run, int times = 7) {
  double fastest = std::numeric_limits<double>::infinity();
  for (int i = 0; i < times; ++i) {
    const std::clock_t begin = std::clock();
    run();
    fastest = std::min(fastest, static_cast<double>(std::clock() - begin));
  }
  return std::max(1., fastest) / CLOCKS_PER_SEC;
}
