// SPDX-License-Identifier: MIT
#pragma once

#include "data/files.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

// safetensors files byte by byte.

/// A file of this header and these values.
inline std::string raw_file(std::string_view header, std::string_view values = {}) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += header;
  bytes += values;
  return bytes;
}

/// Member of a header: `"name":{...}`.
inline std::string raw_entry(std::string_view name, std::string_view dtype, std::string_view shape,
                             std::size_t begin, std::size_t end) {
  return "\"" + std::string(name) + "\":{\"dtype\":\"" + std::string(dtype) +
         "\",\"shape\":" + std::string(shape) + ",\"data_offsets\":[" + std::to_string(begin) +
         "," + std::to_string(end) + "]}";
}

inline std::string bytes_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Bytes of the header of a file, its length included.
inline std::size_t header_size(std::string_view file) {
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  return 8 + static_cast<std::size_t>(length);
}
