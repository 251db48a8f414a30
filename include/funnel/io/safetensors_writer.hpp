// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/io/detail/tensor_stream.hpp>
#include <funnel/io/tensor.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace funnel {
namespace detail {

template <class Values>
inline constexpr bool is_view = false;
template <class T, std::size_t N>
inline constexpr bool is_view<std::span<T, N>> = true;
template <class T>
inline constexpr bool is_view<matrix_view<T>> = true;

}  // namespace detail

/// Writes a safetensors file: arrays with names, and texts about them. PyTorch, JAX, NumPy and
/// others read it.
///
/// The writer refers to the values until `write` returns; it does not copy them. `write` makes a
/// file beside the one of the same name and renames it when it is on the disk: a write that fails
/// or is interrupted leaves the old file as it was.
///
/// Every tensor starts at a multiple of 64 bytes in the file, so that readers can use it in place.
/// The fillers between them are tensors of bytes named `_pad.0`, `_pad.1`, ...
///
/// Errors      std::invalid_argument for a name that is empty, used twice, not UTF-8, or begins
///             with "_pad.", and for bytes that do not fit the shape; std::system_error, with the
///             file and the system's reason, if the file cannot be written.
/// Source      Hugging Face, "Safetensors", https://huggingface.co/docs/safetensors; docs/io.md.
class safetensors_writer {
 public:
  /// Adds an array [n].
  template <class T>
  safetensors_writer& add(std::string name, std::span<const T> values) {
    return add(std::move(name), tensor_type_of<T>, {values.size()}, std::as_bytes(values));
  }
  /// Adds a matrix [rows, cols].
  template <class T>
  safetensors_writer& add(std::string name, matrix_view<const T> values) {
    const auto rows = std::as_bytes(std::span(values.data(), values.empty() ? 0 : 1));
    entries_.push_back({std::move(name),
                        tensor_type_of<T>,
                        {values.rows(), values.cols()},
                        values.size() * sizeof(T)});
    pieces_.push_back({rows.data(), values.cols() * sizeof(T), values.empty() ? 0 : values.rows(),
                       values.stride() * sizeof(T)});
    return *this;
  }
  /// Adds a vector or a matrix. The object that owns the values must stay.
  template <class Values>
  requires requires(Values& values) { values.data(); }
  safetensors_writer& add(std::string name, Values&& values) {
    static_assert(std::is_lvalue_reference_v<Values> || detail::is_view<Values>,
                  "the writer does not copy values: pass an object that lives until write");
    using type = std::remove_cvref_t<decltype(*values.data())>;
    if constexpr (requires { values.rows(); })
      return add(std::move(name), matrix_view<const type>(values));
    else
      return add(std::move(name), std::span<const type>(values.data(), values.size()));
  }
  /// Adds values of any shape, as bytes: the last index runs fastest.
  safetensors_writer& add(std::string name, tensor_type type, std::vector<std::size_t> shape,
                          std::span<const std::byte> bytes) {
    std::size_t count = 0;
    const std::size_t size = tensor_type_size(type);
    if (!detail::count_values(shape, bytes.size() / size, count) || count * size != bytes.size())
      detail::fail_check("safetensors_writer", detail::printable(name), " has ", bytes.size(),
                         " bytes, expected those of ", detail::tensor_text(type, shape));
    entries_.push_back({std::move(name), type, std::move(shape), bytes.size()});
    pieces_.push_back({bytes.data(), bytes.size(), 1, 0});
    return *this;
  }

  /// Adds a text to the metadata.
  ///
  /// Errors      std::invalid_argument if the key is there already, or one of the texts is not
  ///             UTF-8.
  safetensors_writer& text(std::string key, std::string value) {
    detail::check_text("safetensors_writer::text", texts_, key, value);
    texts_.emplace_back(std::move(key), std::move(value));
    return *this;
  }

  void write(const std::string& path) const {
    detail::tensor_stream file("safetensors_writer", path, entries_, texts_, false);
    for (const piece& p : pieces_) {
      if (p.row_bytes == p.stride)
        file.put({p.data, p.rows * p.row_bytes});
      else
        for (std::size_t i = 0; i < p.rows; ++i) file.put({p.data + i * p.stride, p.row_bytes});
      file.end();
    }
    file.commit();
  }

 private:
  /// Where the values of an entry are.
  struct piece {
    const std::byte* data;
    std::size_t row_bytes, rows, stride;
  };

  std::vector<detail::tensor_entry> entries_;
  std::vector<piece> pieces_;
  std::vector<detail::key_and_text> texts_;
};

}  // namespace funnel
