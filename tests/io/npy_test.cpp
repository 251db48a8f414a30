// SPDX-License-Identifier: MIT
#include <funnel/io/npy.hpp>

#include "data/files.hpp"
#include "support/catch.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

using funnel::npy_file;
using funnel::tensor_type;
using namespace std::string_literals;

namespace {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// A file of this header; `version` 1, 2 or 3.
std::string raw_npy(std::string_view header, std::string_view values, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  const auto length = static_cast<std::uint32_t>(header.size());
  bytes.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  bytes += header;
  bytes += values;
  return bytes;
}
std::string header(std::string_view descr, std::string_view shape, bool fortran = false) {
  return "{'descr': '" + std::string(descr) +
         "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': " + std::string(shape) + ", }\n";
}

std::string error_of(std::string_view bytes) {
  static const temporary_folder folder;
  const std::string path = folder.write("x.npy", bytes);
  const std::string text = format_error_of([&] { const npy_file file(path); });
  if (text.empty()) return text;
  REQUIRE(text.starts_with(path + ": "));
  return text.substr(path.size() + 2);
}

}  // namespace

TEST_CASE("npy_file: every version, at every address") {
  const temporary_folder folder;
  const std::string values = bytes_of<float>({1, 2, 3, 4, 5, 6});
  for (const int version : {1, 2, 3}) {
    for (std::size_t shift = 0; shift < 5; ++shift) {
      const npy_file file(folder.write(
          "x", raw_npy(header("<f4", "(2, 3)") + std::string(shift, ' '), values, version)));
      CHECK(file.type() == tensor_type::f32);
      CHECK(file.shape() == std::vector<std::size_t>{2, 3});
      CHECK(file.view<float>()(1, 0) == 4);
      CHECK(file.values<float>()[5] == 6);
      CHECK(file.matrix<double>()(0, 2) == 3);
    }
  }
}

TEST_CASE("npy_file: types and shapes") {
  const temporary_folder folder;
  const auto open = [&](std::string_view descr, std::string_view shape, std::string_view values) {
    return npy_file(folder.write("x", raw_npy(header(descr, shape), values)));
  };
  CHECK(open("<f8", "(2,)", bytes_of<double>({1, 2})).view<double>()(0, 1) == 2);
  CHECK(open("<f2", "(1,)", bytes_of<std::uint16_t>({0x3c00})).matrix<float>()(0, 0) == 1);
  CHECK(open("<i8", "()", bytes_of<std::int64_t>({-7})).values<std::int64_t>()[0] == -7);
  CHECK(open("<i4", "(1, 1)", bytes_of<std::int32_t>({-7})).values<std::int32_t>()[0] == -7);
  CHECK(open("<i2", "(1,)", bytes_of<std::int16_t>({-7})).values<std::int16_t>()[0] == -7);
  CHECK(open("|i1", "(1,)", "\xf9").values<std::int8_t>()[0] == -7);
  CHECK(open("<u8", "(1,)", bytes_of<std::uint64_t>({7})).values<std::uint64_t>()[0] == 7);
  CHECK(open("<u4", "(1,)", bytes_of<std::uint32_t>({7})).values<std::uint32_t>()[0] == 7);
  CHECK(open("<u2", "(1,)", bytes_of<std::uint16_t>({7})).values<std::uint16_t>()[0] == 7);
  CHECK(open("|u1", "(1,)", "\x07").values<std::uint8_t>()[0] == 7);
  CHECK(open("|b1", "(2,)", "\x01\0"s).values<bool>()[0]);
  CHECK(open("<f4", "(0, 5)", "").view<float>().cols() == 5);
  const auto cube = open("<f4", "(1, 2, 1)", bytes_of<float>({1, 2}));
  CHECK(cube.values<float>()[1] == 2);
  CHECK(format_error_of([&] { cube.view<float>(); }) ==
        cube.path() + ": the file has F32 [1, 2, 1], expected two dimensions or fewer");
  CHECK(format_error_of([&] { cube.values<double>(); }) ==
        cube.path() + ": the file has F32 [1, 2, 1], expected F64");
  CHECK(!format_error_of([&] { open("|b1", "(1,)", "\x02").values<bool>(); }).empty());
}

TEST_CASE("npy_file: an array in Fortran order is read as a copy") {
  const temporary_folder folder;
  const npy_file file(folder.write(
      "x", raw_npy(header("<f4", "(2, 3)", true), bytes_of<float>({1, 4, 2, 5, 3, 6}))));
  const auto m = file.matrix<float>();
  for (std::size_t i = 0; i < 6; ++i) CHECK(m(i / 3, i % 3) == static_cast<float>(i + 1));
  CHECK(format_error_of([&] { file.values<float>(); }).find("in Fortran order") !=
        std::string::npos);
  CHECK(format_error_of([&] { file.view<float>(); }).find("in Fortran order") != std::string::npos);
  // One row or column is the same in both orders.
  const npy_file row(
      folder.write("y", raw_npy(header("<f4", "(1, 3)", true), bytes_of<float>({1, 2, 3}))));
  CHECK(row.view<float>()(0, 2) == 3);
}

TEST_CASE("npy_file: headers that are refused") {
  const std::string good = header("<f4", "(2,)");
  REQUIRE(error_of(raw_npy(good, "12345678")).empty());
  REQUIRE(error_of(raw_npy("{\"shape\":(2),\"descr\":\"<f4\"}", "12345678")).size() > 1);
  REQUIRE(error_of(raw_npy(R"({"shape":(2,),"descr":"<f4","fortran_order":False})", "12345678"))
              .empty());
  const std::vector<std::tuple<std::string, std::string>> cases = {
      {header(">f4", "(2,)"),
       "the highest byte first (>f4), expected the lowest: save x.astype('<f4')"},
      {header("<c8", "(1,)"), "the array has type \"<c8\", expected numbers such as"},
      {header("|O", "(1,)"), "the array has type \"|O\""},
      {header("<U2", "(1,)"), "the array has type \"<U2\""},
      {header("<M8[ns]", "(1,)"), "the array has type \"<M8[ns]\""},
      {header("|f4", "(2,)"), "the array has type \"|f4\""},
      {header("", "(2,)"), "the array has type \"\""},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "a type of records"},
      {header("<f4", "(3,)"), "has 8 bytes after its header, expected the 12 of F32 [3]"},
      {header("<f4", "(1,)"), "has 8 bytes after its header, expected the 4 of F32 [1]"},
      {header("<f4", "(4294967296, 4294967296)"), "is more than memory can have"},
      {header("<f4", "(4611686018427387905, 4)"), "is more than memory can have"},
      {header("<f4", "(99999999999999999999,)"), "more than memory can have"},
      {header("<f4", "(-2,)"), "expected a whole number"},
      {header("<f4", "(02,)"), "expected a whole number"},
      {header("<f4", "(2)"), "a single number needs a comma"},
      {header("<f4", "(2,,)"), "expected a whole number"},
      {header("<f4", "(2 2)"), "expected ','"},
      {header("<f4", "[2]"), "expected '('"},
      {header("<f4", "(2,"), "expected a whole number"},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "expected True or False"},
      {"{'descr': '<f4', 'shape': (2,)}", "the header has no fortran_order"},
      {"{'descr': '<f4', 'fortran_order': False}", "the header has no shape"},
      {"{'fortran_order': False, 'shape': (2,)}", "the header has no descr"},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
       "a second key descr"},
      {"{'x': '<f4', 'fortran_order': False, 'shape': (2,)}", "unknown key \"x\""},
      {"{'descr': '<f4'", "expected ','"},
      {"{'descr': '<f4", "the string is not closed"},
      {"{'descr': '<\\x664'}", "has an escape"},
      {good + "x", "expected the end of the header"},
      {"", "expected '{'"},
      {std::string(5000, '{'), "expected a string"},
  };
  for (const auto& [text, words] : cases) {
    const std::string error = error_of(raw_npy(text, "12345678"));
    INFO(text.substr(0, 100) << " -> " << error);
    CHECK(error.find(words) != error.npos);
  }
}

TEST_CASE("npy_file: other files, other versions, and a file cut anywhere") {
  CHECK(error_of("").starts_with("byte 0: the file is empty, expected a NumPy array"));
  CHECK(error_of("1,2,3").starts_with("byte 0: the file is of another format"));
  CHECK(error_of("PK\x03\x04 and more").find("an .npz?") != std::string::npos);
  CHECK(error_of(raw_npy(header("<f4", "(2,)"), "12345678", 4)).find("version 4.0, expected 1.0") !=
        std::string::npos);
  CHECK(error_of(raw_npy("", "", 0)).find("version 0.0") != std::string::npos);
  for (const int version : {1, 2}) {
    const std::string whole = raw_npy(header("<f4", "(2,)"), "12345678", version);
    REQUIRE(error_of(whole).empty());
    for (std::size_t n = 0; n < whole.size(); ++n) {
      INFO("cut at " << n);
      CHECK(!error_of(std::string_view(whole).substr(0, n)).empty());
    }
    CHECK(error_of(whole + "9").find("has 9 bytes after its header, expected the 8") !=
          std::string::npos);
  }
}
