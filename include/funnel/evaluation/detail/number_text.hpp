// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Numbers as text. std::to_chars, because printf writes a decimal comma in some locales.
namespace funnel::detail {

/// The shortest digits that read back as the same number; null if it is not finite.
inline void append_json_number(std::string& text, double value) {
  char digits[32];  // at most 24: a sign, 17 digits, a point, e, and an exponent with its sign
  if (std::isfinite(value))
    text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  else
    text += "null";
}

/// Number of characters of a text in UTF-8.
inline std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
  }));
}

/// The numbers of one column of a table, with the same decimals, so that their points are aligned.
inline std::vector<std::string> column_texts(std::span<const double> values) {
  bool whole = true, moderate = true;
  for (const double v : values) {
    if (!std::isfinite(v)) continue;
    const double size = std::abs(v);
    whole = whole && v == std::nearbyint(v) && size < 1e15;
    moderate = moderate && (v == 0 || (size >= 1e-3 && size < 1e7));
  }
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const double v : values) {
    char digits[64];
    const auto shown = [&](std::chars_format format, int precision) {
      return std::string(digits,
                         std::to_chars(digits, digits + sizeof digits, v, format, precision).ptr);
    };
    if (std::isnan(v))
      texts.push_back("-");
    else if (std::isinf(v))
      texts.push_back(v > 0 ? "inf" : "-inf");
    else if (whole)
      texts.push_back(shown(std::chars_format::fixed, 0));
    else if (moderate)
      texts.push_back(shown(std::chars_format::fixed, 4));
    else
      texts.push_back(shown(std::chars_format::general, 4));
  }
  return texts;
}

}  // namespace funnel::detail
