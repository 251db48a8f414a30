// SPDX-License-Identifier: MIT
#include "unit.hpp"

#include <funnel/core/random.hpp>

#include <algorithm>
#include <cstdio>

namespace {

int mistakes = 0;

void expect(bool holds, const char* unit, const char* what) {
  if (holds) return;
  std::printf("%s: %s differs from the baseline's\n", unit, what);
  ++mistakes;
}

void compare(const char* unit, unit_function run, const funnel::matrix<float>& scores) {
  const unit_answer base = run_baseline(scores);
  const unit_answer mine = run(scores);
  expect(mine.size_of_matrix == base.size_of_matrix, unit, "sizeof(matrix)");
  expect(mine.align_of_matrix == base.align_of_matrix, unit, "alignof(matrix)");
  expect(std::ranges::equal(mine.shifted.flat(), base.shifted.flat()), unit, "a matrix");
  expect(mine.picked == base.picked, unit, "top_k");
}

}  // namespace

int main() {
  funnel::random_generator bits(7);
  funnel::matrix<float> scores(37, 11);
  for (float& score : scores.flat()) score = static_cast<float>(funnel::uniform01(bits));

  compare("baseline", run_baseline, scores);
#ifdef FUNNEL_HAS_avx2
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    compare("avx2", run_avx2, scores);
  else
    std::puts("avx2: skipped, the machine has none");
#endif
#ifdef FUNNEL_HAS_avx512
  if (__builtin_cpu_supports("avx512f"))
    compare("avx512", run_avx512, scores);
  else
    std::puts("avx512: skipped, the machine has none");
#endif
  return mistakes == 0 ? 0 : 1;
}
