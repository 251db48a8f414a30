// SPDX-License-Identifier: MIT
#include "support/catch.hpp"
#include "support/errors.hpp"

#include <funnel/core/random.hpp>
#include <funnel/features/geohash.hpp>

#include <limits>
#include <string>
#include <string_view>

using funnel::geohash;
using funnel::geohash_cell;

TEST_CASE("geohash: published places") {
  CHECK(geohash(57.64911, 10.40744, 11) == "u4pruydqqvj");
  CHECK(geohash(42.605, -5.603, 5) == "ezs42");
  CHECK(geohash(57.64911, 10.40744, 1) == "u");
}

TEST_CASE("geohash puts borders into the cell north and east") {
  CHECK(geohash(90, 180, 4) == "zzzz");
  CHECK(geohash(-90, -180, 4) == "0000");
  CHECK(geohash(0, 0, 3) == "s00");
  CHECK(geohash(-1e-9, -1e-9, 1) == "7");
}

TEST_CASE("geohash: a longer one starts with a shorter one, and holds the place") {
  funnel::random_generator bits(9);
  constexpr std::string_view digits = "0123456789bcdefghjkmnpqrstuvwxyz";
  for (int k = 0; k < 200; ++k) {
    const double latitude = 180 * funnel::uniform01(bits) - 90;
    const double longitude = 360 * funnel::uniform01(bits) - 180;
    const std::string longest = geohash(latitude, longitude, 12);
    for (std::size_t length = 1; length < 12; ++length)
      CHECK(geohash(latitude, longitude, length) == longest.substr(0, length));
    std::uint64_t cell = 0;
    for (const char digit : longest) cell = cell << 5 | digits.find(digit);
    CHECK(cell == geohash_cell(latitude, longitude, 12));
    // Decode: 30 bits of longitude and 30 of latitude, longitude first.
    std::uint64_t x = 0, y = 0;
    for (int bit = 59; bit >= 0; --bit) {
      std::uint64_t& axis = bit % 2 == 1 ? x : y;
      axis = axis << 1 | (cell >> bit & 1);
    }
    const double width = 360. / (1 << 30), height = 180. / (1 << 30);
    const double west = -180 + static_cast<double>(x) * width;
    const double south = -90 + static_cast<double>(y) * height;
    CHECK((west <= longitude && longitude < west + width));
    CHECK((south <= latitude && latitude < south + height));
  }
}

TEST_CASE("geohash refuses what is no place") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(refuses([] { geohash(90.1, 0, 5); }, "funnel::geohash", "latitude is 90.1"));
  CHECK(refuses([] { geohash(0, -181, 5); }, "funnel::geohash", "longitude is -181"));
  CHECK(refuses([&] { geohash(nan, 0, 5); }, "funnel::geohash", "latitude is"));
  CHECK(refuses([] { geohash(0, 0, 0); }, "funnel::geohash", "length is 0"));
  CHECK(refuses([] { geohash_cell(0, 0, 13); }, "funnel::geohash", "length is 13"));
}
