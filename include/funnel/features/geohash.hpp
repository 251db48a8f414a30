// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace funnel {

/// The cell of a place as a number of 5 * length bits, longitude's halvings first; 0 bits are the
/// western and southern halves. A cell number is a key for `vocabulary`.
///
/// Units       degrees, latitude in [-90, 90], longitude in [-180, 180]; length in [1, 12]
///             characters: 5 are about 4.9 km x 4.9 km, 6 about 1.2 km x 0.6 km. A place on a
///             border, and latitude 90 or longitude 180, belong to the cell north and east of it.
/// Errors      std::invalid_argument outside those ranges; a missing place has no cell, so give it
///             row 0.
/// Source      Niemeyer, geohash.org, 2008; docs/formulas.md#geohash.
inline std::uint64_t geohash_cell(double latitude, double longitude, std::size_t length) {
  if (!(latitude >= -90 && latitude <= 90 && longitude >= -180 && longitude <= 180))
    detail::fail("funnel::geohash: latitude is ", latitude, ", longitude ", longitude,
                 ", expected -90 to 90 and -180 to 180");
  if (length < 1 || length > 12)
    detail::fail("funnel::geohash: length is ", length, ", expected 1 to 12");
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

/// The geohash of a place in base 32, as `geohash_cell`: geohash(57.64911, 10.40744, 11) is
/// "u4pruydqqvj".
inline std::string geohash(double latitude, double longitude, std::size_t length) {
  std::uint64_t cell = geohash_cell(latitude, longitude, length);
  std::string text(length, '0');
  for (std::size_t i = length; i-- > 0; cell >>= 5)
    text[i] = "0123456789bcdefghjkmnpqrstuvwxyz"[cell & 31];
  return text;
}

}  // namespace funnel
