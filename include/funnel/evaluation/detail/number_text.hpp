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

// Numbers and names as text. std::to_chars, because printf writes a decimal comma in some locales.
namespace funnel::detail {

/// The shortest digits that read back as the same number; null if it is not finite.
inline void append_json_number(double value, std::string& text) {
  char digits[32];  // at most 24: a sign, 17 digits, a point, e, and an exponent with its sign
  if (std::isfinite(value))
    text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  else
    text += "null";
}

/// A JSON string of a name in UTF-8.
inline void append_json_string(std::string_view name, std::string& text) {
  constexpr const char* hex = "0123456789abcdef";
  text += '"';
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      text.append(1, '\\').append(1, c);
    else if (byte < 0x20)
      text.append("\\u00").append(1, hex[byte / 16]).append(1, hex[byte % 16]);
    else
      text += c;
  }
  text += '"';
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
