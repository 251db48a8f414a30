// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/features/geohash.hpp>
#include <funnel/retrieval/popular_items.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace funnel {

/// The segment of the geohash cell of a place, for `popular_items`. Cells of different lengths have
/// different segments, all 2^60 or more; smaller numbers are free, such as 0 for all and others for
/// cities.
///
/// Errors      std::invalid_argument as `geohash_cell`.
inline std::uint64_t geo_segment(double latitude, double longitude, std::size_t length) {
  return geohash_cell(latitude, longitude, length) | std::uint64_t{length} << 60;
}

/// Options of `geo_segments`.
struct geo_segments_options {
  /// Length of the finest cells, 1 to 12: 5 are about 4.9 km x 4.9 km.
  std::size_t longest = 5;
  /// Length of the coarsest cells, 1 to `longest`: 3 are about 156 km x 156 km.
  std::size_t shortest = 3;
  /// The segment of the last level, for which all events are counted.
  std::uint64_t all = 0;
};

/// Most segments that `geo_segments` writes: 9 cells, 11 coarser ones, and all.
inline constexpr std::size_t most_geo_segments = 21;

namespace detail {

/// The geohash cell that is `east` columns and `north` rows further; false beyond a pole.
inline bool geohash_beside(std::uint64_t cell, std::size_t length, int east, int north,
                           std::uint64_t& beside) {
  const std::size_t bits = 5 * length;  // longitude and latitude in turn, longitude first
  std::uint64_t column = 0, row = 0;
  for (std::size_t i = 0; i < bits; ++i) {
    std::uint64_t& index = i % 2 == 0 ? column : row;
    index = index << 1 | (cell >> (bits - 1 - i) & 1u);
  }
  // Unsigned numbers wrap: -1 is a huge one. Of the column the lowest bits are used, so that the
  // last one is beside the first.
  column += static_cast<std::uint64_t>(east);
  row += static_cast<std::uint64_t>(north);
  if (row >= std::uint64_t{1} << bits / 2) return false;
  beside = 0;
  for (std::size_t i = bits; i-- > 0;) {
    std::uint64_t& index = i % 2 == 0 ? column : row;
    beside |= (index & 1u) << (bits - 1 - i);
    index >>= 1;
  }
  return true;
}

}  // namespace detail

/// The segments of a search for what is popular near a place: the finest cell and the cells around it
/// as level 0, since a place may be at the border of its cell; then the coarser cells that it is in,
/// each a level; then all. Returns their number.
///
/// Events are counted for the cells of their own place, of all lengths, and for all:
///
///     for (std::size_t length = 3; length <= 5; ++length)
///       popular.add(geo_segment(latitude, longitude, length), item, time);
///     popular.add(0, item, time);
///
/// Shapes      out: room for `most_geo_segments`.
/// Order       by level; in level 0 the cell itself first.
/// Errors      std::invalid_argument as `geohash_cell`, or if an option is out of range or `out` is
///             shorter; `out` is unchanged then.
/// Source      docs/formulas.md#popular-items.
inline std::size_t geo_segments(double latitude, double longitude, std::span<popular_segment> out,
                                const geo_segments_options& options = {}) {
  constexpr std::string_view name = "geo_segments";
  detail::check_that(name, "longest", options.longest,
                     options.longest >= 1 && options.longest <= 12, "1 to 12");
  detail::check_that(name, "shortest", options.shortest,
                     options.shortest >= 1 && options.shortest <= options.longest, "1 to ",
                     options.longest);
  detail::check_that(name, "the size of out", out.size(), out.size() >= most_geo_segments,
                     most_geo_segments, " or more");
  const std::uint64_t finest = geohash_cell(latitude, longitude, options.longest);
  const auto segment = [](std::uint64_t cell, std::size_t length) {
    return cell | std::uint64_t{length} << 60;
  };
  std::size_t count = 0;
  std::uint32_t level = 0;
  out[count++] = {segment(finest, options.longest), level};
  for (const int north : {-1, 0, 1})
    for (const int east : {-1, 0, 1}) {
      std::uint64_t cell = 0;
      if ((north != 0 || east != 0) &&
          detail::geohash_beside(finest, options.longest, east, north, cell))
        out[count++] = {segment(cell, options.longest), level};
    }
  for (std::size_t length = options.longest; length-- > options.shortest;)
    out[count++] = {segment(finest >> 5 * (options.longest - length), length), ++level};
  out[count++] = {options.all, ++level};
  return count;
}

}  // namespace funnel
