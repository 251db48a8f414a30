// SPDX-License-Identifier: MIT
// Runtime dispatch: one program for old and new processors. The ranker is compiled once per
// instruction set, and the best one that this processor supports scores the request.
#include "ranker.hpp"

#include <funnel/core/random.hpp>
#include <funnel/nn/initialization.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

namespace {

struct unit {
  const char* name;
  scorer (*make)(const ranker& trained);
};

/// The compiled versions that this processor supports, the best one last. The first one uses the
/// compiler flags of the program itself.
std::vector<unit> available_units() {
  std::vector<unit> units = {{"baseline", frozen_scorer<funnel::default_arch>}};
#ifdef HAS_X86_UNITS
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    units.push_back({"AVX2 and FMA", avx2_scorer});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    units.push_back({"AVX-512", avx512_scorer});
#endif
  return units;
}

funnel::matrix<float> random_rows(std::size_t n, std::size_t d, funnel::random_generator& bits) {
  funnel::matrix<float> rows(n, d);
  for (float& value : rows.flat()) value = static_cast<float>(2 * funnel::uniform01(bits) - 1);
  return rows;
}

}  // namespace

int main() {
  funnel::random_generator bits(1);
  ranker trained;  // or read from a file
  funnel::initialize(trained, bits);
  constexpr std::size_t n = 500;
  const funnel::matrix<float> user = random_rows(1, ranker::user_dim, bits);
  const funnel::matrix<float> items = random_rows(n, ranker::item_dim, bits);

  const std::vector<unit> units = available_units();
  std::printf("scored with: %s\n", units.back().name);
  std::vector<float> scores(n);
  units.back().make(trained)(user, items, scores);
  std::printf("first scores: %.4f %.4f %.4f\n", double{scores[0]}, double{scores[1]},
              double{scores[2]});

  // All versions agree, except for rounding: they add in a different order.
  for (const unit& other : units) {
    std::vector<float> again(n);
    other.make(trained)(user, items, again);
    float apart = 0;
    for (std::size_t i = 0; i < n; ++i) apart = std::max(apart, std::abs(again[i] - scores[i]));
    std::printf("%-12s differs by at most %.1e\n", other.name, double{apart});
    if (!(apart < 1e-5f)) return 1;
  }
}
