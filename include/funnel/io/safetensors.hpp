// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>
#include <funnel/core/error.hpp>
#include <funnel/core/matrix.hpp>
#include <funnel/io/detail/foreign_tensors.hpp>
#include <funnel/io/detail/json.hpp>
#include <funnel/io/detail/mapped_file.hpp>
#include <funnel/io/detail/nearest_name.hpp>
#include <funnel/io/tensor.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace funnel {

/// A safetensors file: named arrays, and texts about them. Opening it maps the file and checks its
/// structure completely; the values stay in the file and are read without a copy.
///
/// The tensors may be in any order. A tensor whose values do not start at a multiple of their size
/// in memory is copied on opening. Names that begin with "_pad." are fillers of the writer; they
/// are not listed. The file must not be changed in place while it is open; replacing it by a file
/// of the same name, as the writers do, is safe.
///
/// Errors      format_error "<file>: byte <position>: ..." or "<file>: tensor "<name>": ..." for: a
///             file that cannot be opened, is truncated, longer than its header says, or of another
///             format; a header that is not the JSON of this format, names a tensor twice, or has
///             a shape that does not fit the bytes; tensors that overlap or leave bytes between
///             them. Nothing that the file says is used before it is checked.
/// Cost        O(n log n) for n tensors; the values are not read.
/// Source      Hugging Face, "Safetensors", https://huggingface.co/docs/safetensors; docs/io.md.
class safetensors_file {
 public:
  /// The longest header, as in the reference reader.
  static constexpr std::size_t longest_header = 100'000'000;

  explicit safetensors_file(std::string path) : path_(std::move(path)), file_(path_) {
    const std::span<const std::byte> bytes = file_.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::uint64_t length = UINT64_MAX;
    if (bytes.size() >= 8) std::memcpy(&length, bytes.data(), sizeof length);
    if (length > longest_header) {
      if (const auto format = detail::foreign_tensors(text); !format.empty())
        refuse("byte 0: the file is ", format, ", expected a safetensors file");
      if (bytes.size() < 8)
        refuse("byte ", bytes.size(),
               ": the file ends, expected the 8 bytes of the header's length");
      refuse("byte 0: the header has ", length, " bytes, expected at most ", longest_header,
             ": is this a safetensors file?");
    }
    if (length > bytes.size() - 8)
      refuse("byte 8: the header has ", length, " bytes, but the file ends after ",
             bytes.size() - 8, ": it is truncated");
    header_ = 8 + length;
    read_header(text.substr(8, header_ - 8));
    place_tensors(bytes.subspan(header_));
  }

  const std::string& path() const { return path_; }

  /// The tensors, in the order of their values in the file.
  std::span<const tensor> tensors() const { return tensors_; }

  /// The tensor of a name; null if there is none. Valid as long as this object.
  const tensor* find(std::string_view name) const {
    const auto name_of = [&](std::size_t i) -> std::string_view { return tensors_[i].name; };
    const auto found = std::ranges::lower_bound(by_name_, name, {}, name_of);
    return found == by_name_.end() || tensors_[*found].name != name ? nullptr : &tensors_[*found];
  }
  /// The tensor of a name; throws a format_error if there is none.
  const tensor& at(std::string_view name) const {
    if (const tensor* found = find(name)) return *found;
    std::vector<std::string_view> names;
    for (const tensor& t : tensors_) names.push_back(t.name);
    detail::fail_tensor(path_, name, "it is not in the file", detail::did_you_mean(name, names));
  }

  /// The values of a tensor of any shape, without a copy.
  ///
  /// Errors      format_error if there is no such tensor, or its type is not that of T.
  template <class T>
  std::span<const T> values(std::string_view name) const {
    return detail::tensor_values<T>(path_, at(name));
  }
  /// A tensor of two dimensions as a matrix, without a copy; one dimension is a row.
  ///
  /// Errors      as `values`, and if there are more dimensions.
  template <class T>
  matrix_view<const T> view(std::string_view name) const {
    return detail::tensor_matrix<T>(path_, at(name));
  }
  /// A copy of a tensor of two dimensions. Floating-point types with fewer digits than T are
  /// converted.
  template <class T>
  funnel::matrix<T> matrix(std::string_view name) const {
    return detail::copied_matrix<T>(path_, at(name));
  }

  /// The text of a key in the header's metadata; null if there is none.
  const std::string* find_text(std::string_view key) const {
    const auto found = std::ranges::lower_bound(texts_, key, {}, &key_and_text::first);
    return found == texts_.end() || found->first != key ? nullptr : &found->second;
  }
  /// The keys and texts of the header's metadata, sorted by key.
  std::span<const std::pair<std::string, std::string>> texts() const { return texts_; }

  /// The values of all tensors as bytes, fillers included, in the order of the file.
  std::span<const std::span<const std::byte>> stored() const { return stored_; }
  /// The header with its length before it, as it stands in the file.
  std::span<const std::byte> header() const { return file_.bytes().first(header_); }

 private:
  using key_and_text = std::pair<std::string, std::string>;
  /// What the header says of a tensor.
  struct entry {
    tensor described;
    std::size_t position;  // of its name in the file
    std::uint64_t begin = 0, end = 0;
  };

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw format_error(detail::join_text(path_, ": ", parts...));
  }

  void read_header(std::string_view header) {
    if (!header.starts_with('{')) refuse("byte 8: the header does not begin with '{'");
    detail::json_reader json(header, path_, 8);
    bool has_texts = false;
    json.object([&](const std::string& name, std::size_t position) {
      if (name == "__metadata__") {
        if (std::exchange(has_texts, true)) refuse("byte ", position, ": a second __metadata__");
        json.object(
            [&](const std::string& key, std::size_t) { texts_.emplace_back(key, json.string()); });
      } else {
        entries_.push_back(read_entry(json, name, position));
      }
    });
    json.end();
    std::ranges::sort(texts_);
    const auto twice = std::ranges::adjacent_find(texts_, {}, &key_and_text::first);
    if (twice != texts_.end())
      refuse("byte 8: the metadata has \"", detail::printable(twice->first), "\" twice");
  }

  entry read_entry(detail::json_reader& json, const std::string& name, std::size_t position) const {
    entry e{.described = {.name = name, .type = {}, .shape = {}, .bytes = {}},
            .position = position};
    bool typed = false, shaped = false, placed = false;
    json.object([&](const std::string& key, std::size_t at) {
      const auto once = [&](bool& seen) {
        if (std::exchange(seen, true)) fail_at(e, at, "a second \"", key, "\"");
      };
      if (key == "dtype") {
        once(typed);
        e.described.type = type_of(e, at, json.string());
      } else if (key == "shape") {
        once(shaped);
        json.array([&] { e.described.shape.push_back(size_of(e, json)); });
      } else if (key == "data_offsets") {
        once(placed);
        std::size_t count = 0;
        json.array([&] {
          const std::uint64_t offset = json.whole_number();
          (count++ == 0 ? e.begin : e.end) = offset;
        });
        if (count != 2) fail_at(e, at, "data_offsets has ", count, " numbers, expected 2");
      } else {
        fail_at(e, at, "unknown key \"", detail::printable(key), "\"");
      }
    });
    for (const auto& [seen, key] :
         {std::pair(typed, "dtype"), {shaped, "shape"}, {placed, "data_offsets"}})
      if (!seen) fail_at(e, position, "it has no ", key);
    return e;
  }

  template <class... Parts>
  [[noreturn]] void fail_at(const entry& e, std::size_t position, const Parts&... parts) const {
    refuse("byte ", position, ": tensor \"", detail::printable(e.described.name), "\": ", parts...);
  }

  tensor_type type_of(const entry& e, std::size_t position, const std::string& name) const {
    for (int i = 0; i <= static_cast<int>(tensor_type::boolean); ++i)
      if (tensor_type_name(static_cast<tensor_type>(i)) == name) return static_cast<tensor_type>(i);
    fail_at(e, position, "type ", detail::printable(name), " is not supported");
  }
  std::size_t size_of(const entry& e, detail::json_reader& json) const {
    const std::size_t position = json.position();
    const std::uint64_t n = json.whole_number();
    if (n > SIZE_MAX) fail_at(e, position, "a size of ", n, " is more than memory can have");
    return static_cast<std::size_t>(n);
  }

  /// Checks that the tensors fill `data` without gaps and overlaps, and keeps where each one is.
  void place_tensors(std::span<const std::byte> data) {
    std::ranges::sort(entries_, {}, &entry::position);
    for (const entry& e : entries_) check_bytes(e);
    check_names();
    std::ranges::sort(entries_, {},
                      [](const entry& e) { return std::tuple(e.begin, e.end, e.position); });
    std::uint64_t filled = 0;
    for (entry& e : entries_) {
      if (e.begin != filled)
        fail_at(e, e.position, "its values begin at ", e.begin, " after the header, ",
                e.begin < filled ? "inside" : "leaving a gap after",
                " the tensor before it, which ends at ", filled);
      if (e.end > data.size())
        fail_at(e, e.position, "its values end at ", e.end, " after the header, but the file has ",
                data.size(), " bytes there: it is truncated");
      filled = e.end;
    }
    if (filled != data.size())
      refuse("byte ", header_ + filled, ": the last tensor ends here, but the file ends at byte ",
             header_ + data.size());
    for (entry& e : entries_) {
      e.described.bytes = data.subspan(e.begin, e.end - e.begin);
      align(e.described);
      stored_.push_back(e.described.bytes);
      if (!e.described.name.starts_with("_pad.")) tensors_.push_back(std::move(e.described));
    }
    entries_ = {};
    by_name_.resize(tensors_.size());
    std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
    std::ranges::sort(by_name_, {},
                      [&](std::size_t i) -> std::string_view { return tensors_[i].name; });
  }

  void check_bytes(const entry& e) const {
    const std::size_t size = tensor_type_size(e.described.type);
    std::size_t count = 0;
    if (!detail::count_values(e.described.shape, SIZE_MAX / size, count))
      fail_at(e, e.position, "shape ", detail::shape_text(e.described.shape),
              " is more than memory can have");
    if (e.end < e.begin || e.end - e.begin != count * size)
      fail_at(e, e.position, "data_offsets [", e.begin, ", ", e.end, "] do not have the ",
              count * size, " bytes of ", detail::tensor_text(e.described.type, e.described.shape));
  }

  void check_names() const {
    std::vector<const entry*> sorted;
    for (const entry& e : entries_) sorted.push_back(&e);
    std::ranges::sort(sorted, {}, [](const entry* e) {
      return std::pair<std::string_view, std::size_t>(e->described.name, e->position);
    });
    for (std::size_t i = 1; i < sorted.size(); ++i)
      if (sorted[i]->described.name == sorted[i - 1]->described.name)
        fail_at(*sorted[i], sorted[i]->position, "a second tensor of this name");
  }

  /// Copies values that are at an odd address: they cannot be read in place.
  void align(tensor& t) {
    if (detail::is_aligned(t)) return;
    copies_.emplace_back(t.bytes.begin(), t.bytes.end());
    t.bytes = copies_.back();
  }

  std::string path_;
  detail::mapped_file file_;
  std::size_t header_ = 0;      // bytes before the values
  std::vector<entry> entries_;  // while the file is opened
  std::vector<tensor> tensors_;
  std::vector<std::span<const std::byte>> stored_;
  std::vector<std::size_t> by_name_;  // indices of tensors_
  std::vector<key_and_text> texts_;
  std::vector<detail::aligned_vector<std::byte>> copies_;
};

}  // namespace funnel
