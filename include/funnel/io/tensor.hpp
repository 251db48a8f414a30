// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/float16.hpp>
#include <funnel/core/matrix.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace funnel {

/// Type of the values of a tensor in a file.
enum class tensor_type : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean
};

/// Name of a type in a safetensors file: "F32".
constexpr std::string_view tensor_type_name(tensor_type type) {
  constexpr std::array<std::string_view, 13> names = {
      "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"};
  return names[static_cast<std::size_t>(type)];
}

/// Number of bytes of a value.
constexpr std::size_t tensor_type_size(tensor_type type) {
  constexpr std::array<std::size_t, 13> sizes = {8, 4, 2, 2, 8, 4, 2, 1, 8, 4, 2, 1, 1};
  return sizes[static_cast<std::size_t>(type)];
}

namespace detail {

template <class T>
constexpr tensor_type type_of_values() {
  static_assert(sizeof(T) == 0 || std::endian::native == std::endian::little,
                "files of tensors hold the lowest byte first; this machine does not");
  if constexpr (std::same_as<T, double>) {
    return tensor_type::f64;
  } else if constexpr (std::same_as<T, float>) {
    return tensor_type::f32;
  } else if constexpr (std::same_as<T, float16>) {
    return tensor_type::f16;
  } else if constexpr (std::same_as<T, bfloat16>) {
    return tensor_type::bf16;
  } else if constexpr (std::same_as<T, bool>) {
    static_assert(sizeof(bool) == 1);
    return tensor_type::boolean;
  } else if constexpr (std::same_as<T, char>) {
    return tensor_type::u8;  // whether char has a sign is up to the platform
  } else {
    static_assert(std::integral<T> && sizeof(T) <= 8,
                  "a tensor holds float, double, float16, bfloat16, bool or integers");
    constexpr tensor_type with_sign[] = {tensor_type::i8, tensor_type::i16, tensor_type::i32,
                                         tensor_type::i64};
    constexpr tensor_type without[] = {tensor_type::u8, tensor_type::u16, tensor_type::u32,
                                       tensor_type::u64};
    constexpr std::size_t power = std::bit_width(sizeof(T)) - 1;
    return std::signed_integral<T> ? with_sign[power] : without[power];
  }
}

}  // namespace detail

/// The type of a C++ type: `tensor_type_of<float>` is `tensor_type::f32`.
template <class T>
inline constexpr tensor_type tensor_type_of = detail::type_of_values<T>();

/// An array in a file: its name, type and shape, and its values as bytes. It refers to the memory of
/// the object that it comes from, such as a `safetensors_file`.
struct tensor {
  std::string name;
  tensor_type type = tensor_type::f32;
  std::vector<std::size_t> shape;    ///< empty for a single number
  std::span<const std::byte> bytes;  ///< aligned to the type

  /// Number of values.
  std::size_t size() const { return bytes.size() / tensor_type_size(type); }
};

namespace detail {

/// Multiplies the sizes of a shape; false if there are more than `most` values.
inline bool count_values(std::span<const std::size_t> shape, std::size_t most, std::size_t& count) {
  count = 1;
  bool fits = true;
  for (const std::size_t n : shape) {
    if (n != 0 && count > most / n) fits = false;
    count = fits ? count * n : count;
  }
  if (std::ranges::find(shape, std::size_t{0}) != shape.end()) {
    count = 0;
    return true;
  }
  return fits && count <= most;
}

inline std::string shape_text(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == 8) {
      text += ", ...";
      break;
    }
    append_text(text, i == 0 ? "" : ", ");
    append_text(text, shape[i]);
  }
  return text + "]";
}

/// A tensor in a message: `F32 [2, 3]`.
inline std::string tensor_text(tensor_type type, std::span<const std::size_t> shape) {
  return join_text(tensor_type_name(type), " ", shape_text(shape));
}

/// Throws a format_error about a tensor; a file of one array has no name for it.
template <class... Parts>
[[noreturn]] void fail_tensor(std::string_view file, std::string_view name, const Parts&... parts) {
  if (name.empty()) throw format_error(join_text(file, ": ", parts...));
  throw format_error(join_text(file, ": tensor \"", printable(name), "\": ", parts...));
}

/// True if the values can be read in place.
inline bool is_aligned(const tensor& t) {
  return reinterpret_cast<std::uintptr_t>(t.bytes.data()) % tensor_type_size(t.type) == 0;
}

/// The values of a tensor, without a copy.
template <class T>
std::span<const T> tensor_values(std::string_view file, const tensor& from) {
  if (from.type != tensor_type_of<T>)
    fail_tensor(file, from.name, "the file has ", tensor_text(from.type, from.shape), ", expected ",
                tensor_type_name(tensor_type_of<T>));
  if constexpr (std::same_as<T, bool>) {
    // Another byte is no bool: reading it would be undefined.
    const auto wrong =
        std::ranges::find_if(from.bytes, [](std::byte b) { return std::to_integer<int>(b) > 1; });
    if (wrong != from.bytes.end())
      fail_tensor(file, from.name, "value ", static_cast<std::size_t>(wrong - from.bytes.begin()),
                  " is ", std::to_integer<int>(*wrong), ", expected 0 or 1");
  }
  return {reinterpret_cast<const T*>(from.bytes.data()), from.size()};
}

struct tensor_shape {
  std::size_t rows, cols;
};

/// Rows and columns of a tensor of at most two dimensions: one dimension is a row, a number is
/// [1, 1].
inline tensor_shape matrix_shape(std::string_view file, const tensor& from) {
  const std::vector<std::size_t>& shape = from.shape;
  if (shape.size() > 2)
    fail_tensor(file, from.name, "the file has ", tensor_text(from.type, shape),
                ", expected two dimensions or fewer");
  return {shape.size() == 2 ? shape[0] : 1, shape.empty() ? 1 : shape.back()};
}

template <class T>
matrix_view<const T> tensor_matrix(std::string_view file, const tensor& from) {
  const auto [rows, cols] = matrix_shape(file, from);
  return {tensor_values<T>(file, from).data(), rows, cols};
}

/// True if every value of the type is a T: the conversion loses nothing.
template <class T>
constexpr bool holds_all(tensor_type type) {
  if (type == tensor_type_of<T>) return true;
  if constexpr (!std::floating_point<T>) return false;
  return type == tensor_type::f16 || type == tensor_type::bf16 ||
         (type == tensor_type::f32 && std::same_as<T, double>);
}

/// Calls `run(read)` where `read(p)` is the value at byte address p, as T.
template <class T>
void with_reader(tensor_type type, auto&& run) {
  const auto load = [&]<class Stored>(Stored) {
    run([](const std::byte* p) {
      Stored value;
      std::memcpy(&value, p, sizeof value);
      if constexpr (std::same_as<Stored, float16> || std::same_as<Stored, bfloat16>)
        return static_cast<T>(to_float(value));
      else
        return static_cast<T>(value);
    });
  };
  if constexpr (std::floating_point<T>) {
    if (type == tensor_type::f16) return load(float16{});
    if (type == tensor_type::bf16) return load(bfloat16{});
    if (type == tensor_type::f32) return load(float{});
  }
  load(T{});
}

/// Copies the values of a tensor, which `holds_all` accepts.
template <class T>
void copy_tensor(const tensor& from, T* to) {
  if (from.type == tensor_type_of<T>) {
    if (!from.bytes.empty()) std::memcpy(to, from.bytes.data(), from.bytes.size());
    return;
  }
  with_reader<T>(from.type, [&](auto read) {
    const std::size_t step = tensor_type_size(from.type);
    for (std::size_t i = 0; i < from.size(); ++i) to[i] = read(from.bytes.data() + i * step);
  });
}

template <class T>
void check_holds_all(std::string_view file, const tensor& from) {
  if (!holds_all<T>(from.type))
    fail_tensor(file, from.name, "the file has ", tensor_text(from.type, from.shape), ", expected ",
                tensor_type_name(tensor_type_of<T>),
                std::floating_point<T> ? " or a floating-point type with fewer digits" : "");
}

template <class T>
matrix<T> copied_matrix(std::string_view file, const tensor& from) {
  check_holds_all<T>(file, from);
  if constexpr (std::same_as<T, bool>) tensor_values<bool>(file, from);  // throws
  const auto [rows, cols] = matrix_shape(file, from);
  matrix<T> to(rows, cols);
  copy_tensor(from, to.data());
  return to;
}

}  // namespace detail
}  // namespace funnel
