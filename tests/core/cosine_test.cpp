// SPDX-License-Identifier: MIT
#include <funnel/core/detail/cosine.hpp>

#include "support/catch.hpp"
#include "support/tolerance.hpp"

#include <limits>
#include <span>
#include <vector>

using funnel::detail::cosine_of;
using funnel::detail::unit_scale_of;

TEMPLATE_TEST_CASE("cosine_of: any length, and none", "", float, double) {
  using t = TestType;
  const auto cosine = [](const std::vector<t>& a, const std::vector<t>& b) {
    const std::span<const t> x(a), y(b);
    return cosine_of(x, unit_scale_of(x), y, unit_scale_of(y));
  };
  const t least = std::numeric_limits<t>::denorm_min(), most = std::numeric_limits<t>::max();
  for (const t x : {least, t(1), most})
    for (const t y : {least, t(1), most}) {
      CHECK(
          tolerance::within(cosine({x, 0, x}, {y, y, 0}), .5, tolerance::elementwise<double>(.5)));
      CHECK(tolerance::within(cosine({x, x}, {-y, -y}), -1, tolerance::elementwise<double>(1)));
    }
  const t inf = std::numeric_limits<t>::infinity(), nan = std::numeric_limits<t>::quiet_NaN();
  for (const std::vector<t>& none : {std::vector<t>{0, 0}, {inf, 1}, {1, nan}}) {
    CHECK_FALSE(unit_scale_of(std::span<const t>(none)).has_direction());
    CHECK(cosine(none, {1, 2}) == 0);
    CHECK(cosine({1, 2}, none) == 0);
  }
  CHECK(cosine({}, {}) == 0);
}

TEMPLATE_TEST_CASE("write_unit_vector: length 1, or zeros", "", float, double) {
  using t = TestType;
  const auto unit = [](const std::vector<t>& row) {
    std::vector<t> out(row.size(), t(9));
    const bool direction =
        funnel::detail::write_unit_vector(std::span<const t>(row), std::span(out));
    CHECK(direction == (out != std::vector<t>(row.size())));
    return out;
  };
  const t most = std::numeric_limits<t>::max();
  CHECK(unit({-4, 0}) == std::vector<t>{-1, 0});
  CHECK(unit({0, most}) == std::vector<t>{0, 1});
  CHECK(unit({0, 0}) == std::vector<t>{0, 0});
  CHECK(unit({most * 2, 1}) == std::vector<t>{0, 0});
}
