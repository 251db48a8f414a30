// SPDX-License-Identifier: MIT
#include <funnel/io/safetensors.hpp>

#include "data/files.hpp"
#include "io/raw_file.hpp"
#include "support/catch.hpp"
#include "support/matrices.hpp"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

using funnel::safetensors_file;
using namespace std::string_literals;

namespace {

/// What opening a file of these bytes says, without the path; empty if it is accepted.
std::string error_of(std::string_view bytes) {
  static const temporary_folder folder;
  const std::string path = folder.write("t.safetensors", bytes);
  const std::string text = format_error_of([&] { const safetensors_file file(path); });
  if (text.empty()) return text;
  REQUIRE(text.starts_with(path + ": "));
  return text.substr(path.size() + 2);
}
std::string error_of_header(std::string_view header, std::size_t values = 0) {
  return error_of(raw_file(header, std::string(values, '\1')));
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("safetensors_file: tensors in any order, metadata, spaces after the header") {
  const temporary_folder folder;
  const std::string header =
      "{" + raw_entry("b", "I64", "[2]", 24, 40) + ", " + raw_entry("a", "F32", "[2,3]", 0, 24) +
      ",\"__metadata__\":{\"format\":\"pt\"}," + raw_entry("none", "F64", "[0, 4]", 40, 40) + "," +
      raw_entry("one", "U8", "[]", 40, 41) + "}   ";
  const safetensors_file file(
      folder.write("t", raw_file(header, bytes_of<float>({1, 2, 3, 4, 5, 6}) +
                                             bytes_of<std::int64_t>({-7, 8}) + "\x09")));
  REQUIRE(file.tensors().size() == 4);
  CHECK(file.tensors()[0].name == "a");
  CHECK(file.tensors()[1].name == "b");
  CHECK(file.view<float>("a")(1, 0) == 4);
  CHECK(file.matrix<double>("a")(1, 2) == 6);
  CHECK(file.values<std::int64_t>("b")[0] == -7);
  CHECK(file.view<std::int64_t>("b").rows() == 1);
  CHECK(file.values<std::uint8_t>("one")[0] == 9);
  CHECK(file.values<double>("none").empty());
  CHECK(*file.find_text("format") == "pt");
  CHECK(file.find_text("forma") == nullptr);
  CHECK(file.find("aa") == nullptr);

  safetensors_file moved = safetensors_file(file.path());
  const safetensors_file target = std::move(moved);
  CHECK(target.values<float>("a")[5] == 6);
}

TEST_CASE("safetensors_file: values at odd addresses are copied") {
  const temporary_folder folder;
  for (std::size_t shift = 0; shift < 9; ++shift) {  // spaces move the values
    const std::string header =
        "{" + raw_entry("byte", "U8", "[1]", 0, 1) + "," + raw_entry("d", "F64", "[2]", 1, 17) +
        "," + raw_entry("f", "F32", "[1,1]", 17, 21) + "}" + std::string(shift, ' ');
    const safetensors_file file(folder.write(
        "t" + std::to_string(shift),
        raw_file(header, "\x05" + bytes_of<double>({1.5, -2}) + bytes_of<float>({7}))));
    const auto d = file.values<double>("d");
    CHECK(reinterpret_cast<std::uintptr_t>(d.data()) % alignof(double) == 0);
    CHECK((d[0] == 1.5 && d[1] == -2));
    CHECK(file.view<float>("f")(0, 0) == 7);
    CHECK(file.values<std::uint8_t>("byte")[0] == 5);
  }
}

TEST_CASE("safetensors_file: what is asked for must fit what is there") {
  const temporary_folder folder;
  const safetensors_file file(
      folder.write("t", raw_file("{" + raw_entry("weights", "F32", "[1,2,1]", 0, 8) + "," +
                                     raw_entry("flags", "BOOL", "[3]", 8, 11) + "}",
                                 bytes_of<float>({1, 2}) + "\x01\x02\x01"s)));
  const auto says = [&](auto&& call, std::string_view words) {
    const std::string text = format_error_of(call);
    INFO(text);
    return text.starts_with(file.path()) && text.find(words) != text.npos;
  };
  CHECK(says([&] { file.at("weight"); },
             "tensor \"weight\": it is not in the file; did you mean \"weights\"?"));
  CHECK(says([&] { file.values<double>("weights"); },
             "tensor \"weights\": the file has F32 [1, 2, 1], expected F64"));
  CHECK(says([&] { file.view<float>("weights"); }, "expected two dimensions or fewer"));
  CHECK(says([&] { file.values<bool>("flags"); }, "value 1 is 2, expected 0 or 1"));
  CHECK(says([&] { file.matrix<float>("flags"); }, "expected F32 or a floating-point type"));
  CHECK(file.values<float>("weights").size() == 2);
}

TEST_CASE("safetensors_file: headers that are refused") {
  const std::string a = raw_entry("a", "F32", "[2]", 0, 8);
  REQUIRE(error_of_header("{" + a + "}", 8).empty());
  REQUIRE(error_of_header("{}").empty());
  const std::string too_many = std::string("[4294967296,4294967296]");
  const std::vector<std::tuple<std::string, std::size_t, std::string>> cases = {
      {"", 0, "byte 8: the header does not begin with '{'"},
      {" {}", 0, "byte 8: the header does not begin with '{'"},
      {"[]", 0, "byte 8: the header does not begin with '{'"},
      {"{" + a + "}", 7,
       "byte 9: tensor \"a\": its values end at 8 after the header, but the file has 7"},
      {"{" + a + "}", 9, "byte 70: the last tensor ends here, but the file ends at byte 71"},
      {"{" + a + "," + a + "}", 8, "byte 62: tensor \"a\": a second tensor of this name"},
      {"{" + a + "," + raw_entry("b", "U8", "[2]", 7, 9) + "}", 9,
       "byte 62: tensor \"b\": its values begin at 7 after the header, inside the tensor before "
       "it, "
       "which ends at 8"},
      {"{" + a + "," + raw_entry("b", "U8", "[2]", 9, 11) + "}", 11, "leaving a gap after"},
      {"{" + raw_entry("a", "F32", "[2]", 4, 12) + "}", 12, "leaving a gap"},
      {"{" + raw_entry("a", "F32", "[3]", 0, 8) + "}", 8,
       "data_offsets [0, 8] do not have the 12 bytes of F32 [3]"},
      {"{" + raw_entry("a", "U8", "[0]", 8, 0) + "}", 0, "data_offsets [8, 0] do not have"},
      {"{" + raw_entry("a", "F32", too_many, 0, 8) + "}", 8, "is more than memory can have"},
      {"{" + raw_entry("a", "F32", "[18446744073709551615]", 0, 8) + "}", 8, "is more than memory"},
      {"{" + raw_entry("a", "F32", "[18446744073709551616]", 0, 8) + "}", 8, "2^64 or more"},
      {"{" + raw_entry("a", "F32", "[-2]", 0, 8) + "}", 8, "expected a whole number"},
      {"{" + raw_entry("a", "F32", "[2.0]", 0, 8) + "}", 8, "expected a whole number"},
      {"{" + raw_entry("a", "F32", "[[2]]", 0, 8) + "}", 8, "expected a whole number"},
      {"{" + raw_entry("a", "F32", "2", 0, 8) + "}", 8, "expected '['"},
      {"{" + raw_entry("a", "F33", "[2]", 0, 8) + "}", 8, "type F33 is not supported"},
      {"{" + raw_entry("a", "f32", "[2]", 0, 8) + "}", 8, "type f32 is not supported"},
      {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", 8, "it has no dtype"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", 8, "it has no shape"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "it has no data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}})", 8, "1 numbers, expected 2"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}})", 8, "3 numbers, expected 2"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8,
       "a second \"dtype\""},
      {R"({"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8,
       "a second \"shape\""},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"device":"cpu"}})", 8,
       "unknown key \"device\""},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "a second __metadata__"},
      {R"({"__metadata__":{"a":"b","a":"c"}})", 0, "the metadata has \"a\" twice"},
      {R"({"__metadata__":{"a":1}})", 0, "expected a string"},
      {R"({"__metadata__":[]})", 0, "expected '{'"},
      {"{" + a + "}x", 8, "expected the end of the header"},
      {"{" + a, 8, "expected ',' or '}'"},
      {std::string(10000, '['), 0, "does not begin with"},
      {"{\"a\":" + std::string(10000, '{'), 0, "expected a string"},
  };
  for (const auto& [header, values, words] : cases) {
    const std::string text = error_of_header(header, values);
    INFO(header.substr(0, 100) << " -> " << text);
    CHECK(text.find(words) != text.npos);
  }
}

TEST_CASE("safetensors_file: files of another kind are named") {
  const auto with = [](std::string_view start) {
    return std::string(start) + std::string(100, 'x');
  };
  CHECK(error_of("").starts_with("byte 0: the file is empty"));
  CHECK(error_of("abc").find("byte 3: the file ends") != std::string::npos);
  CHECK(error_of(std::string(8, '\0')).find("does not begin with '{'") != std::string::npos);
  CHECK(error_of(with("PK\x03\x04")).find("a PyTorch .pt") != std::string::npos);
  CHECK(error_of(with("\x80\x02}q\x01(X")).find("a Python pickle") != std::string::npos);
  CHECK(error_of(with("GGUF\x03\0\0\0"s)).find("a GGUF file") != std::string::npos);
  CHECK(error_of(with("\x93NUMPY\x01\0"s)).find("npy_file") != std::string::npos);
  CHECK(error_of(with("version https://git-lfs.github.com/spec/v1\noid sha256:"))
            .find("git lfs pull") != std::string::npos);
  CHECK(error_of(with("<!DOCTYPE html>")).find("an HTML page") != std::string::npos);
  CHECK(error_of(with("{\"a\": 1}")).find("without the length") != std::string::npos);
  CHECK(error_of(with("user_id,item_id")).find("expected at most 100000000") != std::string::npos);
  const std::uint64_t length = safetensors_file::longest_header + 1;
  CHECK(error_of(std::string(reinterpret_cast<const char*>(&length), 8) + "{}")
            .find("expected at most") != std::string::npos);
}

TEST_CASE("safetensors_file: a header may be as long as the marks of other formats") {
  // Its length begins with the bytes of a mark: 0x8b1f and 0x0280.
  for (const std::size_t length : size_list{0x8b1f, 0x0280}) {
    const std::string text = error_of_header("{}" + std::string(length - 2, ' '));
    CHECK(text.empty());
  }
}

TEST_CASE("safetensors_file: what cannot be opened") {
  const temporary_folder folder;
  const auto error = [](const std::string& path) {
    return format_error_of([&] { const safetensors_file file(path); });
  };
  CHECK(error(folder.path() + "/none")
            .starts_with(folder.path() + "/none: the file can't be opened"));
  CHECK(error(folder.path()).starts_with(folder.path() + ": "));
}

TEST_CASE("safetensors_file: a file cut anywhere, or longer, is refused") {
  const std::string whole =
      raw_file("{" + raw_entry("a", "F32", "[2]", 0, 8) + "," + raw_entry("b", "U8", "[3]", 8, 11) +
                   ",\"__metadata__\":{\"k\":\"v\"}}  ",
               "0123456789a");
  REQUIRE(error_of(whole).empty());
  for (std::size_t n = 0; n < whole.size(); ++n) {
    INFO("cut at " << n);
    CHECK(!error_of(std::string_view(whole).substr(0, n)).empty());
  }
  for (const std::size_t n : size_list{1, 8, 64})
    CHECK(!error_of(whole + std::string(n, '\0')).empty());
}
