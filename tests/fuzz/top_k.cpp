// SPDX-License-Identifier: MIT
// top_k against a stable sort of all positions, for scores of every kind and positions of any width.
#include <funnel/core/top_k.hpp>

#include "fuzz/input.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace {

template <class T, class Position>
void check(fuzz::input& in) {
  // Around each way in which it is done: one, a few, up to 1024, and many of which few are picked.
  constexpr std::size_t lengths[] = {0, 1, 2, 8, 9, 40, 255, 256, 257, 1024, 1025, 3000, 5000};
  const bool whole = in.flag();
  const std::size_t n = lengths[in.below(std::size(lengths))] + (whole ? 0 : in.below(40));
  const std::size_t wanted = in.below(n + 3);
  const std::size_t k = in.flag() ? wanted : std::min<std::size_t>(wanted, in.below(9));
  const std::size_t repeat = 1 + in.below(64);  // so that a few bytes make many scores
  std::vector<T> scores(n);
  const std::size_t kind = in.below(4);
  for (std::size_t i = 0; i < n; ++i) {
    if (i >= repeat && in.left() == 0) {
      scores[i] = scores[i - repeat];
      if (kind == 3 && scores[i] < scores[0]) scores[i] = static_cast<T>(scores[i] + T(1));
      continue;
    }
    if constexpr (std::is_floating_point_v<T>) {
      scores[i] = kind == 0 ? in.any<T>() : in.usual<T>();
    } else {
      scores[i] = kind == 0 ? static_cast<T>(in.bits(sizeof(T))) : static_cast<T>(in.below(4));
    }
  }

  std::vector<Position> picked(k, Position(77));
  const auto before = picked;
  const bool fits = k <= n && (n == 0 || n - 1 <= std::numeric_limits<Position>::max());
  try {
    funnel::top_k(scores, picked);
    FUZZ_EXPECT(fits);
  } catch (const std::invalid_argument&) {
    FUZZ_EXPECT(!fits);
    FUZZ_EXPECT(picked == before);
    return;
  }
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const bool number_a = scores[a] == scores[a], number_b = scores[b] == scores[b];
    return number_a && number_b ? scores[a] > scores[b] : number_a && !number_b;
  });
  for (std::size_t i = 0; i < k; ++i) FUZZ_EXPECT(picked[i] == order[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in(data, size);
  switch (in.below(9)) {
  case 0:
    check<float, std::uint32_t>(in);
    break;
  case 1:
    check<double, std::uint32_t>(in);
    break;
  case 2:
    check<float, std::uint8_t>(in);
    break;
  case 3:
    check<double, std::uint64_t>(in);
    break;
  case 4:
    check<std::int8_t, std::uint16_t>(in);
    break;
  case 5:
    check<std::uint16_t, std::uint32_t>(in);
    break;
  case 6:
    check<std::int32_t, std::uint32_t>(in);
    break;
  case 7:
    check<std::uint64_t, std::uint32_t>(in);
    break;
  default:
    check<std::int64_t, std::uint16_t>(in);
    break;
  }
  return 0;
}
