// SPDX-License-Identifier: MIT
#include <funnel/simd/detail/register_products.hpp>

#include "support/archs.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <span>

namespace {

using funnel::detail::plain_products;
using funnel::detail::register_products;

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

TEST_CASE("register_products: one order of sums on every instruction set") {
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
