// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/io/detail/foreign_tensors.hpp>
#include <funnel/io/detail/mapped_file.hpp>
#include <funnel/io/detail/python_literal.hpp>
#include <funnel/io/tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel {

/// A NumPy array in a file (.npy), as `numpy.save` writes it. Opening it maps the file and checks
/// its header and its size; the values stay in the file and are read without a copy.
///
/// The types are those of `tensor_type` except bfloat16. Text, dates, records, complex numbers,
/// Python objects and numbers with the highest byte first are refused. The file must not be changed
/// in place while it is open.
///
/// Errors      format_error "<file>: ..." for a file that cannot be opened, is truncated, longer
///             than its header says, or of another format; and for a header that is not as NumPy
///             writes it.
/// Source      NumPy, "NEP 1: A simple file format for NumPy arrays", 2007, versions 1 to 3;
///             https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
class npy_file {
 public:
  explicit npy_file(std::string path) : path_(std::move(path)), file_(path_) {
    const std::span<const std::byte> bytes = file_.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!text.starts_with(magic)) {
      const std::string_view format = detail::foreign_tensors(text);
      refuse("byte 0: the file is ", format.empty() ? "of another format" : format,
             ", expected a NumPy array (.npy)");
    }
    if (text.size() < 8) refuse("byte ", text.size(), ": the file ends, expected a version");
    const auto major = std::to_integer<unsigned>(bytes[6]);
    const auto minor = std::to_integer<unsigned>(bytes[7]);
    if (major < 1 || major > 3 || minor != 0)
      refuse("byte 6: the file has version ", major, ".", minor, ", expected 1.0, 2.0 or 3.0");
    const std::size_t width = major == 1 ? 2 : 4;  // of the header's length
    if (text.size() < 8 + width)
      refuse("byte ", text.size(), ": the file ends, expected the length of its header");
    std::uint32_t length = 0;
    std::memcpy(&length, bytes.data() + 8, width);
    const std::size_t begin = 8 + width;
    if (length > text.size() - begin)
      refuse("byte 8: the header has ", length, " bytes, but the file ends after ",
             text.size() - begin, ": it is truncated");
    read_header(text.substr(begin, length), begin);
    place_values(bytes.subspan(begin + length));
  }

  const std::string& path() const { return path_; }
  tensor_type type() const { return array_.type; }
  /// Sizes of the dimensions; none for a single number.
  const std::vector<std::size_t>& shape() const { return array_.shape; }

  /// The values of an array of any shape, without a copy: the last index runs fastest.
  ///
  /// Errors      format_error if the type is not that of T, or the array is in Fortran order.
  template <class T>
  std::span<const T> values() const {
    if (fortran_)
      refuse("the array is in Fortran order: read a copy by matrix, or save "
             "numpy.ascontiguousarray of it");
    return detail::tensor_values<T>(path_, array_);
  }
  /// An array of two dimensions as a matrix, without a copy; one dimension is a row.
  ///
  /// Errors      as `values`, and if there are more dimensions.
  template <class T>
  matrix_view<const T> view() const {
    const auto all = values<T>();
    const auto [rows, cols] = detail::matrix_shape(path_, array_);
    return {all.data(), rows, cols};
  }
  /// A copy of an array of two dimensions, in either order. Floating-point types with fewer digits
  /// than T are converted.
  template <class T>
  funnel::matrix<T> matrix() const {
    if (!fortran_) return detail::copied_matrix<T>(path_, array_);
    const auto [rows, cols] = detail::matrix_shape(path_, array_);
    tensor columns = array_;
    columns.shape = {cols, rows};
    const funnel::matrix<T> transposed = detail::copied_matrix<T>(path_, columns);
    funnel::matrix<T> to(rows, cols);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < cols; ++j) to(i, j) = transposed(j, i);
    return to;
  }

 private:
  static constexpr std::string_view magic = "\x93NUMPY";

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw format_error(detail::join_text(path_, ": ", parts...));
  }

  void read_header(std::string_view header, std::size_t begin) {
    detail::python_literal literal(header, path_, begin);
    bool typed = false, ordered = false, shaped = false;
    literal.dictionary([&](const std::string& key, std::size_t position) {
      const auto once = [&](bool& seen) {
        if (std::exchange(seen, true)) refuse("byte ", position, ": a second key ", key);
      };
      if (key == "descr") {
        once(typed);
        array_.type =
            type_of(literal.string("the array has a type of records, expected numbers"), position);
      } else if (key == "fortran_order") {
        once(ordered);
        fortran_ = literal.boolean();
      } else if (key == "shape") {
        once(shaped);
        literal.tuple([&] { array_.shape.push_back(literal.whole_number()); });
      } else {
        refuse("byte ", position, ": unknown key \"", detail::printable(key), "\"");
      }
    });
    literal.end();
    for (const auto& [seen, key] :
         {std::pair(typed, "descr"), {ordered, "fortran_order"}, {shaped, "shape"}})
      if (!seen) refuse("byte ", begin, ": the header has no ", key);
  }

  tensor_type type_of(const std::string& name, std::size_t position) const {
    constexpr std::pair<std::string_view, tensor_type> types[] = {
        {"f8", tensor_type::f64}, {"f4", tensor_type::f32}, {"f2", tensor_type::f16},
        {"i8", tensor_type::i64}, {"i4", tensor_type::i32}, {"i2", tensor_type::i16},
        {"i1", tensor_type::i8},  {"u8", tensor_type::u64}, {"u4", tensor_type::u32},
        {"u2", tensor_type::u16}, {"u1", tensor_type::u8},  {"b1", tensor_type::boolean}};
    const auto found = std::ranges::find(types, std::string_view(name).substr(name.empty() ? 0 : 1),
                                         &std::pair<std::string_view, tensor_type>::first);
    const bool known = found != std::end(types);
    const bool one_byte = known && tensor_type_size(found->second) == 1;
    if (known && (name[0] == '<' || (name[0] == '|' && one_byte))) return found->second;
    if (known && name[0] == '>')
      refuse("byte ", position, ": the numbers have the highest byte first (", name,
             "), expected the lowest: save x.astype('<", name.substr(1), "')");
    refuse("byte ", position, ": the array has type \"", detail::printable(name),
           "\", expected numbers such as '<f4' or '<i8'");
  }

  void place_values(std::span<const std::byte> values) {
    const std::size_t size = tensor_type_size(array_.type);
    std::size_t count = 0;
    if (!detail::count_values(array_.shape, SIZE_MAX / size, count))
      refuse("shape ", detail::shape_text(array_.shape), " is more than memory can have");
    if (values.size() != count * size)
      refuse("the file has ", values.size(), " bytes after its header, expected the ", count * size,
             " of ", detail::tensor_text(array_.type, array_.shape));
    array_.bytes = values;
    if (!detail::is_aligned(array_)) {
      copy_.assign(values.begin(), values.end());
      array_.bytes = copy_;
    }
    // The order makes no difference to a single row or column.
    if (std::ranges::count_if(array_.shape, [](std::size_t n) { return n != 1; }) < 2)
      fortran_ = false;
  }

  std::string path_;
  detail::mapped_file file_;
  tensor array_;
  bool fortran_ = false;
  detail::aligned_vector<std::byte> copy_;  // of values that are at an odd address
};

}  // namespace funnel
