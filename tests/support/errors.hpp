// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

/// True if `call` throws std::invalid_argument whose text starts with `function` and says `words`.
template <class Call>
bool refuses(Call&& call, std::string_view function, std::string_view words) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    const std::string text = error.what();
    return text.starts_with(function) && text.find(words) != std::string::npos;
  }
  return false;
}
