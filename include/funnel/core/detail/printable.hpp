// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace funnel::detail {

/// Text of a file for an error message: control characters are escaped and long text is shortened.
inline std::string printable(std::string_view text) {
  constexpr std::size_t longest = 60;
  constexpr const char* hex = "0123456789abcdef";
  std::string shown;
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f)
      shown += c;
    else
      shown.append("\\x").append(1, hex[byte / 16]).append(1, hex[byte % 16]);
  }
  if (text.size() > longest) shown += "...";
  return shown;
}

}  // namespace funnel::detail
