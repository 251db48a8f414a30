// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace funnel {

/// Geohash of a place as an integer of 5 * length bits. The bits alternate, starting with
/// longitude; a 0 bit means the western or southern half. The number can be used as a key for
/// `vocabulary`.
///
/// Units       degrees, latitude in [-90, 90], longitude in [-180, 180]; length in [1, 12]
///             characters: 5 characters are about 4.9 km x 4.9 km, 6 about 1.2 km x 0.6 km. A place
///             on a border belongs to the cell north and east of it; latitude 90 and longitude 180
///             belong to the last cell.
/// Errors      std::invalid_argument outside these ranges. A missing place has no cell: use row 0
///             of the embedding table.
/// Source      Niemeyer, geohash.org, 2008; docs/formulas.md#geohash.
inline std::uint64_t geohash_cell(double latitude, double longitude, std::size_t length) {
  detail::check_that("geohash", "latitude", latitude, latitude >= -90 && latitude <= 90,
                     "a number in [-90, 90]");
  detail::check_that("geohash", "longitude", longitude, longitude >= -180 && longitude <= 180,
                     "a number in [-180, 180]");
  detail::check_that("geohash", "length", length, length >= 1 && length <= 12, "1 to 12");
  double west = -180, east = 180, south = -90, north = 90;
  std::uint64_t cell = 0;
  const auto halve = [&](double x, double& low, double& high) {
    const double middle = (low + high) / 2;
    (x >= middle ? low : high) = middle;
    cell = cell << 1 | (x >= middle);
  };
  for (std::size_t i = 0; i < 5 * length; ++i) {
    if (i % 2 == 0)
      halve(longitude, west, east);
    else
      halve(latitude, south, north);
  }
  return cell;
}

/// Geohash of a place as base-32 text: geohash(57.64911, 10.40744, 11) is "u4pruydqqvj". Arguments
/// and errors as in `geohash_cell`.
inline std::string geohash(double latitude, double longitude, std::size_t length) {
  std::uint64_t cell = geohash_cell(latitude, longitude, length);
  std::string text(length, '0');
  for (std::size_t i = length; i-- > 0; cell >>= 5)
    text[i] = "0123456789bcdefghjkmnpqrstuvwxyz"[cell & 31];
  return text;
}

}  // namespace funnel
