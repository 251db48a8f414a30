// SPDX-License-Identifier: MIT
#pragma once

#include <funnel/core/detail/printable.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace funnel::detail {

/// The name of a separator, in the plural.
inline std::string separator_name(char separator) {
  return separator == ','    ? "commas"
         : separator == '\t' ? "tabs"
         : separator == ';'  ? "semicolons"
         : separator == '|'  ? "bars"
                             : '"' + printable(std::string_view(&separator, 1)) + '"';
}

/// Number of bytes at the beginning of a file that `foreign_format` needs.
inline constexpr std::size_t format_bytes = 512;

/// Guesses from the first bytes of a file what it is if it is not a CSV file, as a text that
/// follows "the file is". Empty if it may be a CSV file.
inline std::string_view foreign_format(std::string_view head) {
  using namespace std::string_view_literals;
  struct mark {
    std::string_view bytes, meaning;
  };
  static constexpr mark marks[] = {
      {"\x1f\x8b"sv, "compressed by gzip: unpack it first"},
      {"\x1f\x9d"sv, "compressed by compress: unpack it first"},
      {"\xfd\x37zXZ\0"sv, "compressed by xz: unpack it first"},
      {"\x28\xb5\x2f\xfd"sv, "compressed by zstd: unpack it first"},
      {"\x04\x22\x4d\x18"sv, "compressed by lz4: unpack it first"},
      {"PK\x03\x04"sv, "a zip archive or an Excel workbook: unpack it or save it as CSV first"},
      {"PK\x05\x06"sv, "an empty zip archive"},
      {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive: unpack it first"},
      {"Rar!\x1a"sv, "a rar archive: unpack it first"},
      {"\xd0\xcf\x11\xe0"sv, "an Excel workbook (.xls): save it as CSV first"},
      {"PAR1\x15"sv, "a Parquet file: convert it to CSV first"},
      {"Obj\x01"sv, "an Avro file: convert it to CSV first"},
      {"ARROW1\0\0"sv, "an Arrow file: convert it to CSV first"},
      {"FEA1\0"sv, "a Feather file: convert it to CSV first"},
      {"\x89HDF"sv, "an HDF5 file: convert it to CSV first"},
      {"\x93NUMPY"sv, "a NumPy array: convert it to CSV first"},
      {"SQLite format 3\0"sv, "an SQLite database: export a table as CSV first"},
      {"%PDF-"sv, "a PDF document"},
      {"version https://git-lfs"sv, "a Git LFS pointer: fetch the file itself by `git lfs pull`"},
      {"\xff\xfe\0\0"sv, "UTF-32 text: save it as UTF-8 first"},
      {"\0\0\xfe\xff"sv, "UTF-32 text: save it as UTF-8 first"},
      {"\xff\xfe"sv, "UTF-16 text: save it as UTF-8 first"},
      {"\xfe\xff"sv, "UTF-16 text: save it as UTF-8 first"},
  };
  for (const mark& m : marks)
    if (head.starts_with(m.bytes)) return m.meaning;
  if (head.starts_with("BZh") && head.size() > 4 &&
      head.substr(4).starts_with("\x31\x41\x59\x26\x53\x59"))
    return "compressed by bzip2: unpack it first";
  if (head.size() > 262 && head.substr(257, 5) == "ustar") return "a tar archive: unpack it first";
  if (head.size() >= 2 && (head[0] == '\0') != (head[1] == '\0'))
    return "UTF-16 text, or binary: save it as UTF-8 first";

  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  const auto starts_with = [&](std::string_view word) {  // ignores case
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return head.size() >= word.size() &&
           std::ranges::equal(head.substr(0, word.size()), word, {}, lower);
  };
  for (const std::string_view tag : {"<!doctype html"sv, "<html"sv, "<head"sv, "<title"sv,
                                     "<meta"sv, "<script"sv, "<body"sv, "<!--"sv})
    if (starts_with(tag)) return "an HTML page: was an error page downloaded in its place?";
  if (starts_with("<?xml")) return "an XML document: convert it to CSV first";
  // A column name may start with a bracket, as in "[id],[name]", but not be followed by what
  // follows in JSON.
  if (head.starts_with('{') || head.starts_with('[')) {
    const std::size_t next = head.find_first_not_of(" \t\r\n", 1);
    if (next == head.npos || std::string_view("\"{[]}-0123456789").find(head[next]) != head.npos)
      return "JSON: convert it to CSV first";
  }
  if (head.starts_with('"')) head.remove_prefix(1);
  if (starts_with("sep=") && head.size() > 4 && head[4] != '\n' && head[4] != '\r') {
    head.remove_prefix(5);
    if (head.starts_with('"')) head.remove_prefix(1);
    if (head.empty() || head[0] == '\n' || head[0] == '\r')
      return "made for Excel, with a line \"sep=\" before the names: remove that line";
  }
  return {};
}

}  // namespace funnel::detail
