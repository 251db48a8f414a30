// SPDX-License-Identifier: MIT
// A program of somebody who uses funnel. It must build the same through find_package, through
// add_subdirectory and with nothing but the include path.
#include <funnel/core/matrix.hpp>
#include <funnel/core/random.hpp>
#include <funnel/core/top_k.hpp>
#ifdef FUNNEL_HAS_TBB
#include <funnel/core/tbb.hpp>
#endif

#include <array>
#include <cstdint>
#include <cstdio>

int main() {
  funnel::random_generator bits(1);
  funnel::matrix<float> scores(1, 100);
  for (float& score : scores.flat()) score = static_cast<float>(funnel::uniform01(bits));

  std::array<std::uint32_t, 3> picked{};
  funnel::top_k(std::span<const float>(scores.flat()), std::span<std::uint32_t>(picked));
  std::printf("picked %u %u %u\n", picked[0], picked[1], picked[2]);
  return scores(0, picked[0]) >= scores(0, picked[1]) ? 0 : 1;
}
