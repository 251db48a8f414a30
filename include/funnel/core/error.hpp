// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/build.hpp>

#include <concepts>
#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

/// Checks a precondition inside a kernel; does nothing if NDEBUG is defined. Public functions throw
/// instead.
#ifdef NDEBUG
#define FUNNEL_ASSERT(condition) static_cast<void>(0)
#else
#include <cassert>
#define FUNNEL_ASSERT(condition) assert(condition)
#endif

namespace funnel {

/// Malformed data from outside (a file, a model, a log). The message says where the error is.
class format_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {

inline void append_text(std::string& text, std::string_view part) {
  text += part;
}

template <class T>
requires std::integral<T>
void append_text(std::string& text, T part) {
  text += std::to_string(part);
}

/// A class that converts to a size, such as `owned_size`.
template <class T>
requires(std::is_class_v<T>&& std::convertible_to<const T&, std::size_t> &&
         !std::convertible_to<const T&, std::string_view>) void append_text(std::string& text,
                                                                            const T& part) {
  text += std::to_string(static_cast<std::size_t>(part));
}

template <class T>
requires std::floating_point<T>
void append_text(std::string& text, T part) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", static_cast<double>(part));
  text += digits;
}

/// Joins texts and numbers into one message.
template <class... Parts>
std::string join_text(const Parts&... parts) {
  std::string text;
  (append_text(text, parts), ...);
  return text;
}

/// Throws std::invalid_argument. The parts make up the message: function, argument, its value, and
/// the value that was expected.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw std::invalid_argument(join_text(parts...));
}

}  // namespace detail
}  // namespace funnel
