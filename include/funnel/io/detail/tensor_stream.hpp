// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/checks.hpp>
#include <funnel/core/detail/printable.hpp>
#include <funnel/core/detail/xxh64.hpp>
#include <funnel/io/detail/json.hpp>
#include <funnel/io/detail/replaced_file.hpp>
#include <funnel/io/safetensors.hpp>
#include <funnel/io/tensor.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace funnel::detail {

/// A tensor that is going to be written.
struct tensor_entry {
  std::string name;
  tensor_type type;
  std::vector<std::size_t> shape;
  std::size_t bytes;
};

using key_and_text = std::pair<std::string, std::string>;

/// Throws unless a text can be added to the others: both it and its key are UTF-8, and the key is
/// new.
inline void check_text(std::string_view function, const std::vector<key_and_text>& texts,
                       const std::string& key, const std::string& value) {
  for (const auto& [argument, text] : {std::pair("key", &key), {"value", &value}})
    if (!is_utf8(*text))
      fail_check(function, argument, " is \"", printable(*text), "\", expected UTF-8");
  if (std::ranges::find(texts, key, &key_and_text::first) != texts.end())
    fail_check(function, "key", " is \"", printable(key), "\", expected one that is not there yet");
}

/// The tensor that holds the checksums of all before it.
inline constexpr std::string_view checksums_name = "_checksums";

/// Writes a safetensors file from front to back: the header is written first, from the list of all
/// tensors, then their values in the order of the list.
///
/// Values start at multiples of 64 bytes. The format allows no gaps, so what is between two tensors
/// is a tensor too, `_pad.0`, `_pad.1`, ...
///
/// With checksums, the last tensor is `_checksums`: the XXH64 of the header with its length, then
/// that of each tensor, fillers included, in the order of their values. They are stored as I64,
/// because older frameworks have no U64.
class tensor_stream {
 public:
  static constexpr std::size_t alignment = 64;

  /// Errors      std::invalid_argument, before the file is created, for a name that is empty, used
  ///             twice, reserved or not UTF-8, and for a header of more than 100 MB.
  tensor_stream(std::string_view function, const std::string& path,
                const std::vector<tensor_entry>& entries, const std::vector<key_and_text>& texts,
                bool with_checksums) {
    check_names(function, entries);
    std::size_t end = 0, pads = 0;
    for (const tensor_entry& e : entries) {
      entries_.push_back(e);
      end += e.bytes;
      if (const std::size_t gap = (alignment - end % alignment) % alignment; gap != 0) {
        entries_.push_back({join_text("_pad.", pads++), tensor_type::u8, {gap}, gap});
        end += gap;
      }
    }
    if (with_checksums) {
      const std::size_t count = entries_.size() + 1;
      checksums_.reserve(count);
      entries_.push_back({std::string(checksums_name), tensor_type::i64, {count}, 8 * count});
    }
    const std::string header = header_of(texts);
    if (header.size() - 8 > safetensors_file::longest_header)
      fail("funnel::", function, ": the header has ", header.size() - 8,
           " bytes, expected at most ", safetensors_file::longest_header,
           ": fewer tensors or shorter names and texts");
    with_checksums_ = with_checksums;
    file_.emplace(path);
    put(std::as_bytes(std::span(header)));
    end_of_tensor();
  }

  /// The tensor whose values are written next; null after the last.
  const tensor_entry* next() const { return at_ < entries_.size() ? &entries_[at_] : nullptr; }

  /// Writes a part of the values of `next()`; all parts together have its number of bytes.
  void put(std::span<const std::byte> bytes) {
    file_->write(bytes);
    if (with_checksums_) sum_.update(bytes);
  }
  /// Goes on to the next tensor.
  void end() {
    ++at_;
    end_of_tensor();
    if (at_ < entries_.size() && entries_[at_].name.starts_with("_pad.")) {
      constexpr std::array<std::byte, alignment> zeros{};
      put(std::span(zeros).first(entries_[at_].bytes));
      ++at_;
      end_of_tensor();
    }
  }
  void commit() {
    if (with_checksums_) file_->write(std::as_bytes(std::span(checksums_)));
    file_->commit();
  }

 private:
  static void check_names(std::string_view function, const std::vector<tensor_entry>& entries) {
    std::vector<std::string_view> names;
    for (const tensor_entry& e : entries) {
      const auto expect = [&](bool right, std::string_view expected) {
        if (!right)
          fail("funnel::", function, ": the name of a tensor is \"", printable(e.name),
               "\", expected ", expected);
      };
      expect(!e.name.empty(), "a text");
      expect(is_utf8(e.name), "UTF-8");
      expect(!e.name.starts_with("_pad.") && e.name != "__metadata__" && e.name != checksums_name,
             "one that the file format does not reserve");
      names.push_back(e.name);
    }
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice != names.end())
      fail("funnel::", function, ": two tensors have the name \"", printable(*twice),
           "\", expected different names");
  }

  /// The header with its length; spaces fill it to a multiple of 64 bytes.
  std::string header_of(const std::vector<key_and_text>& texts) const {
    std::string json(8, '\0');
    json += '{';
    if (!texts.empty()) {
      json += "\"__metadata__\":{";
      for (const auto& [key, text] : texts) {
        if (&key != &texts.front().first) json += ',';
        append_json_string(json, key);
        json += ':';
        append_json_string(json, text);
      }
      json += '}';
    }
    std::size_t begin = 0;
    for (const tensor_entry& e : entries_) {
      if (json.back() != '{') json += ',';
      append_json_string(json, e.name);
      append_text(json, ":{\"dtype\":\"");
      append_text(json, tensor_type_name(e.type));
      append_text(json, "\",\"shape\":[");
      for (std::size_t i = 0; i < e.shape.size(); ++i) {
        append_text(json, i == 0 ? "" : ",");
        append_text(json, e.shape[i]);
      }
      append_text(json, "],\"data_offsets\":[");
      append_text(json, begin);
      append_text(json, ",");
      append_text(json, begin += e.bytes);
      append_text(json, "]}");
    }
    json += '}';
    json.append((alignment - json.size() % alignment) % alignment, ' ');
    const std::uint64_t length = json.size() - 8;
    std::memcpy(json.data(), &length, sizeof length);
    return json;
  }

  void end_of_tensor() {
    if (!with_checksums_ || checksums_.size() == entries_.size()) return;
    checksums_.push_back(sum_.value());
    sum_ = xxh64();
  }

  std::vector<tensor_entry> entries_;
  std::size_t at_ = 0;
  bool with_checksums_ = false;
  xxh64 sum_;
  std::vector<std::uint64_t> checksums_;
  std::optional<replaced_file> file_;
};

}  // namespace funnel::detail
