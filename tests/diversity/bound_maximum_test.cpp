// SPDX-License-Identifier: MIT
#include <funnel/diversity/detail/bound_maximum.hpp>

#include <funnel/core/arena.hpp>
#include <funnel/core/random.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("bound_maximum: the first of the largest, whatever was set") {
  for_each_arch([]<class Arch>(Arch) {
    funnel::random_generator bits(21);
    for (const std::size_t n : size_list{1, 15, 16, 17, 255, 256, 257, 5000}) {
      CAPTURE(n);
      funnel::arena scratch;
      funnel::detail::bound_maximum<Arch> tree(n, scratch);
      std::vector<float> values(n, -inf);
      const auto agrees = [&] {
        const auto largest = std::ranges::max_element(values);
        const std::size_t found = tree.find();
        return tree[found] == *largest &&
               (*largest == -inf || found == static_cast<std::size_t>(largest - values.begin()));
      };
      CHECK(agrees());
      bool right = true;
      for (int step = 0; step < 300; ++step) {
        // Few different values, so that many are equal; the largest is taken away now and then.
        const std::size_t i = step % 3 == 0 ? tree.find() : funnel::uniform_below(bits, n);
        const auto value = static_cast<float>(funnel::uniform_below(bits, 6));
        values[i] = value == 0 ? -inf : value;
        tree.set(i, values[i]);
        right = right && agrees();
      }
      CHECK(right);
      for (float& value : values) value = static_cast<float>(funnel::uniform_below(bits, 1000));
      tree.assign(n, [&](std::size_t i) { return values[i]; });
      CHECK(agrees());
    }
  });
}

TEST_CASE("lanes_that_reach: those above, about equal, and never -infinity") {
  for_each_arch([]<class Arch>(Arch) {
    constexpr std::size_t width = funnel::detail::lanes<Arch, float>;
    for (std::size_t lane = 0; lane < width; ++lane) {
      std::vector<float> bounds(width, -inf);
      bounds[lane] = 2;
      const std::uint32_t only = std::uint32_t{1} << lane;
      CHECK(funnel::detail::lanes_that_reach<Arch>(1, bounds.data()) == only);
      CHECK(funnel::detail::lanes_that_reach<Arch>(2, bounds.data()) == only);
      CHECK(funnel::detail::lanes_that_reach<Arch>(3, bounds.data()) == 0);
      CHECK(funnel::detail::lanes_that_reach<Arch>(-std::numeric_limits<double>::infinity(),
                                                   bounds.data()) == only);
    }
  });
}

TEST_CASE("rounded_up: never less, and within the range of float") {
  constexpr double most = std::numeric_limits<double>::max();
  for (const double value : {0., .1, -.1, 1e-30, -1e-30, 1e30, -1e30, most, -most}) {
    const float above = funnel::detail::rounded_up(value);
    CAPTURE(value);
    CHECK(static_cast<double>(above) >= std::max(value, -3.5e38));
    CHECK(above > -inf);
  }
  CHECK(funnel::detail::rounded_up(most) == inf);
}
