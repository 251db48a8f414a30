// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/data/detail/decimal.hpp>

#include <charconv>
#include <cmath>
#include <concepts>
#include <string_view>
#include <system_error>

namespace funnel::detail {

/// A number in a text field.
template <class T>
struct parsed_number {
  T value{};
  /// Whether the text has the form of a number of this type; `value` is meaningless otherwise.
  bool is_number = false;
  /// Whether T can hold it.
  bool fits = false;
};

/// Parses a number in the form and with the rounding of `csv_reader::number`.
template <class T>
parsed_number<T> parse_number(std::string_view text) {
  parsed_number<T> parsed;
  if constexpr (std::integral<T>) {
    // std::from_chars takes no sign if T is unsigned: accept -0; other negatives are out of range.
    const bool minus = std::unsigned_integral<T> && text.starts_with('-');
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + minus, end, parsed.value);
    parsed.is_number = error != std::errc::invalid_argument && rest == end;
    parsed.fits = error == std::errc() && !(minus && parsed.value != 0);
  } else {  // not std::from_chars: libc++ has it from 20 on, and it fails if 0 is nearest
    decimal exact;
    parsed.is_number = parse_decimal(text, exact);
    if (parsed.is_number) parsed.value = nearest<T>(exact);
    parsed.fits = std::isfinite(parsed.value);
  }
  return parsed;
}

}  // namespace funnel::detail
