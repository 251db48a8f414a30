// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/json_text.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace funnel::detail {

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
