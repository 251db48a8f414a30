// SPDX-License-Identifier: MIT
#pragma once

#include "fuzz/input.hpp"

#include <funnel/core/error.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace fuzz {

/// A message names the file, is short, and holds no control characters.
inline void check_message(std::string_view message, std::string_view path) {
  FUZZ_EXPECT(message.starts_with(path));
  message.remove_prefix(path.size());
  FUZZ_EXPECT(message.starts_with(": ") && message.size() > 8 && message.size() < 800);
  FUZZ_EXPECT(std::ranges::none_of(message, [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  }));
}

/// Runs a call that may throw a format_error, and nothing else; true if it did not.
template <class Call>
bool may_refuse(Call&& call, std::string_view path) {
  try {
    call();
    return true;
  } catch (const funnel::format_error& error) {
    check_message(error.what(), path);
    return false;
  }
}

template <class File>
std::optional<File> opened(const std::string& path) {
  std::optional<File> file;
  may_refuse([&] { file.emplace(path); }, path);
  return file;
}

}  // namespace fuzz
