// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace funnel::detail {

/// True if `text` is UTF-8: no stray or missing continuation bytes, no longer form than needed, no
/// surrogates, nothing above U+10FFFF.
inline bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const unsigned first = byte(i);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xc2 ? 0
                               : first < 0xe0 ? 2
                               : first < 0xf0 ? 3
                               : first < 0xf5 ? 4
                                              : 0;
    if (length == 0) return false;
    for (std::size_t j = 1; j < length; ++j)
      if ((byte(i + j) & 0xc0u) != 0x80u) return false;
    const unsigned second = byte(i + 1);
    if (first == 0xe0 && second < 0xa0) return false;
    if (first == 0xed && second >= 0xa0) return false;
    if (first == 0xf0 && second < 0x90) return false;
    if (first == 0xf4 && second >= 0x90) return false;
    i += length;
  }
  return true;
}

/// Throws unless the name is UTF-8, has no empty part between dots, and nests no deeper than readers
/// of JSON go.
inline void check_report_name(std::string_view name) {
  if (name.empty() || name.front() == '.' || name.back() == '.' ||
      name.find("..") != std::string_view::npos)
    fail("funnel::report::set: name is \"", printable(name),
         "\", expected parts that are not empty, with dots between them");
  constexpr std::ptrdiff_t most_dots = 63;
  if (const auto dots = std::count(name.begin(), name.end(), '.'); dots > most_dots)
    fail("funnel::report::set: name has ", dots, " dots, expected at most ", most_dots);
  if (!is_utf8(name))
    fail("funnel::report::set: name is \"", printable(name), "\", expected UTF-8");
}

/// True if `name` begins with `group` and a dot.
inline bool is_in_group(std::string_view name, std::string_view group) {
  return name.size() > group.size() && name[group.size()] == '.' && name.starts_with(group);
}

}  // namespace funnel::detail
