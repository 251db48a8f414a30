// SPDX-License-Identifier: MIT
#include <funnel/simd/products_in_double.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"
#include "support/tolerance.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace {

using funnel::detail::cosine_of;
using funnel::detail::plain_products;
using funnel::detail::register_products;
using funnel::detail::unit_scale_of;

/// Sixteen sums, added up in fours; then what is left.
double by_sixteens(std::span<const float> a, std::span<const float> b) {
  const auto term = [&](std::size_t f) {
    return static_cast<double>(a[f]) * static_cast<double>(b[f]);
  };
  const std::size_t whole = a.size() / 16 * 16;
  double s[16] = {}, rest = 0;
  for (std::size_t f = 0; f < whole; ++f) s[f % 16] += term(f);
  for (std::size_t f = whole; f < a.size(); ++f) rest += term(f);
  const auto four = [&](std::size_t i) { return (s[i] + s[i + 4]) + (s[i + 8] + s[i + 12]); };
  return (four(0) + four(2)) + (four(1) + four(3)) + rest;
}

}  // namespace

TEST_CASE("products in double: one order of sums on every instruction set") {
  for (std::size_t n = 0; n < 70; ++n) {
    const auto rows = random_matrix<float>(2, n + 1, n);
    const std::span<const float> a = rows.row(0).subspan(1), b = rows.row(1).subspan(1);
    const double expected = by_sixteens(a, b);  // of rows that are not aligned
    CHECK(plain_products::inner(a, b, 1, 1) == expected);
    CHECK(plain_products::squares(a, 1) == by_sixteens(a, a));
    for_each_arch([&]<class Arch>(Arch) {
      CHECK(register_products<Arch>::inner(a, b, 1, 1) == expected);
      CHECK(register_products<Arch>::inner(b, a, 1, 1) == expected);
      CHECK(register_products<Arch>::squares(a, 1) == by_sixteens(a, a));
    });
  }
}

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
