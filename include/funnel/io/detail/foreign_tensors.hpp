// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace funnel::detail {

/// Guesses from the first bytes of a file that is not of the expected format what it is, as a text
/// that follows "the file is". Empty if it is none of those that are often taken for it.
inline std::string_view foreign_tensors(std::string_view head) {
  using namespace std::string_view_literals;
  struct mark {
    std::string_view bytes, meaning;
  };
  static constexpr std::array marks = {
      mark{"version https://git-lfs"sv, "a pointer of Git LFS: fetch the file with git lfs pull"},
      mark{"PK\x03\x04"sv, "a zip archive: a PyTorch .pt or an .npz? Save it as safetensors first"},
      mark{"\x80\x02"sv, "a Python pickle: an old PyTorch .pt? Save it as safetensors first"},
      mark{"\x80\x03"sv, "a Python pickle: save it as safetensors first"},
      mark{"\x80\x04\x95"sv, "a Python pickle: save it as safetensors first"},
      mark{"\x80\x05\x95"sv, "a Python pickle: save it as safetensors first"},
      mark{"GGUF"sv, "a GGUF file"},
      mark{"\x93NUMPY"sv, "a NumPy array (.npy): read it with npy_file"},
      mark{"\x89HDF\r\n"sv, "an HDF5 file"},
      mark{"\x1f\x8b"sv, "compressed by gzip: unpack it first"},
      mark{"\x28\xb5\x2f\xfd"sv, "compressed by zstd: unpack it first"},
      mark{"<!DOCTYPE"sv, "an HTML page: was an error page downloaded in its place?"},
      mark{"<!doctype"sv, "an HTML page: was an error page downloaded in its place?"},
      mark{"<html"sv, "an HTML page: was an error page downloaded in its place?"},
      mark{"{"sv, "text that begins with '{', without the length of a header"},
  };
  if (head.empty()) return "empty";
  for (const mark& m : marks)
    if (head.starts_with(m.bytes)) return m.meaning;
  return {};
}

}  // namespace funnel::detail
