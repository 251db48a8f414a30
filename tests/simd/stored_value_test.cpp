// SPDX-License-Identifier: MIT
#include <funnel/simd/stored_value.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <vector>

using funnel::bfloat16;
using funnel::float16;
using funnel::to_bfloat16;
using funnel::to_float;
using funnel::to_float16;

namespace {

template <class Storage>
std::vector<Storage> all_of_two_bytes() {
  std::vector<Storage> all(1 << 16);
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  return all;
}

template <class Storage>
void check_loads(const std::vector<Storage>& values) {
  for_each_arch([&]<class Arch>(Arch) {
    constexpr std::size_t width = funnel::detail::lanes<Arch, float>;
    std::size_t wrong = 0;
    float loaded[width];
    for (std::size_t i = 0; i + width <= values.size(); i += width) {
      funnel::detail::load_stored<Arch>(values.data() + i).store_unaligned(loaded);
      for (std::size_t lane = 0; lane < width; ++lane) {
        const float expected = to_float(values[i + lane]);
        wrong += same_bits(&loaded[lane], &expected, 1) ? 0 : 1;
      }
    }
    CHECK(wrong == 0);
  });
}

}  // namespace

TEST_CASE("load_stored: every value of two bytes, to the bit as one at a time") {
  check_loads(all_of_two_bytes<float16>());
  check_loads(all_of_two_bytes<bfloat16>());
}

TEST_CASE("load_stored: every code") {
  std::vector<std::int8_t> codes(256);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(i);
  check_loads(codes);
}

TEST_CASE("load_stored: reads a register's worth and no more, from any address") {
  for_each_arch([]<class Arch>(Arch) {
    constexpr std::size_t width = funnel::detail::lanes<Arch, float>;
    // The address sanitizer sees a read past them.
    const std::vector<std::int8_t> codes(width + 1, 7);
    const std::vector<float16> halves(width + 1, to_float16(7));
    const std::vector<bfloat16> words(width + 1, to_bfloat16(7));
    CHECK(funnel::detail::sum_lanes(funnel::detail::load_stored<Arch>(codes.data() + 1)) ==
          7 * width);
    CHECK(funnel::detail::sum_lanes(funnel::detail::load_stored<Arch>(halves.data() + 1)) ==
          7 * width);
    CHECK(funnel::detail::sum_lanes(funnel::detail::load_stored<Arch>(words.data() + 1)) ==
          7 * width);
  });
}
