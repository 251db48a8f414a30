// SPDX-License-Identifier: MIT
#include <funnel/core/detail/sizes.hpp>

#include "support/catch.hpp"
#include "support/errors.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

using funnel::detail::array_size;
using funnel::detail::blocks_of;
using funnel::detail::most_values;
using funnel::detail::owned_size;

TEST_CASE("array_size: what an array can have, and not one more") {
  constexpr std::size_t most = most_values<double>;
  CHECK(array_size<double>("f: n", 0) == 0);
  CHECK(array_size<double>("f: n", most) == most);
  CHECK(refuses([] { array_size<double>("f: n", most + 1); }, "f: n is ", "expected at most "));
  CHECK(array_size<double>("f: rows x cols", 3, 5) == 15);
  CHECK(array_size<double>("f: rows x cols", SIZE_MAX, 0) == 0);
  CHECK(array_size<double>("f: rows x cols", 1, most) == most);
  // Products that wrap to 0 and to 2.
  CHECK(refuses([] { array_size<double>("f: rows x cols", SIZE_MAX / 2 + 1, 2); },
                "f: rows x cols is ", " values"));
  CHECK(refuses([] { array_size<char>("f: rows x cols", 2, SIZE_MAX / 2 + 2); },
                "f: rows x cols is ", " values"));
}

TEST_CASE("blocks_of: whole blocks and a part, at the end of the range too") {
  CHECK(blocks_of(0, 8) == 0);
  CHECK(blocks_of(1, 8) == 1);
  CHECK(blocks_of(8, 8) == 1);
  CHECK(blocks_of(9, 8) == 2);
  CHECK(blocks_of(SIZE_MAX, 8) == SIZE_MAX / 8 + 1);
}

TEST_CASE("owned_size: 0 once it is moved from") {
  owned_size a = 7, b = std::move(a);
  CHECK(a == 0);
  CHECK(b == 7);
  const owned_size c = b;
  a = c;
  CHECK(b == 7);
  CHECK(a == 7);
  b = std::move(a);
  CHECK(a == 0);
}
