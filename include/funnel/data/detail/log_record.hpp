// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/xxh64.hpp>
#include <funnel/core/error.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

// Records of a file that is appended to: a head of 32 bytes, then the bytes of the record. The head has
// a checksum of its own, so that a damaged length is not taken for a file that ends early.
//
//     0  mark          bytes "FnLg"
//     4  kind          of the record
//     8  size          bytes that follow the head
//    16  sum           XXH64 of these bytes
//    24  head's sum    XXH64 of the 24 bytes before
namespace funnel::detail {

inline constexpr std::size_t record_head_size = 32;
inline constexpr char record_mark[] = {'F', 'n', 'L', 'g'};

enum class record_kind : std::uint32_t { names = 1, request = 2 };

struct record_head {
  record_kind kind = record_kind::names;
  std::uint64_t size = 0;
  std::uint64_t sum = 0;
};

/// Appends values to bytes, little-endian.
struct byte_writer {
  static_assert(std::endian::native == std::endian::little,
                "funnel logs are written on little-endian machines only");

  std::vector<std::byte>& to;

  template <class T>
  requires std::is_arithmetic_v<T>
  void values(std::span<const T> all) const {
    const auto* const bytes = reinterpret_cast<const std::byte*>(all.data());
    if (!all.empty()) to.insert(to.end(), bytes, bytes + all.size_bytes());
  }
  template <class T>
  void value(T one) const {
    values(std::span<const T>(&one, 1));
  }
  void size(std::size_t n) const { value(static_cast<std::uint32_t>(n)); }
  /// The number of values, then the values.
  template <class T>
  void array(const std::vector<T>& all) const {
    size(all.size());
    values(std::span<const T>(all));
  }
  void text(std::string_view all) const {
    size(all.size());
    values(std::span<const char>(all.data(), all.size()));
  }
};

/// Reads what a `byte_writer` wrote.
///
/// Errors      format_error if the bytes end early.
struct byte_reader {
  std::span<const std::byte> from;

  template <class T>
  void values(std::span<T> to) {
    need(to.size(), sizeof(T));
    if (!to.empty()) std::memcpy(to.data(), from.data(), to.size_bytes());
    from = from.subspan(to.size_bytes());
  }
  template <class T>
  T value() {
    T one{};
    values(std::span<T>(&one, 1));
    return one;
  }
  std::size_t size() { return value<std::uint32_t>(); }
  /// Memory is asked for only if there are bytes for all values.
  template <class T>
  void array(std::vector<T>& to, std::size_t count) {
    need(count, sizeof(T));
    to.resize(count);
    values(std::span<T>(to));
  }
  template <class T>
  void array(std::vector<T>& to) {
    array(to, size());
  }
  std::string text() {
    const std::size_t count = size();
    need(count, 1);
    std::string all(count, '\0');
    values(std::span<char>(all));
    return all;
  }
  /// A number of things of which each has `bytes` bytes or more.
  std::size_t count(std::size_t bytes) {
    const std::size_t n = size();
    need(n, bytes);
    return n;
  }
  void need(std::size_t count, std::size_t bytes) const {
    if (count > from.size() / bytes)
      throw format_error(join_text("the record ends early: ", from.size(), " bytes are left for ",
                                   count, " values of ", bytes));
  }
};

/// Leaves room for the head of a record; its contents follow.
inline std::size_t begin_record(std::vector<std::byte>& to) {
  to.resize(to.size() + record_head_size);
  return to.size();
}
/// Writes the head of the record whose contents begin at `begin` and end with the bytes.
inline void end_record(std::vector<std::byte>& to, std::size_t begin, record_kind kind) {
  std::byte* const head = to.data() + (begin - record_head_size);
  const auto put = [&](std::size_t at, auto value) {
    std::memcpy(head + at, &value, sizeof value);
  };
  std::memcpy(head, record_mark, sizeof record_mark);
  put(4, static_cast<std::uint32_t>(kind));
  put(8, std::uint64_t{to.size() - begin});
  put(16, xxh64_of(std::span<const std::byte>(to).subspan(begin)));
  put(24, xxh64_of({head, 24}));
}

/// Reads a head; false if the bytes are none.
inline bool read_head(std::span<const std::byte> bytes, record_head& head) {
  if (bytes.size() < record_head_size ||
      std::memcmp(bytes.data(), record_mark, sizeof record_mark) != 0)
    return false;
  byte_reader from{bytes.subspan(4, record_head_size - 4)};
  head.kind = static_cast<record_kind>(from.value<std::uint32_t>());
  head.size = from.value<std::uint64_t>();
  head.sum = from.value<std::uint64_t>();
  return from.value<std::uint64_t>() == xxh64_of(bytes.first(24));
}

}  // namespace funnel::detail
