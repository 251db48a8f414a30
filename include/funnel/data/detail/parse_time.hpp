// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/date.hpp>
#include <funnel/core/detail/checks.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

namespace funnel::detail {

/// Throws unless the number is a power of ten up to 10^9.
inline void check_ticks_per_second(std::string_view function, std::int64_t ticks_per_second) {
  std::int64_t unit = ticks_per_second;
  for (; unit >= 10 && unit % 10 == 0; unit /= 10) continue;
  check_that(function, "ticks_per_second", ticks_per_second,
             unit == 1 && ticks_per_second <= 1'000'000'000, "a power of ten up to 1000000000");
}

/// Parses a date, or a date and a time of day, as ticks since 1970-01-01 UTC; nothing if the text
/// is neither or does not exist.
///
///     yyyy-mm-dd[(T| )hh:mm[:ss[.digits]][Z|+hh:mm|-hh:mm]]      or with / instead of - in the date
///
/// Times without an offset are UTC. A part of a tick is cut off. `ticks_per_second` is a power of
/// ten up to 10^9.
///
/// Source      RFC 3339.
inline std::optional<std::int64_t> parse_time(std::string_view text,
                                              std::int64_t ticks_per_second) {
  std::size_t at = 0;
  bool valid = true;
  const auto is_digit = [&](std::size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  const auto number = [&](std::size_t digits, std::int32_t most) {
    std::int32_t value = 0;
    for (; digits > 0; --digits, ++at) {
      if (!is_digit(at)) valid = false;
      if (valid) value = 10 * value + (text[at] - '0');
    }
    valid = valid && value <= most;
    return value;
  };
  const auto next = [&](char c) {
    const bool found = at < text.size() && text[at] == c;
    at += found;
    return found;
  };
  const auto expect = [&](char c) { valid = next(c) && valid; };

  std::int32_t date = number(4, 9999);
  const char separator = text.size() > at && text[at] == '/' ? '/' : '-';
  expect(separator);
  date = 100 * date + number(2, 12);
  expect(separator);
  date = 100 * date + number(2, 31);
  if (!valid || !is_date(date)) return std::nullopt;
  std::int64_t seconds = std::int64_t{day_number(date)} * 86'400;
  std::int64_t ticks = 0;
  if (at < text.size()) {
    valid = next('T') || next(' ');
    seconds += number(2, 23) * 3600;
    expect(':');
    seconds += number(2, 59) * 60;
    if (next(':')) {
      seconds += number(2, 59);
      if (next('.')) {
        valid = valid && is_digit(at);
        for (std::int64_t unit = ticks_per_second; is_digit(at); ++at) {
          // The digit times the unit of the digit before, a tenth of which is its own.
          ticks += unit * (text[at] - '0') / 10;
          unit = unit % 10 == 0 ? unit / 10 : 0;
        }
      }
    }
    if (!next('Z') && at < text.size()) {
      const std::int32_t sign = text[at] == '-' ? 1 : -1;  // local time is UTC plus the offset
      valid = (next('+') || next('-')) && valid;
      seconds += sign * number(2, 23) * 3600;
      expect(':');
      seconds += sign * number(2, 59) * 60;
    }
  }
  if (!valid || at != text.size()) return std::nullopt;
  const std::int64_t most = std::numeric_limits<std::int64_t>::max() / ticks_per_second - 1;
  if (seconds > most || seconds < -most) return std::nullopt;  // not in 64 bits
  return seconds * ticks_per_second + ticks;
}

}  // namespace funnel::detail
