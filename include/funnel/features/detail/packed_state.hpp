// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/error.hpp>
#include <funnel/core/state.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

// An object with `visit_state` as a string of bytes, and back. Numbers are little-endian.
namespace funnel::detail {

/// The unsigned integer with the bits of a float or a double.
template <class T>
using bits_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

/// Visitor that appends the fields of an object to bytes.
struct pack_visitor {
  std::string& to;

  template <class T>
  void append(T value) const {
    std::uint64_t bits = 0;
    if constexpr (std::is_floating_point_v<T>)
      bits = std::bit_cast<bits_of<T>>(value);
    else if constexpr (std::is_same_v<T, char>)
      bits = static_cast<unsigned char>(value);
    else
      bits = static_cast<std::uint64_t>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i) to += static_cast<char>(bits >> (8 * i) & 0xff);
  }

  void operator()(std::string_view, const auto& field) const {
    using type = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_arithmetic_v<type> || std::is_enum_v<type>) {
      append(field);
    } else if constexpr (StateArray<type>) {
      append(static_cast<std::uint64_t>(field.size()));
      for (const auto value : field) append(value);
    } else {
      const_cast<type&>(field).visit_state(*this);  // a visitor that saves changes nothing
    }
  }
};

/// Visitor that reads the fields of an object from bytes.
///
/// Errors      format_error if the bytes end early.
struct unpack_visitor {
  static constexpr bool loads = true;

  std::string_view& from;
  std::string_view what;  // named by errors

  template <class T>
  T take() const {
    if (from.size() < sizeof(T))
      throw format_error(
          join_text(what, ": the bytes end early, expected ", sizeof(T), " more for a number"));
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bits |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
    from.remove_prefix(sizeof(T));
    if constexpr (std::is_floating_point_v<T>)
      return std::bit_cast<T>(static_cast<bits_of<T>>(bits));
    else
      return static_cast<T>(bits);
  }

  void operator()(std::string_view, auto& field) const {
    using type = std::remove_cvref_t<decltype(field)>;
    if constexpr (std::is_arithmetic_v<type> || std::is_enum_v<type>) {
      field = take<type>();
    } else if constexpr (StateArray<type>) {
      using value = std::remove_cvref_t<decltype(field[0])>;
      const auto count = take<std::uint64_t>();
      const std::size_t most = from.size() / sizeof(value);
      if (count > most)
        throw format_error(join_text(what, ": an array of ", count, " values, expected at most ",
                                     most, ", for which there are bytes"));
      field.resize(static_cast<std::size_t>(count));
      for (auto& entry : field) entry = take<value>();
    } else {
      field.visit_state(*this);
    }
  }
};

/// The state of an object as bytes.
template <class Object>
std::string packed_state(const Object& object) {
  std::string bytes;
  pack_visitor{bytes}({}, object);
  return bytes;
}

/// Sets an object to the state of the bytes; `what` is named by errors.
///
/// Errors      format_error if the bytes are too few or too many. The object may have changed then.
template <class Object>
void unpack_state(Object& object, std::string_view bytes, std::string_view what) {
  unpack_visitor{bytes, what}({}, object);
  if (!bytes.empty())
    throw format_error(join_text(what, ": ", bytes.size(), " bytes are left over, expected none"));
}

}  // namespace funnel::detail
