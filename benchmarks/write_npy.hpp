// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/matrix.hpp>

#include <cstdint>
#include <fstream>
#include <ios>
#include <stdexcept>
#include <string>
#include <type_traits>

/// Writes a matrix of float or std::uint32_t as `numpy.load` reads it.
///
/// Errors      std::runtime_error if the file cannot be written.
template <class T>
void write_npy(const std::string& path, funnel::matrix_view<const T> m) {
  const char* type = std::is_same_v<T, float> ? "<f4" : "<u4";
  std::string header = std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': (" +
                       std::to_string(m.rows()) + ", " + std::to_string(m.cols()) + "), }";
  header.resize((header.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::ofstream out(path, std::ios::binary);
  const auto length = static_cast<std::uint16_t>(header.size());
  out.write("\x93NUMPY\x01\x00", 8).write(reinterpret_cast<const char*>(&length), 2) << header;
  for (std::size_t i = 0; i < m.rows(); ++i)
    out.write(reinterpret_cast<const char*>(m.row(i).data()),
              static_cast<std::streamsize>(m.cols() * sizeof(T)));
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}
