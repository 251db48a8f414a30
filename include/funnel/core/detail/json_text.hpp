// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <cstddef>
#include <string>
#include <string_view>

// UTF-8, and strings of JSON as they are written.
namespace funnel::detail {

/// Length of the UTF-8 character at the beginning of a text; 0 if there is no valid one.
inline std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.empty()) return 0;
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Not the shortest form, a surrogate, or beyond U+10FFFF.
  if ((first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
      (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f))
    return 0;
  return length;
}

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Writes a text as a JSON string. The text is valid UTF-8.
inline void append_json_string(std::string& json, std::string_view text) {
  constexpr const char* hex = "0123456789abcdef";
  json += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      json.append(1, '\\').append(1, c);
    else if (byte < 0x20)
      json.append("\\u00").append(1, hex[byte / 16]).append(1, hex[byte % 16]);
    else
      json += c;
  }
  json += '"';
}

}  // namespace funnel::detail
